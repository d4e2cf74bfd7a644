//! What is known about a source from what it has shown.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::reading::{Seen, Totals};

/// Steps from a record to one of another time before an order is guessed from them, and the share that must
/// go one way.
const STEPS: u32 = 8;
const SHARE: (u32, u32) = (9, 10);

/// Steps that are remembered. Of more, all are halved, so that an order that changes is noticed.
const MOST_STEPS: u32 = 400;

/// New records that live has found are remembered by their end this often.
const FINDS: usize = 4;

/// Finds in a row without growth of the total after which it is taken for one that stands still.
const STANDING_STILL: u32 = 3;

/// Passes in a row that found nothing of what the total told of, after which it is taken for one that goes up
/// and down by itself.
const FALSE_ALARMS: u32 = 3;

/// Pages in a row with records that were all read before, up to which a promise is followed.
pub const PROMISED_STALE: u32 = 48;

/// How often a source is asked whether its pages are numbered from 0, where that is not certain.
const NUMBERED_EVERY: TimeDelta = TimeDelta::hours(1);

/// An end of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Page 1, or 0 where pages are counted from there.
    First,
    Last,
}

impl End {
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Last,
            Self::Last => Self::First,
        }
    }
}

/// What is known about the source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The number of its first page, 0 or 1; `None` as long as nothing has shown it.
    pub first: Option<u64>,
    /// When it was last asked whether there is a page 0.
    pub numbered_at: Option<DateTime<Utc>>,
    /// Page 0 has shown what page 1 has: one of them may stand for the other, or both show the only page
    /// there is.
    pub looks_alike: bool,
    /// Page 0 has shown nothing when the first page's number was learned: that can have been for that moment
    /// alone.
    pub zero_is_empty: bool,
    /// Page 0 is to be asked for before page 1, as long as it is not known.
    pub begins_with_zero: bool,
    /// The page size that was asked for when pages were last numbered.
    pub limit: u32,
    /// Records of its largest page: what a full one is, whatever was asked for and whatever the server says.
    pub largest: u64,
    /// The last page that had records when it was last looked for.
    pub last_page: Option<u64>,
    /// From this page on records may have come while a pass was there, that it went past.
    pub skipped: Option<u64>,
    /// What it said last of how much there is.
    pub totals: Totals,
    /// The total when live looked last.
    pub live_total: Option<u64>,
    /// New records that were taken, ever.
    pub taken: u64,
    /// By how much the total exceeded them when everything was read, or less: a total that exceeds them by
    /// more tells of records that nobody has read. `None`: nothing was read to its end yet.
    baseline: Option<i64>,
    /// Where the last pass has read records twice: stands for all that it has read.
    repeated: u64,
    /// Records have stood where the totals say that there are none.
    pub refuted: bool,
    /// Finds in a row that the total did not grow by.
    still: u32,
    /// Steps to an older and to a newer record, in the order of pages.
    older: u32,
    newer: u32,
    /// The time of the newest record seen, none in the future.
    newest: Option<DateTime<Utc>>,
    /// Stands for the records that the server shows again on every page behind its last one.
    pub behind_last: Option<u64>,
    /// Live has looked at the end that is not guessed, for nothing says at which the newest records are.
    turns: bool,
    /// Where all of the first pages fail, live looks next so far behind them.
    pub further: u64,
    /// Live has begun with such a page when it looked last.
    pub begins_further: bool,
    /// Where live has found new records, the latest last.
    finds: Vec<End>,
    /// A page that was answered when it was asked for last, one with records if there was any.
    pub readable: Option<u64>,
    /// Passes in a row that the total asked for in vain.
    false_alarms: u32,
    /// The total has fallen since.
    fell: bool,
    /// The digests of the newest records when live last read the first page.
    pub top: Vec<u64>,
    /// The sums of the first and of the last page when live last read them, and all of their records were
    /// delivered.
    pub first_sum: Option<u64>,
    pub last_sum: Option<u64>,
}

impl Source {
    /// The number of the first page, as far as it is known.
    pub fn first(&self) -> u64 {
        self.first.unwrap_or(1)
    }

