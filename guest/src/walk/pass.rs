//! A pass: the whole source, or the window, read page by page.
//!
//! An end is believed where a page without records stands that nothing promises, never at a short page or a
//! count. A page that can't be read, or is empty although it was promised, is a gap: the pass skips it. What
//! it jumps over where page after page fails becomes a stretch of its own, for later.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::gaps::Gaps;
use super::live::{Prefix, numbered_from};
use super::reading::{Reading, Seen, Totals};
use super::source::{End, PROMISED_STALE, Renumbering, Source};
use super::trend::Trend;
use crate::planted::{self, Planted};

/// Stretches at the most. What would be one more is a gap at once.
const STRETCHES: usize = 16;

/// Pages in a row with the same records after which a server is taken to repeat its last one forever, and the
/// same where it promises more. One repetition is not enough: as many records inserted at the top as a page
/// has push it to the next one.
const REPETITIONS: u32 = 2;
const PROMISED_REPETITIONS: u32 = 3;

/// Pages in a row without records up to which a promise is followed.
const BARREN: u32 = 12;

/// Failures in a row from which on the pass jumps, in doubling steps, and after which it gives up where no
/// total names an end.
const JUMPS_FROM: u32 = 3;
const GIVES_UP: u32 = 12;

/// Failures after which a stretch that was jumped over is given up.
const STRETCH_FAILURES: u32 = 4;

/// Pages that a pass over all that is wanted looks at beyond the window, evenly spread, the last one at the
/// other end.
const LOOKS_ASIDE: u64 = 4;

/// What a pass covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// All that is wanted of the source.
    All,
    /// What is as new as the overlap.
    Overlap,
}

/// Which way a pass goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    /// From the first page on.
    On,
    /// From the last page back to the first.
    Back,
    /// Looks at the other end, and on the way there, after the pass has left the window.
    Aside,
}

/// What the pass makes of its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Course {
    /// It goes from where it began until it leaves the window.
    Straight,
    /// It has gone to the other end, so that it need not look there any more.
    Turned,
    /// It has left the window and looks at what lies beyond: which way it went, and what it would have read
    /// next.
    Left(Way, u64),
    /// What lies beyond may be wanted: all of it is read.
    Everything,
}

/// Pages to be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stretch {
    /// The page to read next.
    from: u64,
    /// The page behind the last one; `None`: up to the end of the source.
    to: Option<u64>,
    failures: u32,
}

/// Whether pages are numbered from 0 or 1: asked before a pass over everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Probe {
    Done,
    /// Page 0 is to be asked for. With the digests of page 1, if it was read already.
    Zero(Option<Vec<u64>>),
    /// Page 1 is to be held against these digests of page 0.
    One(Vec<u64>),
}

/// Pages of one kind that came one after the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct InARow {
    /// With the records of the one before, and with those of any other.
    repetitions: u32,
    repeats: u32,
    /// Promised ones without records.
    barren: u32,
    /// With nothing new, where records were read twice.
    stale: u32,
    /// Without records, and nothing promises any.
    empty: u32,
    failures: u32,
}

