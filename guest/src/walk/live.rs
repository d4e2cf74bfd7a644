//! Live: what is new at the source, looked for at its newest end at the beginning of every cycle.
//!
//! Where that end is, times suggest and finds show. From there live goes inward until it meets what is known,
//! and where the total tells of more than it has found, it looks at the other end too. What it can't explain
//! is evidence: a pass will look.

use chrono::{DateTime, Utc};

use super::gaps::Gaps;
use super::reading::{Reading, Seen};
use super::schedule::Schedule;
use super::source::{End, PROMISED_STALE, Source};
use crate::planted::{self, Planted};

/// Failing pages that live skips.
const FAILING: u32 = 3;

/// Where all of the first pages fail, live asks for so many pages behind the first one, for others in each
/// cycle, and for none further behind than this.
const FURTHER: u64 = 4;
const FURTHEST: u64 = 64;

/// Records at the newest end that are remembered, to know again what live has read itself.
const TOP: usize = 4;

/// Pages in a row that show nothing but what this look has read, after which a server is taken to repeat its
/// last one forever.
const REPETITIONS: u32 = 2;

/// Pages without records that live passes where the last page should be.
const EMPTY: u32 = 12;

/// Why live could not go on: the budget is used up, or the API can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut;

/// What has been read in order from the first page on: where a pass that begins now can go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prefix {
    pub pages: Vec<(u64, Seen)>,
    /// Whether it was asked too whether there is a page 0.
    pub numbered: bool,
    /// The last page, if live has seen that nothing is behind it.
    pub last: Option<u64>,
}

/// One look of live.
pub struct Live<'a> {
    pub source: &'a mut Source,
    pub gaps: &'a mut Gaps,
    pub schedule: &'a mut Schedule,
    /// The page where the pass over the first history stands: what is behind it is for that pass.
    pub frontier: Option<u64>,
    /// New records that passes have found since live looked last.
    pub found_elsewhere: u64,
    pub now: DateTime<Utc>,
    /// Records from before this time are not wanted. `None`: all are.
    pub floor: Option<DateTime<Utc>>,
    /// Pages from the first one on, as they were read.
    pub prefix: Prefix,
    /// The total when live looked last.
    baseline: Option<u64>,
    /// Pages 1 and 0, if they were asked for to learn how pages are numbered.
    numbered: Vec<(u64, Reading)>,
    /// What was found by now.
    found: u64,
    /// Something was found that is newer than all that was seen before.
    found_newer: bool,
    /// The page at which it met what is known.
    innermost: Option<u64>,
    /// The pages that were read: that their records are known now says nothing of what is behind them.
    read: Vec<(u64, Seen)>,
    failed: u32,
    succeeded: u32,
}

