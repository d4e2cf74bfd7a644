//! Which page to ask for next, and when all has been read: decisions without I/O.
//!
//! Page numbers say where to work, never what is done. What is done is known from records: each has a digest,
//! and the memory knows those of all that were delivered. Whatever a source does with its pages then costs
//! requests, not alerts.
//!
//! [`live`] looks at the newest end at the beginning of every cycle. A [`pass`] reads the whole source, or
//! the window, page by page. Pages that can't be read become [`gaps`]. The [`schedule`] says when a pass is
//! due, the [`account`] holds what was read against what the source counts. What they learn about the
//! [`source`] is shared.

pub mod account;
pub mod gaps;
pub mod live;
pub mod pass;
pub mod reading;
pub mod schedule;
pub mod source;
pub mod trend;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::progress::{Account, BackfillProgress};
use account::Accounting;
use gaps::Gaps;
use live::{Live, Prefix};
use pass::{Kind, Pass, Plan};
use reading::{Reading, Seen};
use schedule::{Order, Schedule};
use source::{PassTells, Source};

/// All that lasts of it between calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// The source as live sees it.
    pub source: Source,
    /// The source as passes over everything see it, where live asks for what is new alone.
    unfiltered: Option<Source>,
    pub schedule: Schedule,
    pub gaps: Gaps,
    /// The pass that is under way.
    pub pass: Option<Pass>,
    pub accounting: Accounting,
    /// New records that passes have found since live looked last.
    pub found_elsewhere: u64,
    /// Whether the last backfill has tried gaps.
    gaps_were_tried: bool,
}

/// From when on alerts are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Records from before this time are not wanted. `None`: all are.
    pub floor: Option<DateTime<Utc>>,
    /// What a pass over the overlap looks at. `None`: nothing was delivered yet.
    pub overlap: Option<DateTime<Utc>>,
}

impl Window {
    /// From when on live and passes over the overlap look. `None`: from the beginning.
    pub fn since(&self) -> Option<DateTime<Utc>> {
        self.floor.max(self.overlap)
    }
}

impl Walk {
    /// Takes the page size that is asked for from now on, and whether the source is asked for what is as new
    /// as the overlap alone: then a pass over everything sees another one.
    pub fn set_source(&mut self, limit: u32, is_filtered: bool) {
        if is_filtered {
            self.unfiltered.get_or_insert_default().renumber(limit);
        } else if let Some(unfiltered) = self.unfiltered.take() {
            self.source = unfiltered;
        }
        if let Some(renumbering) = self.source.renumber(limit) {
            self.gaps.clear();
            if let Some(pass) = &mut self.pass {
                pass.renumber(renumbering);
            } else {
                self.schedule.reopened = true;
            }
        }
    }

    /// Begins to look for what is new. Records from before `floor` are not wanted.
    pub fn live(&mut self, floor: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Live<'_> {
        // Behind the place where the first pass stands, everything is for that pass.
        let frontier = self.pass.as_ref().and_then(Pass::frontier).unwrap_or(0);
        let frontier = (self.schedule.passes == 0).then_some(frontier);
        // What the pass has read up to here, live need not read.
        let reached = self.pass.as_ref().and_then(Pass::reached);
        self.source.last_page = self.source.last_page.map(|last| reached.map_or(last, |reached| last.max(reached)));
        let found_elsewhere = std::mem::take(&mut self.found_elsewhere);
        Live::new(&mut self.source, &mut self.gaps, &mut self.schedule, frontier, found_elsewhere, floor, now)
    }