/// A pass that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    pub kind: Kind,
    /// Records from before this time are not wanted. `None`: all are.
    pub floor: Option<DateTime<Utc>>,
    /// Where records grow older, the pass ends at those from before this time.
    window: Option<DateTime<Utc>>,
    way: Way,
    /// The first page's number.
    lowest: u64,
    /// After the end of the source, the pass goes back from before this page.
    then_back: Option<u64>,
    stretches: VecDeque<Stretch>,
    probe: Probe,
    /// Records on the pages that were read, and how many of them are not wanted.
    pub entries: u64,
    unwanted: u64,
    /// Records on promised pages that looked like a page before.
    again: u64,
    /// The sum of all pages' sums.
    sum_of_all: u64,
    /// How many alerts were ever delivered when a page was read last.
    delivered: u64,
    /// How many of them were not known before, and on which pages the first and the last of them stood.
    pub found: u64,
    found_on: Option<(u64, u64)>,
    /// One of them is newer than all that was seen before.
    pub found_newer: bool,
    /// What the source counted when the pass began, and whether that has changed since.
    total: Option<u64>,
    moved: bool,
    /// Whether a page has said how many records there are, and whether one has not that could have.
    said: bool,
    was_silent: bool,
    rose: bool,
    fell: bool,
    /// The sums of the page read last and of the first one.
    sum: Option<u64>,
    first_sum: Option<u64>,
    /// A page that is remembered to notice a server that begins anew behind its last page: where it stood and
    /// its sum.
    mark: Option<(u64, u64)>,
    in_a_row: InARow,
    /// In a row, across stretches: pages without records that nothing promises, or with nothing but what
    /// others have.
    nothing: u32,
    /// The last page with records.
    pub last_page: Option<u64>,
    /// Going back, the pass has gone on to the end first: where that was.
    met_end: Option<u64>,
    /// Going back: the last page on the way on, and its sum; or the first one that shows the same.
    end: Option<(u64, u64)>,
    /// The last page before new records that the pass may have gone past: they stood behind a page that was
    /// not full, or one without records that nothing had promised, so more may have come there since.
    pub skipped: Option<u64>,
    /// Whether the page read last was not full.
    was_short: bool,
    /// Up to this page the pass before has found records: where the source doesn't say how many there are,
    /// that promises them.
    expected: Option<u64>,
    trend: Trend,
    /// The page read last, what the source counted then, and the time of its last record: to see an order
    /// where pages have one record.
    before: Option<(u64, Totals, DateTime<Utc>)>,
    course: Course,
    /// A page that could not be read, when it could not be told whether others can.
    pub suspect: Option<u64>,
    /// Whether the pass has covered everything, not a window of it alone.
    is_whole: bool,
}

/// What a pass that begins is given.
#[derive(Debug, Clone)]
pub struct Plan {
    pub kind: Kind,
    pub floor: Option<DateTime<Utc>>,
    pub window: Option<DateTime<Utc>>,
    /// What live has read of the first pages in this cycle.
    pub prefix: Prefix,
    /// Whether it is asked anew whether pages are numbered from 0.
    pub probes: bool,
}

impl Pass {
    /// Begins a pass.
    pub fn begin(plan: Plan, source: &mut Source) -> Self {
        let Plan { kind, floor, window, prefix, probes } = plan;
        // In a window, from the newest end inward.
        let back = window.is_some() && source.order() == Some(End::Last);
        let then_back = source.last_page.filter(|last| back && *last > source.first());
        let from = then_back.unwrap_or(source.first());
        // Where live has just seen the end, a pass over the overlap need not look for it. Live may have it
        // from a total that stands still: one over everything sees for itself.
        let is_back = then_back.is_some() && then_back == prefix.last && kind == Kind::Overlap;
        let probes = probes && kind == Kind::All && source.first != Some(0);
        let mut pass = Self {
            kind,
            floor,
            window,
            way: if is_back { Way::Back } else { Way::On },
            lowest: source.first(),
            then_back: then_back.filter(|_| !is_back),
            stretches: VecDeque::from([Stretch { from, to: None, failures: 0 }]),
            probe: if probes && !planted::is(Planted::NumbersFromOne) { Probe::Zero(None) } else { Probe::Done },
            entries: 0,
            unwanted: 0,
            again: 0,
            sum_of_all: 0,
            delivered: 0,
            found: 0,
            found_on: None,
            found_newer: false,
            total: source.totals.records.filter(|_| prefix.pages.is_empty()),
            moved: false,
            said: false,
            was_silent: false,
            rose: false,
            fell: false,
            sum: None,
            first_sum: None,
            mark: None,
            in_a_row: InARow::default(),
            nothing: 0,
            last_page: None,
            met_end: then_back.filter(|_| is_back),
            end: None,
            skipped: None,
            was_short: false,
            expected: source.last_page.filter(|_| !source.totals_stand()),
            trend: Trend::default(),
            before: None,
            course: Course::Straight,
            suspect: None,
            is_whole: then_back.is_none(),
        };
        if then_back.is_none() {
            // What moved while live read them counts too.
            pass.take_prefix(prefix, source);
        }
        pass
    }