    /// Whether it has to be asked again whether there is a page 0: it was empty, which it can have been just
    /// then, and now there is more than was found, or there is no total to tell that.
    pub fn may_have_page_zero(&self, now: DateTime<Utc>) -> bool {
        let is_doubtful = self.tells_of_more() || !self.totals_stand() && !self.was_numbered_lately(now);
        self.first == Some(1) && self.zero_is_empty && is_doubtful
    }

    /// Whether it was asked for pages 0 and 1 not long ago.
    pub fn was_numbered_lately(&self, now: DateTime<Utc>) -> bool {
        self.numbered_at.is_some_and(|at| at <= now && now - at < NUMBERED_EVERY)
    }

    /// Something contradicts that there is a page 0, or else what the source counts: it is asked again, but
    /// not all the time.
    pub fn doubt_page_zero(&mut self, now: DateTime<Utc>) {
        if self.first == Some(0) && !self.was_numbered_lately(now) {
            self.doubt_numbering();
        }
    }

    /// Something contradicts what was learned of the first page's number: it is to be learned anew.
    pub fn doubt_numbering(&mut self) {
        (self.first, self.numbered_at) = (None, None);
    }

    /// Takes the page size that is asked for from now on; whether it is another one, so that pages have other
    /// numbers. What is known of places is brought to them, rounded down.
    pub fn renumber(&mut self, limit: u32) -> Option<Renumbering> {
        let before = std::mem::replace(&mut self.limit, limit);
        if before == limit || before == 0 || self.largest == 0 {
            return None;
        }
        // A server that gives less than it is asked for goes on giving that.
        let size = if self.largest < u64::from(before) { self.largest.min(limit.into()) } else { limit.into() };
        let renumbering = Renumbering { first: self.first(), before: self.largest, now: size.max(1) };
        self.last_page = self.last_page.map(|page| renumbering.page(page));
        self.skipped = self.skipped.map(|page| renumbering.page(page));
        self.largest = size;
        self.totals.pages = None;
        self.readable = None;
        (self.first_sum, self.last_sum) = (None, None);
        Some(renumbering)
    }

    /// Takes note of a page with records; whether one of them is newer than all that were seen before.
    pub fn note(&mut self, page: u64, seen: &Seen, now: DateTime<Utc>) -> bool {
        self.largest = self.largest.max(seen.records);
        // A page that differs from the first one: so there is more than one.
        self.looks_alike &= page <= 1 || self.first_sum.is_none() || self.first_sum == Some(seen.sum);
        self.readable = Some(page);
        self.note_totals(page, seen.totals);
        self.follow(&seen.times);
        let newest = seen.times.iter().copied().filter(|time| *time <= now).max();
        let is_newer = newest > self.newest;
        self.newest = self.newest.max(newest);
        is_newer
    }

    /// Takes note of what the answer to a page says of how much there is.
    pub fn note_totals(&mut self, page: u64, totals: Totals) {
        self.readable = self.readable.or(Some(page));
        // What it does not say with the first page it does not say any more.
        self.totals = if page == self.first() { totals } else { totals.or(self.totals) };
    }

    /// Takes note of a page without records, and of what its answer says of how much there is, if it has
    /// anything to say.
    pub fn note_empty(&mut self, page: u64, totals: Option<Totals>) {
        self.note_totals(page, totals.unwrap_or(self.totals));
    }

    /// Whether a page with so many records is full. Of the first one that can't be told by what the largest
    /// page had, unless others are known behind it.
    pub fn is_full(&self, page: u64, records: u64) -> bool {
        let has_others = page > self.first() || self.last_page.is_some_and(|last| last > page);
        records >= self.limit.into() || records >= self.largest && has_others
    }

    /// Takes note of a page that could not be read.
    pub fn note_failed(&mut self, page: u64) {
        self.readable = self.readable.filter(|readable| *readable != page);
    }

    /// Whether the totals say that this page has records.
    pub fn promises(&self, page: u64) -> bool {
        self.end().is_some_and(|end| page < end)
    }

    /// The last page by what the source says: by its pages, where it counts them.
    pub fn named_last(&self) -> Option<u64> {
        let by_pages =
            self.totals.pages.filter(|_| !self.is_unsteady()).map(|pages| self.first().saturating_add(pages));
        by_pages.or(self.end()).map(|end| end - 1)
    }