    /// Begins the pass that is due, unless one is under way. `begins`: a cycle begins, and live has read
    /// this.
    pub fn begin_due(&mut self, window: Window, begins: Option<Prefix>, now: DateTime<Utc>) {
        if self.pass.is_some() {
            return;
        }
        // Totals of a window that moves tell nothing of what has come.
        let is_filtered = self.unfiltered.is_some();
        let totals_tell = self.source.totals_tell_growth() && !is_filtered;
        // Where there was nothing, what comes stands on the first page.
        let was_empty = self.schedule.passes > 0 && self.source.last_page.is_none();
        let order = Order { is_known: was_empty || self.source.order().is_some(), totals_tell, is_filtered };
        let Some(kind) = self.schedule.due(order, begins.is_some(), now) else { return };
        self.schedule.begin(kind);
        let Window { floor, overlap } = window;
        let window = if kind == Kind::Overlap { floor.max(overlap) } else { floor };
        // A pass of every cycle can't ask every time.
        let source = seen_by(kind, &mut self.source, &mut self.unfiltered);
        let asked = source.was_numbered_lately(now);
        // What went between the two answers makes two pages look like one.
        let confirms = self.schedule.passes == 1 && !source.zero_is_empty;
        let probes = kind == Kind::All && (!asked || confirms || self.schedule.tells_nothing(order).is_none());
        if probes {
            source.numbered_at = Some(now);
        }
        let plan = Plan { kind, floor, window, prefix: begins.unwrap_or_default(), probes };
        // What lies behind the last page, and nothing promises, is no gap any more.
        self.gaps.forget_behind(self.source.last_page, self.source.end());
        let plan = if is_filtered && kind == Kind::All { Plan { prefix: Prefix::default(), ..plan } } else { plan };
        self.pass = Some(Pass::begin(plan, seen_by(kind, &mut self.source, &mut self.unfiltered)));
    }

    /// Takes note of the page that the pass asked for, and gives the one to ask for next.
    pub fn go_on(&mut self, page: u64, reading: &Reading, now: DateTime<Utc>) -> Option<u64> {
        let pass = self.pass.as_mut()?;
        let source = seen_by(pass.kind, &mut self.source, &mut self.unfiltered);
        let reopens = pass.observe(page, reading, source, &mut self.gaps, now);
        // What was on it may have moved to where a window does not reach.
        self.schedule.reopened |= reopens && pass.kind == Kind::Overlap;
        let next = pass.next_page();
        if let Reading::Records(seen) = reading {
            self.note_found_elsewhere(seen);
        }
        next
    }

    fn note_found_elsewhere(&mut self, seen: &Seen) {
        self.found_elsewhere += seen.new;
        self.source.taken += seen.new;
        if let Some(unfiltered) = &mut self.unfiltered {
            unfiltered.taken += seen.new;
        }
    }

    /// Ends the pass if it has come to its end. Gives what is told of the account from now on, where that is
    /// something else.
    pub fn end_pass(&mut self, now: DateTime<Utc>) -> Option<Ended> {
        let pass = self.pass.take_if(|pass| pass.next_page().is_none())?;
        let source = seen_by(pass.kind, &mut self.source, &mut self.unfiltered);
        // The first history says nothing of where new alerts appear.
        if pass.found > 0 && self.schedule.passes > 0 {
            source.note_pass_find(pass.found_at(source), pass.found_newer);
        }
        if pass.is_whole() && pass.last_page.is_none() {
            // An empty source says nothing of how its pages are numbered.
            source.doubt_numbering();
        }
        if pass.met_no_total() {
            // The first page, which would have told, can't be read.
            source.totals.records = None;
        }
        let takes_end = pass.knows_end() && !pass.is_behind_end(source.last_page);
        source.last_page = if takes_end { pass.last_page } else { source.last_page.max(pass.last_page) };
        // Pages of the first history that are not full are so by themselves.
        let skipped = pass.skipped.filter(|_| self.schedule.passes > 0);
        source.skipped = skipped;
        let repeated = pass.is_checkable().then(|| if pass.repeated() > 0 { pass.fingerprint() } else { 0 });
        let in_vain = pass.kind == Kind::All && pass.found == 0 && !pass.has_moved();
        let more_to_come = match source.pass_has_ended(repeated, pass.found, in_vain) {
            // Where nothing counts, new alerts come at the newest end, and what is found elsewhere had been
            // missed.
            PassTells::Nothing => {
                pass.found > 0 && (pass.found_at(source).is_none() || pass.found_at(source) != source.order())
            }
            PassTells::MoreToCome => true,
            PassTells::Settled => false,
        };
        // The first history is confirmed in any case.
        let more_to_come = (more_to_come || skipped.is_some()) && self.schedule.passes > 0;
        if pass.kind == Kind::All && self.schedule.by_total || pass.has_fluttered() {
            source.note_alarm(pass.found, pass.has_fluttered());
        }
        if pass.is_checkable() && pass.found == 0 && source.totals.records == Some(pass.entries) {
            source.note_agreement();
        }
        if self.schedule.passes == 0 {
            // The first history is not what came while live was not looking.
            self.found_elsewhere = 0;
        }
        self.schedule.end(pass.kind, pass.found, now);
        let source_tells = source.totals_tell_growth();
        let account = if more_to_come { None } else { self.accounting.add(&pass, source, now) };
        let untold = self.accounting.told == Account::Unknown && pass.is_whole() && source_tells;
        self.schedule.unconfirmed = more_to_come || self.accounting.is_unconfirmed() || untold;
        match self.accounting.told {
            Account::Missing(0) => self.gaps.clear(),
            // Nothing else explains what is missing.
            Account::Missing(_)
                if source.first == Some(1)
                    && source.zero_is_empty
                    && self.gaps.are_behind(source.last_page)
                    && pass.is_checkable()
                    && source.totals.records > Some(pass.entries) =>
            {
                self.gaps.add(
                    0..1,
                    pass.floor,
                    "page 0 is empty, and the pages from 1 on have less than the source counts",
                    now,
                );
            }
            _ => {}
        }
        Some(Ended { account })
    }