    /// A pass that goes on from this page, as one of an earlier version did.
    pub fn resumed(from: u64, floor: Option<DateTime<Utc>>, source: &mut Source) -> Self {
        let plan = Plan { kind: Kind::All, floor, window: floor, prefix: Prefix::default(), probes: false };
        let mut pass = Self::begin(plan, source);
        pass.then_back = None;
        pass.stretches = VecDeque::from([Stretch { from, to: None, failures: 0 }]);
        pass.probe = Probe::Done;
        pass.is_whole = false;
        pass
    }

    /// Live has read these pages just now: they need not be read again, and what it has found was not found
    /// here.
    fn take_prefix(&mut self, prefix: Prefix, source: &mut Source) {
        if prefix.numbered {
            self.probe = Probe::Done;
        }
        for (page, seen) in prefix.pages {
            if self.front() != Some(page) {
                continue;
            }
            if self.is_repeated(&Seen { new: 0, ..seen.clone() }) {
                // Whether it is one of its own is for the pass to see.
                break;
            }
            if let Probe::Zero(digests @ None) = &mut self.probe
                && page == 1
            {
                *digests = Some(seen.digests.clone());
            }
            self.note_total(seen.totals);
            self.was_short = !source.is_full(page, seen.records);
            self.take(page, &Seen { new: 0, ..seen }, source);
        }
    }

    /// The page to ask for; `None` when the pass is over.
    pub fn next_page(&self) -> Option<u64> {
        if let Probe::Zero(_) = self.probe { Some(0) } else { self.front() }
    }

    fn front(&self) -> Option<u64> {
        self.stretches.front().map(|stretch| stretch.from)
    }

    /// The pass ends at records from before this time, where they come in order.
    pub fn window(&self) -> Option<DateTime<Utc>> {
        self.window
    }

    /// The first page that the pass has not read; what is behind it is still to come.
    pub fn frontier(&self) -> Option<u64> {
        self.front().filter(|_| self.way == Way::On && self.then_back.is_none())
    }

    /// The last page that it has read, where it has gone past nothing on its way there.
    pub fn reached(&self) -> Option<u64> {
        self.last_page.filter(|_| self.way == Way::On && self.skipped.is_none() && self.stretches.len() == 1)
    }

    /// How many records the source says it has, where that can be.
    pub fn total(&self, source: &Source) -> Option<u64> {
        source.totals.records.filter(|total| *total >= self.entries && self.is_whole && !source.refuted)
    }

    /// Takes the new numbers of pages, after the page size has changed. What was jumped over is read anew
    /// with the rest.
    pub fn renumber(&mut self, renumbering: Renumbering) {
        self.then_back = self.then_back.map(|page| renumbering.page(page).max(1));
        self.met_end = self.met_end.map(|page| renumbering.page(page));
        if let Course::Left(_, next) = &mut self.course {
            *next = renumbering.page(*next);
        }
        let from = self.stretches.iter().map(|stretch| renumbering.page(stretch.from));
        self.stretches = match self.way {
            Way::On => from.min().map(|from| Stretch { from, to: None, failures: 0 }).into_iter().collect(),
            Way::Back => from.max().map(|from| Stretch { from, to: None, failures: 0 }).into_iter().collect(),
            // Single pages: without an end a look would become a walk that no end is looked for.
            Way::Aside => from.map(|from| Stretch { from, to: Some(from + 1), failures: 0 }).collect(),
        };
        self.probe = Probe::Done;
        (self.sum, self.first_sum, self.mark, self.expected) = (None, None, None, None);
        self.in_a_row = InARow::default();
        self.moved = true;
    }

