//! When a pass is due. Evidence brings the next one sooner; the clock makes it certain.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::pass::Kind;
use crate::planted::{self, Planted};

/// How often a pass looks at the overlap, and how often one looks at everything.
const OVERLAP_EVERY: TimeDelta = TimeDelta::hours(1);
const ALL_EVERY: TimeDelta = TimeDelta::days(1);

/// The shortest and the longest wait, in seconds, from the end of a pass to one for which there is evidence
/// alone.
const SHORTEST_WAIT: i64 = 60;
const LONGEST_WAIT: i64 = 3600;

/// The passes of the first history: one, and one that confirms it. What moved behind the first one no total
/// tells.
const FIRST_PASSES: u32 = 2;

/// What brings the next pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Passes over everything that came to their end.
    pub passes: u32,
    /// Seconds from the end of a pass to the next one for which there is evidence.
    wait: i64,
    /// Evidence has led to something when it did last: then the next one is followed at once.
    eager: bool,
    /// When the last pass ended, and when the last one over everything did.
    ended: Option<DateTime<Utc>>,
    all_ended: Option<DateTime<Utc>>,
    /// Live was cut off before it met what is known: there may be records behind those that it has found.
    pub open: bool,
    /// The total has grown by more than was found.
    pub evidence: bool,
    /// The pass under way was brought by evidence.
    by_evidence: bool,
    /// It was brought by what the total tells.
    pub by_total: bool,
    /// The overlap has been searched for what the evidence is about, in vain.
    searched: bool,
    /// A page that was in a gap can be read: its records may have moved elsewhere since.
    pub reopened: bool,
    /// A pass has come to another account than the one before: it takes two of one opinion.
    pub unconfirmed: bool,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            passes: 0,
            wait: SHORTEST_WAIT,
            eager: true,
            ended: None,
            all_ended: None,
            open: false,
            evidence: false,
            by_evidence: false,
            by_total: false,
            searched: false,
            reopened: false,
            unconfirmed: false,
        }
    }
}

/// What is known about the source that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Records come in an order that live knows, so that a pass over the overlap need not read everything.
    pub is_known: bool,
    /// What the source counts tells live of what it has not found.
    pub totals_tell: bool,
    /// The source can be asked for the overlap alone.
    pub is_filtered: bool,
}

impl Schedule {
    /// The pass that is due, if one is. `begins`: a cycle begins.
    pub fn due(&self, order: Order, begins: bool, now: DateTime<Utc>) -> Option<Kind> {
        self.needed(order, now).or_else(|| self.tells_nothing(order).filter(|_| begins))
    }

    /// What has neither an order nor a count that grows is read in every cycle.
    pub fn tells_nothing(&self, order: Order) -> Option<Kind> {
        let kind = if order.is_filtered { Kind::Overlap } else { Kind::All };
        (!order.is_known && !order.totals_tell).then_some(kind)
    }

    /// The pass that is due whatever the source is like.
    fn needed(&self, order: Order, now: DateTime<Utc>) -> Option<Kind> {
        let overlap = if order.is_known || order.is_filtered { Kind::Overlap } else { Kind::All };
        if self.passes == 0 || self.passes < FIRST_PASSES && !planted::is(Planted::NoSecondPass) {
            return Some(Kind::All);
        }
        if self.open {
            return Some(overlap);
        }
        if (self.unconfirmed || self.reopened) && is_past(self.ended, TimeDelta::seconds(self.wait), now) {
            return Some(Kind::All);
        }
        if self.evidence && (self.eager || is_past(self.ended, TimeDelta::seconds(self.wait), now)) {
            return Some(if self.searched { Kind::All } else { overlap });
        }
        if planted::is(Planted::NoSecondPass) || planted::is_clock_off() {
            return None;
        }
        if is_past(self.all_ended, ALL_EVERY, now) {
            return Some(Kind::All);
        }
        is_past(self.ended, OVERLAP_EVERY, now).then_some(overlap)
    }

    /// A pass begins: what brought it is dealt with, but for what a pass over the overlap may not find.
    pub fn begin(&mut self, kind: Kind) {
        self.open = false;
        self.by_total = self.evidence;
        self.by_evidence = self.evidence || self.unconfirmed || self.reopened;
        if kind == Kind::All {
            (self.evidence, self.searched, self.reopened, self.unconfirmed) = (false, false, false, false);
        }
    }