    /// The page behind the last one that the totals promise.
    pub fn end(&self) -> Option<u64> {
        if self.is_unsteady() {
            return None;
        }
        let by_pages = self.totals.pages.map(|pages| self.first().saturating_add(pages));
        let size = self.largest.max(1);
        let by_records = self.totals.records.map(|records| self.first().saturating_add(records.div_ceil(size)));
        by_pages.max(by_records)
    }

    /// Whether what the source counts can be relied on: it is there, nothing has refuted it, and it moves
    /// when alerts arrive.
    pub fn totals_stand(&self) -> bool {
        self.totals_tell_growth() && !self.refuted
    }

    /// Whether what the source counts grows when alerts arrive, be it right or not.
    pub fn totals_tell_growth(&self) -> bool {
        self.totals.records.is_some() && !self.is_capped() && !self.is_unsteady()
    }

    /// Whether the total goes up and down without records that come and go.
    pub fn is_unsteady(&self) -> bool {
        self.false_alarms >= FALSE_ALARMS
    }

    /// Takes note that a pass has read exactly what the total says, and found nothing new.
    pub fn note_agreement(&mut self) {
        self.false_alarms = self.false_alarms.saturating_sub(1);
        self.still = 0;
    }

    /// Takes note that a pass has ended that the total had asked for, or in which it went up and down, and
    /// that it has found so many records.
    pub fn note_alarm(&mut self, found: u64, fluttered: bool) {
        match (found, std::mem::take(&mut self.fell) || fluttered) {
            (0, true) => self.false_alarms = self.false_alarms.saturating_add(1),
            (0, false) => {}
            _ => self.false_alarms = 0,
        }
    }

    /// Whether the total stands still while alerts arrive.
    pub fn is_capped(&self) -> bool {
        self.still >= STANDING_STILL
    }

    /// Takes note of by how much the total has grown while live has found so many new records.
    pub fn note_growth(&mut self, growth: i64, found: u64) {
        // What was missed before is found without growth.
        if found > 0 && growth == 0 && self.excess().is_some_and(|excess| excess < 0) {
            self.still = self.still.saturating_add(1);
        } else if growth != 0 {
            self.still = 0;
        }
    }

    /// By how much the total exceeds what was taken.
    fn excess(&self) -> Option<i64> {
        self.totals.records.map(|total| signed(total) - signed(self.taken))
    }

    /// Whether the total tells of records that nobody has read.
    pub fn tells_of_more(&self) -> bool {
        let excess = self.excess().filter(|_| self.totals_tell_growth());
        excess.zip(self.baseline).is_some_and(|(excess, baseline)| excess > baseline)
    }

    /// Live has looked.
    pub fn live_has_looked(&mut self) {
        self.fell |= self.totals.records < self.live_total;
        self.live_total = self.totals.records;
        self.note_missed();
    }

    /// What was found and has not come meanwhile had been missed before, and explains nothing of what comes.
    pub fn note_missed(&mut self) {
        if let (Some(baseline), Some(excess)) = (self.baseline, self.excess()) {
            self.baseline = Some(baseline.min(excess));
        }
    }

    /// A pass has ended. If it has read everything while the total stood, `repeated` is 0 where it has read
    /// no record twice, and otherwise stands for all that it has read: then others may have been missed.
    /// `in_vain`: it has read all that is wanted while the total stood, and found nothing.
    pub fn pass_has_ended(&mut self, repeated: Option<u64>, found: u64, in_vain: bool) -> PassTells {
        let excess = signed(self.totals.records.unwrap_or(0)) - signed(self.taken);
        // What was found and has not come meanwhile had been missed before: there may be more of it.
        let had_missed = self.baseline.is_some_and(|baseline| excess < baseline);
        // A source may have records that stand there twice: then they are the same every time, and nothing is
        // found.
        let is_doubtful = repeated.is_some_and(|repeated| repeated > 0 && (repeated != self.repeated || found > 0));
        self.repeated = repeated.unwrap_or(self.repeated);
        let settled = (repeated.is_some() || in_vain) && !is_doubtful;
        // What an unsettled pass has not met may be there.
        let unsettled = self.baseline.map_or(excess.min(0), |before| before.min(excess));
        self.baseline = Some(if settled { excess } else { unsettled });
        if !self.totals_tell_growth() {
            PassTells::Nothing
        } else if had_missed || is_doubtful {
            PassTells::MoreToCome
        } else {
            PassTells::Settled
        }
    }