    /// Takes note of the page that [`Pass::next_page`] named. Gives whether it was a gap and can be read.
    pub fn observe(
        &mut self,
        page: u64,
        reading: &Reading,
        source: &mut Source,
        gaps: &mut Gaps,
        now: DateTime<Utc>,
    ) -> bool {
        self.lowest = source.first();
        if let Probe::Zero(one) = &self.probe {
            let one = one.clone();
            self.observe_zero(one, reading, source);
            return false;
        }
        match reading {
            Reading::Records(seen) => {
                let reopens = gaps.note_records(page, seen, self.floor, now);
                self.observe_records(page, seen, source, gaps, now);
                return reopens;
            }
            Reading::Empty(totals) => {
                source.note_empty(page, *totals);
                if let Some(totals) = totals {
                    self.note_total(*totals);
                }
                self.observe_nothing(page, "the page is empty", source, gaps, now);
            }
            Reading::NotFound(words) => self.observe_nothing(page, words, source, gaps, now),
            Reading::Refused(words) if !self.promises(page, source) => {
                self.observe_nothing(page, words, source, gaps, now)
            }
            Reading::Refused(words) => {
                self.no_page_one(page, source);
                self.observe_failure(page, words, source, gaps, now);
            }
            Reading::Failed(words) => self.observe_failure(page, words, source, gaps, now),
            Reading::Unchanged => {
                self.observe_failure(page, "the API says that it has not changed", source, gaps, now);
            }
        }
        false
    }

    fn observe_zero(&mut self, one: Option<Vec<u64>>, zero: &Reading, source: &mut Source) {
        self.probe = Probe::Done;
        self.said |= match zero {
            Reading::Records(seen) => seen.totals.records.is_some(),
            Reading::Empty(totals) => totals.is_some_and(|totals| totals.records.is_some()),
            _ => false,
        };
        match (one, zero) {
            (Some(one), zero) => {
                if let Some(first) = numbered_from(zero, &one) {
                    source.first = Some(first);
                    if let (0, Reading::Records(seen)) = (first, zero) {
                        self.take_zero(seen.records, source);
                        self.note_found(0, seen);
                    }
                }
            }
            (None, Reading::Records(seen)) => {
                self.note_found(0, seen);
                self.probe = Probe::One(seen.digests.clone());
            }
            // Nothing of its own: what stands on page 1 will show that pages are counted from there.
            (None, Reading::Empty(_) | Reading::NotFound(_) | Reading::Refused(_)) => {
                self.probe = Probe::One(Vec::new())
            }
            (None, _) => {}
        }
    }

    fn observe_records(&mut self, page: u64, seen: &Seen, source: &mut Source, gaps: &mut Gaps, now: DateTime<Utc>) {
        let newer = source.note(page, seen, now);
        self.found_newer |= newer && seen.new > 0;
        self.note_total(seen.totals);
        let is_on = self.way == Way::On && self.then_back.is_none();
        if let Probe::One(zero) = &self.probe
            && (page == 1 || is_on)
        {
            let shared = seen.digests.iter().filter(|digest| zero.contains(digest)).count();
            // What stands on another page says nothing of page 0.
            if page == 1 && shared * 2 < zero.len() {
                self.take_zero(zero.len() as u64, source);
            } else if page == 1
                && source.first.is_none()
                && shared == zero.len()
                && !(zero.is_empty() && seen.new == seen.records)
            {
                // Where all of it is new, page 0 may have been empty because the source was. Where page 1 has
                // a part of page 0 alone, records may have come between the two answers.
                (source.first, source.zero_is_empty) = (Some(1), zero.is_empty());
            }
            self.probe = Probe::Done;
        } else if page <= 1 && source.first == Some(0) && self.sum == Some(seen.sum) {
            // Page 0 is answered with page 1, whichever way the pass goes, or as many came just now as a page
            // has.
            source.doubt_numbering();
        }
        let has_skipped = self.was_short || (1..=PROMISED_REPETITIONS).contains(&self.nothing);
        if has_skipped && seen.new > 0 && self.way == Way::On {
            self.skipped = self.skipped.or(page.checked_sub(u64::from(self.nothing) + 1));
        }
        self.was_short = !source.is_full(page, seen.records);
        self.in_a_row = InARow { barren: 0, empty: 0, failures: 0, ..self.in_a_row };
        if planted::is(Planted::BelievesEcho) && seen.echo.is_some_and(|echo| echo != page) {
            self.end_stretch();
            return;
        }
        if self.is_repeated(seen) {
            self.note_found(page, seen);
            // Records that move by whole pages look like a server that begins anew, for as many pages.
            self.in_a_row.repetitions = if self.sum == Some(seen.sum) { self.in_a_row.repetitions + 1 } else { 1 };
            self.in_a_row.repeats += 1;
            self.nothing = if seen.new == 0 { self.nothing + 1 } else { 0 };
            self.sum = Some(seen.sum);
            // Records of no order look the same where pages are small.
            self.again += if source.promises(page) { seen.records } else { 0 };
            let promised = self.promises(page + 1, source);
            let most = if promised { PROMISED_REPETITIONS } else { REPETITIONS };
            if self.in_a_row.repetitions >= most || self.in_a_row.repeats >= BARREN {
                source.behind_last = Some(seen.sum);
                if promised {
                    let end = source.end().unwrap_or(page + 2).max(page + 2);
                    gaps.add(page + 1..end, self.floor, "the API repeats the page before", now);
                }
                self.end_stretch();
            } else {
                self.advance(page);
            }
            return;
        }
        for stretch in self.take(page, seen, source) {
            // It lies before the window's end, and was only jumped over.
            let to = stretch.to.unwrap_or(stretch.from);
            gaps.add(stretch.from..to, self.floor, "pages beside it could not be read", now);
        }
        // Behind its last page a server may show other ones of its records on every page, without an end.
        let is_stale = seen.new == 0 && self.repeated() > 0;
        self.in_a_row.stale = if is_stale { self.in_a_row.stale + 1 } else { 0 };
        self.nothing = if is_stale { self.nothing + 1 } else { 0 };
        let most = if self.promises(page, source) { PROMISED_STALE } else { BARREN };
        if self.in_a_row.stale >= most && self.way == Way::On {
            self.is_whole = false;
            self.end_stretch();
        }
        let short = planted::is(Planted::EndsAtShortPage) && seen.records < source.largest;
        let counted = planted::is(Planted::BelievesCount) && Some(self.entries) >= source.totals.records;
        if short || counted && source.totals.records.is_some() {
            self.end_stretch();
        }
    }