    /// A pass has ended that found so many records.
    pub fn end(&mut self, kind: Kind, found: u64, now: DateTime<Utc>) {
        self.ended = Some(now);
        match kind {
            Kind::All => {
                self.passes = self.passes.saturating_add(1);
                self.all_ended = Some(now);
            }
            Kind::Overlap => {
                self.searched = self.evidence && found == 0;
                self.evidence = self.searched;
            }
        }
        self.wait = match (found, self.by_evidence) {
            (0, true) => (self.wait * 2).min(LONGEST_WAIT),
            (0, false) => self.wait,
            _ => SHORTEST_WAIT,
        };
        self.eager = found > 0 || self.eager && !self.by_evidence;
    }

    /// Live has found something: the source moves, so that evidence is worth a look soon.
    pub fn note_find(&mut self) {
        (self.wait, self.eager) = (SHORTEST_WAIT, true);
    }

    /// The total has grown by more than was found: so something is there that live does not see.
    pub fn note_evidence(&mut self) {
        self.evidence = true;
    }
}

/// Whether so long has passed since then. What lies in the future was noted by a clock that has been set
/// back.
fn is_past(then: Option<DateTime<Utc>>, wait: TimeDelta, now: DateTime<Utc>) -> bool {
    then.is_none_or(|then| then > now || now - then >= wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Order = Order { is_known: true, totals_tell: true, is_filtered: false };
    const NONE: Order = Order { is_known: false, totals_tell: false, is_filtered: false };

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    /// After the first history at minute 0.
    fn settled() -> Schedule {
        let mut schedule = Schedule::default();
        for _ in 0..2 {
            assert_eq!(schedule.due(KNOWN, false, at(0)), Some(Kind::All));
            schedule.begin(Kind::All);
            schedule.end(Kind::All, 0, at(0));
        }
        schedule
    }

    #[test]
    fn the_clock_brings_the_overlap_every_hour_and_all_every_day() {
        let mut schedule = settled();
        assert_eq!(schedule.due(KNOWN, true, at(59)), None);
        assert_eq!(schedule.due(KNOWN, true, at(60)), Some(Kind::Overlap));
        schedule.begin(Kind::Overlap);
        schedule.end(Kind::Overlap, 0, at(1439));
        assert_eq!(schedule.due(KNOWN, true, at(1440)), Some(Kind::All));
        assert_eq!(schedule.due(KNOWN, true, at(-5)), Some(Kind::All), "a clock that was set back");
    }

    #[test]
    fn evidence_leads_to_the_overlap_first_and_then_to_everything() {
        let mut schedule = settled();
        schedule.note_evidence();
        assert_eq!(schedule.due(KNOWN, true, at(5)), Some(Kind::Overlap));
        schedule.begin(Kind::Overlap);
        schedule.end(Kind::Overlap, 0, at(6));
        let next = (6..100).find(|minute| schedule.due(KNOWN, true, at(*minute)) == Some(Kind::All)).unwrap();
        schedule.begin(Kind::All);
        schedule.end(Kind::All, 0, at(next));
        assert_eq!(schedule.due(KNOWN, true, at(next + 59)), None);
    }

    #[test]
    fn waits_grow_where_nothing_is_found_and_are_short_again_after_a_find() {
        let mut schedule = settled();
        let mut waits = Vec::new();
        for found in [0, 0, 0, 0, 0, 0, 0, 1, 0] {
            schedule.note_evidence();
            schedule.begin(Kind::All);
            schedule.end(Kind::All, found, at(0));
            waits.push(schedule.wait);
        }
        assert_eq!(waits, [120, 240, 480, 960, 1920, 3600, 3600, 60, 120]);
    }

    #[test]
    fn what_tells_nothing_is_read_once_a_cycle() {
        let schedule = settled();
        assert_eq!(schedule.due(NONE, true, at(1)), Some(Kind::All));
        assert_eq!(schedule.due(NONE, false, at(1)), None);
    }

    #[test]
    fn a_run_that_was_cut_off_is_followed_by_a_pass_at_once() {
        let mut schedule = settled();
        schedule.open = true;
        assert_eq!(schedule.due(KNOWN, false, at(0)), Some(Kind::Overlap));
    }
}