impl<'a> Live<'a> {
    pub fn new(
        source: &'a mut Source,
        gaps: &'a mut Gaps,
        schedule: &'a mut Schedule,
        frontier: Option<u64>,
        found_elsewhere: u64,
        floor: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Self {
        let baseline = source.live_total;
        Self {
            source,
            gaps,
            schedule,
            frontier,
            found_elsewhere,
            floor,
            now,
            prefix: Prefix::default(),
            baseline,
            numbered: Vec::new(),
            found: 0,
            found_newer: false,
            innermost: None,
            read: Vec::new(),
            failed: 0,
            succeeded: 0,
        }
    }

    /// Whether pages failed and none could be read: that is no matter of single pages.
    pub fn all_failed(&self) -> bool {
        // Where pages are numbered from 0, one page has no page 1.
        self.succeeded == 0 && self.failed > u32::from(self.source.first.is_none())
    }

    /// Looks for what is new. `read` reads a page.
    pub fn run(&mut self, read: &mut dyn FnMut(u64) -> Result<Reading, Cut>) -> Result<(), Cut> {
        let looked = self.look_where_it_is(read);
        if looked.is_err() {
            // Whatever it was about to ask for: what lies behind the last page that it has read is not known.
            self.leave_open();
        }
        if self.succeeded > 0 {
            self.source.further = 0;
        } else if self.failed > 0 && self.source.further == 0 {
            // Also where the budget has ended before it could be tried.
            self.source.further = 1;
        }
        // Whatever was cut off: what is not explained now will not explain itself later.
        if self.source.tells_of_more() {
            self.schedule.note_evidence();
        }
        if self.baseline.is_some() && self.found_elsewhere == 0 && looked.is_ok() {
            self.source.note_growth(self.growth(), self.found);
        }
        if self.found > 0 {
            self.schedule.note_find();
        }
        self.source.live_has_looked();
        looked
    }

    fn look_where_it_is(&mut self, read: &mut dyn FnMut(u64) -> Result<Reading, Cut>) -> Result<(), Cut> {
        let begins_at_first = self.last_page().is_none();
        // Every other time: where the budget is one request, the first pages have to be asked for too.
        self.source.begins_further = self.source.further > 0 && !self.source.begins_further;
        if self.source.begins_further {
            self.look_further(1, read)?;
        }
        if self.source.first.is_none() && !planted::is(Planted::NumbersFromOne) {
            self.learn_numbering(read)?;
        }
        let (end, contradiction) = self.source.newest_end();
        // The total may stand still: so that what comes at either end is found.
        let end = if self.source.take_turns() { end.other() } else { end };
        // Where nothing could be read, few requests tell whether the first pages can be; many may go to the
        // other end.
        let end = if begins_at_first || self.source.further > 0 { End::First } else { end };
        if let Some(before) = self.source.first_sum.filter(|_| self.source.looks_alike) {
            let first = self.ask_once(self.source.first(), read)?;
            if let Reading::Records(first) = first
                && first.sum != before
            {
                self.source.first_sum = Some(first.sum);
                // What was the only page may have become two. If that is cut off, the next look asks.
                self.source.doubt_numbering();
                self.learn_numbering(read)?;
            }
        }
        self.look(end, read)?;
        if self.all_failed() {
            // Whether it is the API or that end.
            self.look(end.other(), read)?;
            if self.all_failed() && self.source.first == Some(1) {
                self.ask_for_zero(read)?;
            }
            return self.look_further(FURTHER, read);
        }
        if self.source.tells_of_more() {
            self.look_inward(end, read)?;
        }
        // At the very start, where records don't grow older, the newest may be at the end that the totals
        // name.
        let is_start = self.source.last_page.is_none() && self.source.guess() != Some(End::First);
        // Where the total tells of what comes, it says when the other end has to be looked at.
        let contradiction = contradiction && !self.source.totals_tell_growth();
        if contradiction || self.source.tells_of_more() || is_start {
            self.look(end.other(), read)?;
        }
        if self.source.may_have_page_zero(self.now) && !self.prefix.numbered {
            self.ask_for_zero(read)?;
        }
        Ok(())
    }

    fn growth(&self) -> i64 {
        let now = self.source.totals.records;
        self.baseline.zip(now).map_or(0, |(before, now)| signed(now) - signed(before))
    }

    /// One page further than where live met what is known, and on as long as there is something new: of the
    /// records of one moment, a known one may stand before others, and a pass may have delivered the newest
    /// before live saw them.
    fn look_inward(&mut self, end: End, read: &mut dyn FnMut(u64) -> Result<Reading, Cut>) -> Result<(), Cut> {
        if self.frontier.is_some() {
            return Ok(());
        }
        while self.source.tells_of_more()
            && let Some(page) = self.innermost
        {
            let next = match end {
                End::First => page.checked_add(1),
                End::Last => page.checked_sub(1).filter(|page| *page >= self.source.first()),
            };
            let Some(next) = next else { break };
            self.innermost = Some(next);
            match self.ask_once(next, read)? {
                Reading::Records(seen) if seen.new > 0 => {
                    if seen.new == seen.records && !self.source.tells_of_more() {
                        // Nothing known was met, and a total that counts less than there is says that this
                        // was all.
                        self.leave_open();
                    }
                }
                _ => break,
            }
        }
        Ok(())
    }

    /// Asks for page 0, which was empty when it was asked for. With records of its own it is the first page.
    fn ask_for_zero(&mut self, read: &mut dyn FnMut(u64) -> Result<Reading, Cut>) -> Result<(), Cut> {
        let zero = self.ask(0, read)?;
        self.source.numbered_at = Some(self.now);
        self.prefix.numbered |= !zero.has_records();
        if zero.has_records() {
            self.source.doubt_numbering();
        }
        Ok(())
    }

    /// Asks for pages 1 and 0, or, where the budget has ended that half way the last time, for 0 and 1. Page
    /// 0 has records of its own where pages are counted from it. No answer, an error, or no records at all
    /// prove nothing.
    fn learn_numbering(&mut self, read: &mut dyn FnMut(u64) -> Result<Reading, Cut>) -> Result<(), Cut> {
        let mut pages = [1, 0];
        if self.source.begins_with_zero {
            pages.reverse();
        }
        self.source.begins_with_zero = !self.source.begins_with_zero;
        for page in pages {
            let reading = self.ask_once(page, read)?;
            self.numbered.push((page, reading));
        }
        self.source.begins_with_zero = false;
        if let [(0, Reading::Empty(_)), (1, Reading::Records(one))] = &self.numbered[..]
            && one.new == one.records
        {
            // The source may have been empty until just now.
            let zero = self.ask(0, read)?;
            self.numbered[0].1 = zero;
        }
        let reading = |page| self.numbered.iter().find(|(read, _)| *read == page).map(|(_, reading)| reading);
        let (Some(one), Some(zero)) = (reading(1), reading(0)) else { return Ok(()) };
        let first = match (one, zero) {
            (Reading::Records(one), zero) => numbered_from(zero, &one.digests),
            (_, Reading::Records(_)) => Some(0),
            _ => None,
        };
        let zero = zero.clone();
        if first == Some(0) {
            // What came between the two answers makes one page look like two.
            let again = self.ask(1, read)?;
            // What was not there when it was asked for first has come since.
            if let Some((_, one)) = self.numbered.iter_mut().find(|(page, one)| *page == 1 && !one.has_records()) {
                *one = again.clone();
            }
            if let (Reading::Records(zero), Reading::Records(again)) = (&zero, &again)
                && zero.sum == again.sum
            {
                return Ok(());
            }
        }
        self.source.looks_alike = match (&zero, self.numbered.iter().find(|(page, _)| *page == 1)) {
            (Reading::Records(zero), Some((_, Reading::Records(one)))) => zero.sum == one.sum,
            _ => false,
        };
        self.source.first = first;
        self.source.zero_is_empty = !zero.has_records();
        self.source.numbered_at = Some(self.now);
        self.prefix.numbered = true;
        Ok(())
    }

    /// Where the first pages fail: whether others do too.
    fn look_further(&mut self, pages: u64, read: &mut dyn FnMut(u64) -> Result<Reading, Cut>) -> Result<(), Cut> {
        if let Some(page) = self.source.readable.take() {
            self.ask(page, read)?;
        }
        for _ in 0..pages {
            if self.succeeded > 0 {
                break;
            }
            let page = self.source.first() + self.source.further.max(1);
            self.source.further = self.source.further.max(1) % FURTHEST + 1;
            self.ask(page, read)?;
        }
        Ok(())
    }

    /// The last page: the one that was found last, but none that the totals know better of; at the very start
    /// the one that they name.
    fn last_page(&self) -> Option<u64> {
        let named = self.source.end().map(|end| end - 1);
        let last = match self.source.last_page {
            Some(known) => Some(named.filter(|_| self.source.totals_stand()).map_or(known, |named| named.min(known))),
            None => self.source.named_last().filter(|_| self.schedule.passes == 0),
        };
        let last = last.map(|last| self.source.skipped.map_or(last, |skipped| skipped.min(last)));
        last.map(|last| last.max(self.source.first()))
    }

    fn look(&mut self, end: End, read: &mut dyn FnMut(u64) -> Result<Reading, Cut>) -> Result<(), Cut> {
        let found = self.found;
        self.found_newer = false;
        let looked = match end {
            End::First => self.look_at_first(read),
            End::Last => self.look_at_last(read),
        };
        // The first history says nothing of where new alerts appear.
        if self.found > found && self.schedule.passes > 0 {
            self.source.note_find(end, self.found_newer);
        }
        looked
    }

    /// From the first page on, until a page's last record is known.
    fn look_at_first(&mut self, read: &mut dyn FnMut(u64) -> Result<Reading, Cut>) -> Result<(), Cut> {
        let first = self.source.first();
        let (mut page, mut failing, mut repeated, mut known, mut before) = (first, 0, 0, 0, None);
        let top = std::mem::take(&mut self.source.top);
        let mut met_top = false;
        loop {
            let reading = self.ask_once(page, read)?;
            self.innermost = Some(page);
            match reading {
                Reading::Records(seen) => {
                    if page == first {
                        self.source.first_sum = Some(seen.sum);
                        self.source.top = seen.digests.iter().take(TOP).copied().collect();
                    }
                    met_top |= seen.digests.iter().any(|digest| top.contains(digest));
                    known += seen.records - seen.new;
                    if page == 1 && first == 0 && before == Some(seen.sum) {
                        // Page 0 is answered with page 1, or as many came just now as a page has.
                        self.source.doubt_numbering();
                    }
                    // What passes have delivered since, new records may stand behind.
                    let knew_nothing = top.is_empty() && self.frontier.is_some();
                    let is_of_passes = !met_top && !knew_nothing && known <= self.found_elsewhere;
                    if seen.last_known && is_of_passes && page >= first + u64::from(EMPTY) {
                        // As many pages of them are a pass's to read.
                        self.leave_open();
                        self.schedule.note_evidence();
                        return Ok(());
                    }
                    let is_known = seen.last_known && !is_of_passes && !self.was_read(page, seen.digests.last());
                    repeated = if self.shows_nothing_else(page, &seen) { repeated + 1 } else { 0 };
                    before = Some(seen.sum);
                    let is_next = self.prefix.pages.last().map_or(self.source.first(), |(last, _)| last + 1) == page;
                    if is_next && failing == 0 {
                        self.prefix.pages.push((page, seen));
                    }
                    if is_known {
                        return Ok(());
                    }
                    if repeated == REPETITIONS {
                        self.leave_open();
                        return Ok(());
                    }
                }
                // There is no source without its first page.
                Reading::Failed(_) | Reading::Refused(_)
                    if is_failure(&reading, page == first && self.succeeded == 0) =>
                {
                    failing += 1;
                    if failing == FAILING {
                        self.leave_open();
                        return Ok(());
                    }
                }
                _ => {
                    // Whether it is the end is for a pass to see, where nothing known was met.
                    if self.schedule.passes > 0 {
                        self.leave_open();
                    }
                    return Ok(());
                }
            }
            page += 1;
            // A page that fails says nothing of what is behind it, nor whether there is an API.
            if failing == 0 && self.frontier.is_some_and(|frontier| page >= frontier) {
                return Ok(());
            }
        }
    }

    /// From the last page back to one with something known, then on to the end.
    fn look_at_last(&mut self, read: &mut dyn FnMut(u64) -> Result<Reading, Cut>) -> Result<(), Cut> {
        let Some(start) = self.last_page() else { return Ok(()) };
        let is_first_look = self.source.last_page.is_none();
        let (mut page, mut failing, mut empty) = (start, 0, 0);
        let mut outermost: Option<(u64, Seen)> = None;
        let mut has_met_known = is_first_look;
        loop {
            let reading = self.ask_once(page, read)?;
            self.innermost = Some(page);
            match reading {
                Reading::Records(seen) => {
                    let is_known = seen.any_known() && !self.shows_nothing_else_known(page, &seen);
                    has_met_known |= is_known;
                    outermost.get_or_insert((page, seen));
                    // At the very start nothing is known: what lies before is for the pass.
                    if is_known || is_first_look {
                        break;
                    }
                }
                Reading::Unchanged => return Ok(()),
                Reading::Failed(_) => {
                    failing += 1;
                    if failing == FAILING {
                        self.leave_open();
                        return Ok(());
                    }
                }
                Reading::Empty(_) | Reading::NotFound(_) | Reading::Refused(_) => {
                    empty += 1;
                    if empty == EMPTY {
                        return Ok(());
                    }
                    // There is less than there was.
                    page = self.source.end().filter(|end| *end < page).unwrap_or(page);
                }
            }
            if page <= self.source.first() {
                break;
            }
            page -= 1;
        }
        let Some((mut page, mut seen)) = outermost else { return Ok(()) };
        let mut stale = 0;
        loop {
            self.source.last_page = Some(page);
            self.source.last_sum = Some(seen.sum);
            let is_full = self.source.is_full(page, seen.records);
            // Where nothing is known up to the first page, what was known stands further on.
            let ends = has_met_known && !is_full && !self.source.promises(page + 1) && !self.source.tells_of_more();
            if ends && (self.source.totals_stand() || self.source.promises(page)) {
                self.prefix.last = Some(page);
                self.source.skipped = None;
                return Ok(());
            }
            page += 1;
            match self.ask_once(page, read)? {
                // Behind its last page a server may show an earlier one.
                Reading::Records(next)
                    if next.new > 0
                        || self.source.promises(page) && !self.is_known_from_behind(&next, &seen)
                        // The first one may have moved here; then what the total tells of stands behind it.
                        || self.source.promises(page) && self.source.tells_of_more() && stale < PROMISED_STALE
                        || stale < EMPTY && !self.is_shown_again(&next, &seen) =>
                {
                    stale = if next.new > 0 { 0 } else { stale + 1 };
                    has_met_known |= next.any_known();
                    let is_beyond = self.source.totals_stand() && !self.source.promises(page);
                    if next.new == 0 && is_beyond && !self.gaps.contains(1) {
                        // One page more than is counted: page 0 may be none of its own, which page 1 tells.
                        self.source.doubt_page_zero(self.now);
                    }
                    if next.new > 0 && !self.source.is_full(page - 1, seen.records) {
                        // It was the last one when it was read, so records have come there since.
                        self.leave_open();
                    }
                    seen = next
                }
                Reading::Failed(_) => {
                    self.leave_open();
                    return Ok(());
                }
                Reading::Empty(_) | Reading::NotFound(_) if !self.source.promises(page) => {
                    // Without totals that stand, one page without records is not the end yet.
                    self.prefix.last = self.source.totals_stand().then_some(page - 1);
                    self.source.skipped = None;
                    return Ok(());
                }
                Reading::Records(next) if stale > 0 && next.sum == seen.sum => {
                    // The page before was the first one of those that are shown behind the last one.
                    self.source.behind_last = Some(next.sum);
                    self.source.last_page = Some(page.saturating_sub(2).max(self.source.first()));
                    return Ok(());
                }
                _ => return Ok(()),
            }
            // The history is for the first pass.
            if self.frontier.is_some() && is_first_look && !self.source.promises(page + 1) {
                self.source.last_page = Some(page);
                return Ok(());
            }
        }
    }

    /// Asks for a page, unless this look has asked for it already.
    fn ask_once(&mut self, page: u64, read: &mut dyn FnMut(u64) -> Result<Reading, Cut>) -> Result<Reading, Cut> {
        if let Some((_, seen)) = self.read.iter().find(|(read, _)| *read == page) {
            return Ok(Reading::Records(seen.clone()));
        }
        if let Some((_, reading)) = self.numbered.iter().find(|(read, _)| *read == page) {
            return Ok(reading.clone());
        }
        self.ask(page, read)
    }

    /// Whether the page shows what the one before it has, or what passes have seen behind the last one.
    fn is_known_from_behind(&self, seen: &Seen, before: &Seen) -> bool {
        [Some(before.sum), self.source.behind_last].contains(&Some(seen.sum))
    }

    /// Whether the page shows what the one before it has, the first one, or what is shown behind the last
    /// one.
    fn is_shown_again(&self, seen: &Seen, before: &Seen) -> bool {
        self.is_known_from_behind(seen, before) || self.source.first_sum == Some(seen.sum)
    }

    /// Takes note of the order from one page to the next, for pages may have one record each. Where something
    /// came between the two, or one is shown again, nothing follows from how they stand.
    fn follow(&mut self, page: u64, seen: &Seen) {
        let again = [self.source.first_sum, self.source.behind_last];
        if page > self.source.first() && again.contains(&Some(seen.sum)) {
            return;
        }
        let pages = self.read.iter().filter(|(_, other)| other.totals == seen.totals && other.sum != seen.sum);
        let read = |page| pages.clone().find(|(read, _)| Some(*read) == page).map(|(_, seen)| &seen.times);
        let before = read(page.checked_sub(1)).and_then(|times| times.last()).zip(seen.times.first());
        let after = seen.times.last().zip(read(page.checked_add(1)).and_then(|times| times.first()));
        let steps = [before, after].map(|step| step.map(|(one, other)| [*one, *other]));
        steps.into_iter().flatten().for_each(|step| self.source.follow(&step));
    }

    /// Whether this look has read a record of this digest on another page.
    fn was_read(&self, page: u64, digest: Option<&u64>) -> bool {
        let mut others = self.read.iter().filter(|(read, _)| *read != page);
        digest.is_some_and(|digest| others.any(|(_, seen)| seen.digests.contains(digest)))
    }

    /// Whether all records of the page were read by this look on other pages.
    fn shows_nothing_else(&self, page: u64, seen: &Seen) -> bool {
        seen.new == 0 && seen.digests.iter().all(|digest| self.was_read(page, Some(digest)))
    }

    /// Whether the records of the page that are known were all read by this look on other pages.
    fn shows_nothing_else_known(&self, page: u64, seen: &Seen) -> bool {
        let read = seen.digests.iter().filter(|digest| self.was_read(page, Some(digest))).count() as u64;
        seen.records - seen.new <= read
    }

    /// A run ends before it has met what is known.
    fn leave_open(&mut self) {
        self.schedule.open |= self.found > 0 && !planted::is(Planted::NoOpen);
    }

    fn ask(&mut self, page: u64, read: &mut dyn FnMut(u64) -> Result<Reading, Cut>) -> Result<Reading, Cut> {
        let reading = read(page)?;
        match &reading {
            Reading::Records(seen) => {
                self.succeeded += 1;
                self.follow(page, seen);
                self.read.push((page, seen.clone()));
                self.found += seen.new;
                if seen.new > 0 && (self.source.last_page.is_some() || self.schedule.passes > 0) {
                    // It goes on at least to here.
                    self.source.last_page = self.source.last_page.max(Some(page));
                }
                self.source.taken += seen.new;
                let newer = self.source.note(page, seen, self.now);
                self.found_newer |= newer && seen.new > 0;
                // What nobody knew stands where the totals say that there is nothing.
                self.source.refuted |= seen.new > 0 && self.source.end().is_some_and(|end| page >= end);
                // What was on a page that can be read now may have moved elsewhere since.
                self.schedule.reopened |= self.gaps.note_records(page, seen, self.floor, self.now);
            }
            Reading::Empty(totals) => {
                self.succeeded += 1;
                self.source.note_empty(page, *totals);
            }
            Reading::Unchanged => self.succeeded += 1,
            Reading::NotFound(words) | Reading::Refused(words) | Reading::Failed(words) => {
                self.failed += 1;
                self.source.note_failed(page);
                // Page 0 need not be there, whatever is promised.
                let is_one = page > 0 || self.source.first == Some(0);
                if is_one && self.source.promises(page)
                    || matches!(reading, Reading::Failed(_)) && page >= self.source.first()
                {
                    self.gaps.add(page..page + 1, self.floor, words, self.now);
                }
            }
        }
        Ok(reading)
    }
}

/// Whether the page could not be read. `is_needed`: there is no source without it.
fn is_failure(reading: &Reading, is_needed: bool) -> bool {
    matches!(reading, Reading::Failed(_)) || is_needed && matches!(reading, Reading::Refused(_))
}

/// The number of the first page, by what page 0 has shown and the digests of what stands on page 1. `None`:
/// it can't be told.
pub fn numbered_from(zero: &Reading, one: &[u64]) -> Option<u64> {
    match zero {
        Reading::Records(zero) => {
            let shared = zero.digests.iter().filter(|digest| one.contains(digest)).count();
            Some(if shared * 2 >= zero.digests.len() { 1 } else { 0 })
        }
        Reading::Empty(_) | Reading::NotFound(_) | Reading::Refused(_) => Some(1),
        Reading::Failed(_) | Reading::Unchanged => None,
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