    /// Whether the page has the records of the one before, or of one that was remembered: a server that
    /// repeats its last page, or begins anew behind it.
    fn is_repeated(&self, seen: &Seen) -> bool {
        if self.way != Way::On || self.sum.is_none() {
            return false;
        }
        if self.sum == Some(seen.sum) {
            return true;
        }
        // Records that move by whole pages look the same for one page.
        let begins_anew = self.first_sum == Some(seen.sum) || self.mark.is_some_and(|(_, sum)| sum == seen.sum);
        begins_anew && seen.new == 0
    }

    /// Takes the records of a page of its own. Gives the stretches that it does not come to any more.
    fn take(&mut self, page: u64, seen: &Seen, source: &mut Source) -> Vec<Stretch> {
        self.in_a_row = InARow { repetitions: 0, repeats: 0, ..self.in_a_row };
        self.entries += seen.records;
        self.unwanted += seen.unwanted;
        self.sum_of_all = self.sum_of_all.wrapping_add(seen.sum);
        self.delivered = self.delivered.max(seen.delivered);
        let is_beyond = source.end().is_some_and(|end| page >= end);
        let differs = self.sum.is_some_and(|sum| sum != seen.sum);
        source.refuted |= source.totals.records.is_some_and(|total| total < self.entries);
        source.refuted |= !self.is_whole && is_beyond && differs;
        self.note_found(page, seen);
        self.first_sum = self.first_sum.or(Some(seen.sum));
        // At each power of two, as cycles of any length are noticed.
        if page.is_power_of_two() || self.mark.is_none() {
            self.mark = Some((page, seen.sum));
        }
        self.sum = Some(seen.sum);
        self.last_page = self.last_page.max(Some(page));
        self.find_end(page, seen.sum, source);
        if let (Some((before, totals, time)), Some(first)) = (self.before, seen.times.first())
            // Where something came between the two, nothing follows from how they stand.
            && (before + 1, totals) == (page, seen.totals)
        {
            source.follow(&[time, *first]);
        }
        self.before = seen.times.last().map(|time| (page, seen.totals, *time));
        match self.way {
            Way::On => self.trend.follow(seen.times.iter().copied(), self.window),
            Way::Back => self.trend.follow(seen.times.iter().rev().copied(), self.window),
            Way::Aside => {}
        }
        self.advance(page);
        if self.way == Way::Aside {
            self.go_back(seen);
            return Vec::new();
        }
        self.leave_the_window(page, source)
    }