    /// The pages of gaps to try now, and from when on their records are wanted. Where a pass is under way,
    /// every other time: an API that fails after each page is not to spend them all on gaps.
    pub fn gaps_to_try(&mut self, now: DateTime<Utc>) -> Vec<(u64, Option<DateTime<Utc>>)> {
        if std::mem::take(&mut self.gaps_were_tried) && self.pass.is_some() {
            return Vec::new();
        }
        let due = self.gaps.due(now);
        self.gaps_were_tried = !due.is_empty();
        due
    }

    /// Takes note of a page of a gap that was tried.
    pub fn tried(&mut self, page: u64, reading: &Reading, now: DateTime<Utc>) {
        match reading {
            Reading::Records(seen) => {
                self.source.note(page, seen, now);
                self.note_found_elsewhere(seen);
                self.source.note_missed();
                if seen.new > 0 && (self.source.last_page.is_some() || self.schedule.passes > 0) {
                    // It goes on at least to here.
                    self.source.last_page = self.source.last_page.max(Some(page));
                }
                if page == 0 && self.source.first == Some(1) {
                    self.source.doubt_numbering();
                }
                let is_shown_everywhere = seen.new == 0 && self.source.behind_last == Some(seen.sum);
                if seen.partial.is_some() || is_shown_everywhere {
                    self.gaps.tried(page, now);
                } else {
                    self.gaps.remove(page);
                    self.schedule.reopened = true;
                }
            }
            Reading::Empty(totals) => {
                self.source.note_empty(page, *totals);
                self.gaps.tried(page, now);
            }
            Reading::NotFound(_) | Reading::Refused(_) | Reading::Failed(_) | Reading::Unchanged => {
                self.gaps.tried(page, now);
            }
        }
    }

    /// How far the pass under way has got.
    pub fn backfill(&self) -> Option<BackfillProgress> {
        let pass = self.pass.as_ref()?;
        let source = self.unfiltered.as_ref().filter(|_| pass.kind == Kind::All).unwrap_or(&self.source);
        Some(BackfillProgress { done: pass.entries, total: pass.total(source) })
    }

    /// Whether there is something to do besides looking for what is new.
    pub fn is_pending(&self, now: DateTime<Utc>) -> bool {
        self.pass.is_some() || self.gaps.are_due(now)
    }
}

/// A pass has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// What is told of the account from now on, where that is something else than before.
    pub account: Option<Account>,
}

/// The source as a pass of this kind sees it.
fn seen_by<'s>(kind: Kind, source: &'s mut Source, unfiltered: &'s mut Option<Source>) -> &'s mut Source {
    match unfiltered {
        Some(unfiltered) if kind == Kind::All => unfiltered,
        _ => source,
    }
}