    /// Takes note of the times of one page, in its order.
    pub fn follow(&mut self, times: &[DateTime<Utc>]) {
        let steps = |step: fn(&DateTime<Utc>, &DateTime<Utc>) -> bool| {
            let count = times.windows(2).filter(|pair| step(&pair[0], &pair[1])).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let (older, newer) = (steps(|before, after| after < before), steps(|before, after| after > before));
        let contradicts = match self.guess() {
            Some(End::First) => older == 0 && newer >= STEPS,
            Some(End::Last) => newer == 0 && older >= STEPS,
            None => false,
        };
        if contradicts {
            (self.older, self.newer) = (0, 0);
            self.finds.clear();
        }
        self.older += older;
        self.newer += newer;
        if self.older + self.newer > MOST_STEPS {
            (self.older, self.newer) = (self.older / 2, self.newer / 2);
        }
    }

    /// The end with the newest records, by their times: a guess.
    pub fn guess(&self) -> Option<End> {
        let steps = self.older + self.newer;
        let most = |count: u32| steps >= STEPS && count * SHARE.1 >= steps * SHARE.0;
        if most(self.older) {
            Some(End::First)
        } else if most(self.newer) {
            Some(End::Last)
        } else {
            None
        }
    }

    /// Takes note that live has found new records at this end: a fact. `newer`: one of them is newer than all
    /// seen before. If not, and times say that the newest stand at the other end, they only are where late
    /// ones have to be.
    pub fn note_find(&mut self, end: End, newer: bool) {
        if !newer && self.guess() == Some(end.other()) {
            return;
        }
        if self.finds.len() == FINDS {
            self.finds.remove(0);
        }
        self.finds.push(end);
    }

    /// Takes note that a pass has found new records, all of them at this end, or elsewhere.
    pub fn note_pass_find(&mut self, end: Option<End>, newer: bool) {
        match end {
            Some(end) => self.note_find(end, newer),
            None => self.finds.clear(),
        }
    }

    /// The end where new records were found more than once lately, and whether that is so of both.
    fn fact(&self) -> (Option<End>, bool) {
        let count = |end| self.finds.iter().filter(|find| **find == end).count();
        match (count(End::First) > 1, count(End::Last) > 1) {
            (true, true) => (self.finds.last().copied(), true),
            (true, false) => (Some(End::First), false),
            (false, true) => (Some(End::Last), false),
            (false, false) => (None, false),
        }
    }

    /// The end to look at first, and whether guess and facts contradict each other, so that both have to be
    /// looked at.
    pub fn newest_end(&self) -> (End, bool) {
        match (self.fact(), self.guess()) {
            ((None, _), guess) => (guess.unwrap_or(End::First), false),
            // Late records stand at the other end, and are found there as often as they come.
            ((Some(fact), mixed), guess) => (guess.unwrap_or(fact), mixed || guess.is_some_and(|guess| guess != fact)),
        }
    }

    /// Where nothing says at which end the newest records are, the ends take turns: whether it is the other
    /// one's.
    pub fn take_turns(&mut self) -> bool {
        self.turns = self.guess().is_none() && self.fact().0.is_none() && !self.turns;
        self.turns
    }

    /// The end with the newest records where nothing contradicts it.
    pub fn order(&self) -> Option<End> {
        let (end, contradiction) = self.newest_end();
        let known = self.guess().is_some() || self.finds.len() == FINDS && self.finds.iter().all(|find| *find == end);
        (known && !contradiction).then_some(end)
    }
}

/// How pages are numbered anew after the page size has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renumbering {
    first: u64,
    before: u64,
    now: u64,
}

impl Renumbering {
    /// The page that has the first record of what was `page`. Rounded down: what is read twice is no loss.
    pub fn page(self, page: u64) -> u64 {
        let offset = page.saturating_sub(self.first).saturating_mul(self.before);
        self.first + offset / self.now
    }
}

/// What the end of a pass tells of what was missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassTells {
    /// The source doesn't count.
    Nothing,
    /// There may be records that it has not met.
    MoreToCome,
    Settled,
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