    /// Behind its last page a server may repeat it: then the first one of those that are alike is the last
    /// one. Or it shows an earlier one there: then the last one stands before it.
    fn find_end(&mut self, page: u64, sum: u64, source: &Source) {
        match (self.way, self.end) {
            (Way::On, _) if self.then_back.is_some() => self.end = Some((page, sum)),
            (Way::Back, None) => self.end = Some((page, sum)),
            (Way::Back, Some((end, same))) if sum == same && self.last_page == Some(end) => {
                if page + 1 == end {
                    (self.end, self.last_page) = (Some((page, sum)), Some(page));
                } else if source.behind_last == Some(sum) {
                    self.last_page = Some(end - 1);
                }
            }
            _ => {}
        }
    }

    fn observe_nothing(&mut self, page: u64, words: &str, source: &mut Source, gaps: &mut Gaps, now: DateTime<Utc>) {
        self.in_a_row.failures = 0;
        self.no_page_one(page, source);
        if self.way == Way::Back {
            if source.promises(page) {
                gaps.add(page..page + 1, self.floor, words, now);
            }
            // Otherwise there is less than there was.
            self.advance(page);
            return;
        }
        if self.way == Way::Aside {
            self.end_stretch();
            return;
        }
        if self.promises(page, source) && !planted::is(Planted::EndsAtEmptyPage) {
            gaps.add(page..page + 1, self.floor, words, now);
            self.in_a_row.barren += 1;
            if self.in_a_row.barren < BARREN {
                self.advance(page);
            } else {
                let end = source.end().max(self.expected.map(|last| last + 1)).unwrap_or(page + 1);
                gaps.add(page + 1..end.max(page + 1), self.floor, words, now);
                self.end_stretch();
            }
            return;
        }
        self.in_a_row.empty += 1;
        self.nothing += 1;
        let stands = source.totals_stand() && source.totals.records <= Some(self.entries);
        if self.in_a_row.empty >= if stands || planted::is(Planted::EndsAtEmptyPage) { 1 } else { 2 } {
            self.end_stretch();
        } else {
            self.advance(page);
        }
    }

    /// Page 1 has no records: those of page 0, if it has any, do not stand there. An empty source says
    /// nothing.
    fn no_page_one(&mut self, page: u64, source: &mut Source) {
        if let (Probe::One(zero), 1) = (&self.probe, page) {
            if !zero.is_empty() {
                self.take_zero(zero.len() as u64, source);
            }
            self.probe = Probe::Done;
        }
    }

    /// Page 0 has so many records of its own, and they were taken.
    fn take_zero(&mut self, records: u64, source: &mut Source) {
        (source.first, source.looks_alike) = (Some(0), false);
        self.entries += records;
        self.last_page = self.last_page.max(Some(0));
    }

    fn observe_failure(&mut self, page: u64, words: &str, source: &mut Source, gaps: &mut Gaps, now: DateTime<Utc>) {
        source.note_failed(page);
        gaps.add(page..page + 1, self.floor, words, now);
        if planted::is(Planted::BlocksOnGap) {
            return;
        }
        self.in_a_row.empty = 0;
        self.in_a_row.failures += 1;
        let Some(stretch) = self.stretches.front_mut() else { return };
        stretch.failures += 1;
        if self.way != Way::On {
            if self.way == Way::Back && self.in_a_row.failures < GIVES_UP {
                self.advance(page)
            } else {
                self.end_stretch()
            }
            return;
        }
        if let Some(to) = stretch.to {
            if stretch.failures >= STRETCH_FAILURES {
                gaps.add(page + 1..to, self.floor, words, now);
                self.end_stretch();
            } else {
                self.advance(page);
            }
            return;
        }
        let step =
            if self.in_a_row.failures < JUMPS_FROM { 1 } else { 2 << (self.in_a_row.failures - JUMPS_FROM).min(40) };
        let target = page.saturating_add(step);
        // Behind an end that is named, and before which all that is counted was read, a failure is no more
        // than an end.
        let is_all = source.totals_stand()
            && source.totals.records.is_some_and(|total| total <= self.entries)
            && source.last_page.is_none_or(|last| last <= page);
        let end = source.end().filter(|_| is_all);
        let gives_up = self.in_a_row.failures >= GIVES_UP || end.is_some_and(|end| page >= end);
        let jumped = page + 1..if gives_up { page + 1 } else { target };
        if jumped.end > jumped.start {
            if self.stretches.len() < STRETCHES {
                self.stretches.push_back(Stretch { from: jumped.start, to: Some(jumped.end), failures: 0 });
            } else {
                gaps.add(jumped, self.floor, words, now);
            }
        }
        if gives_up {
            self.end_stretch();
        } else if let Some(stretch) = self.stretches.front_mut() {
            stretch.from = target;
        }
    }

    /// Whether there should be records on this page.
    fn promises(&self, page: u64, source: &Source) -> bool {
        // Live may have gone further than the pass before.
        let expected = self.expected.max(source.last_page.filter(|_| self.expected.is_some()));
        source.promises(page) || expected.is_some_and(|last| page <= last)
    }

    /// Goes to the page behind this one, on the pass's way.
    fn advance(&mut self, page: u64) {
        let Some(stretch) = self.stretches.front_mut() else { return };
        match self.way {
            Way::On | Way::Aside => stretch.from = page + 1,
            Way::Back if page <= self.lowest => return self.end_stretch(),
            Way::Back => stretch.from = page - 1,
        }
        if stretch.to.is_some_and(|to| stretch.from >= to) {
            self.end_stretch();
        }
    }

    fn end_stretch(&mut self) {
        self.stretches.pop_front();
        if self.stretches.is_empty()
            && let Some(from) = self.then_back.take()
        {
            (self.way, self.trend) = (Way::Back, Trend::default());
            self.met_end = self.last_page.max(Some(from));
            self.stretches.push_back(Stretch { from: from - 1, to: None, failures: 0 });
        }
        self.in_a_row = InARow::default();
        self.sum = None;
    }

    /// Ends the pass where all that is still to come is older than the window, after a look at the other end.
    /// Gives the stretches before that, which were jumped over.
    fn leave_the_window(&mut self, page: u64, source: &Source) -> Vec<Stretch> {
        let is_inward = self.way != Way::Aside && self.then_back.is_none() && self.course != Course::Everything;
        let mut jumped = Vec::new();
        let Some(window) = self.window.filter(|_| is_inward) else { return jumped };
        let left = self.trend.falls() && self.trend.newest_possible().is_some_and(|newest| newest < window);
        // What is wanted and not read now, no later pass would read: so records have to grow older beyond the
        // window too.
        let left = left && (self.kind == Kind::Overlap || self.trend.falls_beyond());
        let wrong_end = self.way == Way::On && self.trend.rises() && self.trend.newest() < Some(window);
        if left {
            let other = match self.way {
                Way::On => source.last_page.max(source.end().map(|end| end - 1)).filter(|last| *last > page),
                Way::Back | Way::Aside => Some(source.first()),
            };
            self.is_whole = false;
            jumped.extend(self.stretches.drain(..).filter(|stretch| stretch.to.is_some_and(|to| to <= page)));
            let is_straight = std::mem::replace(&mut self.course, Course::Turned) == Course::Straight;
            if let Some(other) = other.filter(|_| is_straight) {
                let looks = if self.kind == Kind::All { LOOKS_ASIDE } else { 1 };
                let mut looks: Vec<_> = (1..=looks).map(|part| between(page, other, part, looks)).collect();
                looks.dedup();
                looks.retain(|look| *look != page);
                let looks = looks.into_iter().map(|from| Stretch { from, to: Some(from + 1), failures: 0 });
                self.stretches.extend(looks);
                let next = if self.way == Way::On { Some(page + 1) } else { page.checked_sub(1) };
                if let Some(next) = next.filter(|next| *next >= self.lowest) {
                    self.course = Course::Left(self.way, next);
                }
            }
            self.way = Way::Aside;
        } else if wrong_end && self.course == Course::Straight {
            let end = source.last_page.or(source.end().map(|end| end - 1));
            if let Some(last) = end.filter(|last| *last > page + 1) {
                self.is_whole = false;
                self.course = Course::Turned;
                (self.then_back, self.trend, self.sum) = (Some(last), Trend::default(), None);
                self.stretches = VecDeque::from([Stretch { from: last, to: None, failures: 0 }]);
            }
        }
        jumped
    }

    /// A page beyond the window has these records. Where they are wanted, so may be others, whatever the
    /// times made of it: late ones in a bulk look like an order. In the overlap, what was delivered proves
    /// nothing: one date may be wrong.
    fn go_back(&mut self, seen: &Seen) {
        let is_wanted = |time: &DateTime<Utc>| self.window.is_none_or(|window| *time >= window);
        let contradicts = match self.kind {
            Kind::All => seen.times.iter().any(is_wanted),
            Kind::Overlap => seen.new > 0,
        };
        if let (Course::Left(way, from), true) = (self.course, contradicts) {
            (self.way, self.course, self.sum) = (way, Course::Everything, None);
            self.stretches = VecDeque::from([Stretch { from, to: None, failures: 0 }]);
        }
    }

    fn note_total(&mut self, totals: Totals) {
        self.said |= totals.records.is_some();
        self.was_silent |= totals.records.is_none();
        if let Some(now) = totals.records {
            self.moved |= self.total.is_some_and(|before| before != now);
            self.rose |= self.total.is_some_and(|before| before < now);
            self.fell |= self.total.is_some_and(|before| before > now);
            self.total = Some(now);
        }
    }

    fn note_found(&mut self, page: u64, seen: &Seen) {
        if seen.new > 0 {
            self.found += seen.new;
            let (first, last) = self.found_on.unwrap_or((page, page));
            self.found_on = Some((first.min(page), last.max(page)));
        }
    }

    /// How many records were read twice at the least: so many more than there are.
    pub fn repeated(&self) -> u64 {
        (self.entries + self.again - self.unwanted).saturating_sub(self.delivered)
    }

    /// Stands for all records that were read, in any order; never 0.
    pub fn fingerprint(&self) -> u64 {
        self.sum_of_all | 1
    }

    /// Whether what was read can be held against what the source counts: all of it was read while the total
    /// stood.
    pub fn is_checkable(&self) -> bool {
        self.is_whole && !self.moved
    }

    /// Whether the total has gone up and down under its hands.
    pub fn has_fluttered(&self) -> bool {
        self.rose && self.fell
    }

    /// Whether the total has changed under its hands.
    pub fn has_moved(&self) -> bool {
        self.moved
    }

    /// Whether the source says no more how many records there are.
    pub fn met_no_total(&self) -> bool {
        self.is_whole && self.was_silent && !self.said
    }

    /// Whether the pass knows where the source ends.
    pub fn knows_end(&self) -> bool {
        self.is_whole || self.met_end.is_some()
    }

    /// Whether this page lies behind the end that the pass has met on its way back: it came since.
    pub fn is_behind_end(&self, page: Option<u64>) -> bool {
        self.met_end.is_some_and(|end| page > Some(end))
    }

    /// Whether the pass has read everything, not a window of it.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The end at which all that was found stood.
    pub fn found_at(&self, source: &Source) -> Option<End> {
        let (first, last) = self.found_on?;
        if last <= source.first() {
            Some(End::First)
        } else if source.last_page.is_some_and(|last_page| first >= last_page.max(source.first() + 1)) {
            Some(End::Last)
        } else {
            None
        }
    }
}

/// The page that lies so many of all parts of the way from one to the other.
fn between(from: u64, to: u64, part: u64, parts: u64) -> u64 {
    let way = from.abs_diff(to) / parts * part + from.abs_diff(to) % parts * part / parts;
    if to > from { from + way } else { from - way }
}
