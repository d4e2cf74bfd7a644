//! Which page to ask for next, and when to stop: a walk over pages whose order nobody documents.
//!
//! A walk goes on from its first page to the end of the source, and then back from there to page 1. Newest first or no
//! order: it begins at page 1, so there is no way back. Oldest first, as an earlier walk has shown: it begins at the page
//! that was the last one, finds what was added behind it, and goes back. Where the records are seen to grow older all
//! along, it stops at what is older than the window, but looks at the other end of the source before: there is what an
//! order by something else than time, which had looked like one by time so far, puts there.
//!
//! A walk that finds itself among what is older than the window, with records that grow newer, has begun at the wrong end: a
//! first one where records come oldest first, or any one where the order has turned round. It begins anew at the other end,
//! once, if it knows where that is.
//!
//! A walk also stops early when the source's total has grown by just what was found; now and then one must look at the
//! whole window all the same (see [`Plan::expected_total`]).

use std::ops::Range;

use alert_records::page::Paging;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::trend::Trend;

/// Pages to read again before the walk goes on although records have moved meanwhile: totals that go up and down with every
/// answer, as those of several servers do, would keep it here for ever.
const READ_AGAIN: u64 = 30;

/// Pages in a row with the same records after which a server is taken to repeat its last one for ever. One repetition is
/// not enough: records inserted at the top, as many as a page has, push a page's content to the next one.
const REPETITIONS: u32 = 2;

/// The same where the source says that there is more: then it takes longer to believe that it isn't so.
const PROMISED_REPETITIONS: u32 = 10;

/// What is known before a walk begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Alerts from before this time are not wanted. `None`: all are.
    pub window_start: Option<DateTime<Utc>>,
    /// The page to begin with, as the last walk advised ([`Walk::advised_start`]). `None`: the first.
    pub start: Option<u64>,
    /// How many records there were when everything had been delivered. With it the walk may stop as soon as it has found
    /// what the total has grown by; without it the walk looks at the whole window.
    pub expected_total: Option<u64>,
    /// The page size to ask for.
    pub limit: u32,
}

/// What one page showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observation {
    pub paging: Paging,
    /// The times of its records, in its order; records without one are left out.
    pub times: Vec<DateTime<Utc>>,
    /// How many records it has.
    pub records: u64,
    /// How many of them were not known before.
    pub new: u64,
    /// Stands for the keys of its records, in any order.
    pub digest: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Direction {
    /// Towards the end of the source.
    On,
    /// From the page before the first one to page 1.
    Back,
    /// To the other end of the source, and no further if nothing new is there.
    Aside,
}

/// A walk in progress. Stored with the state between calls, so that a long one goes on where it stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    start: u64,
    direction: Direction,
    /// The page to ask for, unless some must be read again first.
    next: u64,
    /// Pages to read again, because records moved across a page's boundary behind the walk.
    again: Range<u64>,
    /// How many were since the last page that was read for the first time.
    again_since_new: u64,
    /// The page size asked for: the same all along, whatever the settings become, or `next` would be another place.
    limit: u32,
    window_start: Option<DateTime<Utc>>,
    expected_total: Option<u64>,
    first_total: Option<u64>,
    last_total: Option<u64>,
    /// How many pages there are, as far as the source tells.
    pages: Option<u64>,
    /// The last page that had records of its own.
    last_page: u64,
    /// Records on the pages from the first one on.
    received: u64,
    /// Records of the largest page: what a full one is, whatever was asked for and whatever the server says.
    largest: u64,
    new: u64,
    digest: Option<u64>,
    repetitions: u32,
    trend: Trend,
    /// Whether the source has said that the next page exists.
    promised: bool,
    /// Whether the other end has been looked at.
    aside: bool,
    finished: bool,
    /// Whether the walk stopped early because the total had grown by just what was found.
    quick: bool,
}

impl Walk {
    /// Begins a walk.
    pub fn new(plan: Plan) -> Self {
        let start = plan.start.unwrap_or(1).max(1);
        Self {
            start,
            direction: Direction::On,
            next: start,
            again: 0..0,
            again_since_new: 0,
            limit: plan.limit,
            window_start: plan.window_start,
            expected_total: plan.expected_total,
            first_total: None,
            last_total: None,
            pages: None,
            last_page: 0,
            received: 0,
            largest: 0,
            new: 0,
            digest: None,
            repetitions: 0,
            trend: Trend::default(),
            promised: start == 1,
            aside: false,
            finished: false,
            quick: false,
        }
    }

    /// The page to ask for; `None` when the walk is over.
    pub fn next_page(&self) -> Option<u64> {
        if self.again.is_empty() { Some(self.next).filter(|_| !self.finished) } else { Some(self.again.start) }
    }

    /// Whether the page that was asked for is taken for an empty one although the answer is an error with this code. Some
    /// servers say so that there are no more pages; and a look aside is worth no failure.
    pub fn takes_for_empty(&self, code: u16) -> bool {
        self.again.is_empty() && (self.direction == Direction::Aside || !self.promised && matches!(code, 400 | 404))
    }

    /// The page size to ask for.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// The time from which on alerts are wanted; `None`: all are.
    pub fn window_start(&self) -> Option<DateTime<Utc>> {
        self.window_start
    }

    /// Whether an alert of this time is wanted.
    pub fn wants(&self, time: DateTime<Utc>) -> bool {
        self.window_start.is_none_or(|start| time >= start)
    }

    /// How many records the source had when the walk began.
    pub fn total(&self) -> Option<u64> {
        self.first_total
    }

    /// How many records the largest page has had.
    pub fn largest_page(&self) -> usize {
        usize::try_from(self.largest).unwrap_or(usize::MAX)
    }

    /// Whether the walk may end without looking at the whole window.
    pub fn may_stop_early(&self) -> bool {
        self.expected_total.is_some()
    }

    /// Whether the walk ended without looking at the whole window.
    pub fn was_quick(&self) -> bool {
        self.quick
    }

    /// The page that the next walk should begin with: the last one where records come oldest first, otherwise page 1.
    pub fn advised_start(&self) -> u64 {
        let oldest_first =
            if self.start == 1 { self.trend.rises() } else { self.trend.falls() || !self.trend.is_conclusive() };
        if oldest_first { self.last_page.max(1) } else { 1 }
    }

    /// Takes note of the page that [`Walk::next_page`] named, and decides how to go on.
    pub fn observe(&mut self, page: &Observation) {
        self.new += page.new;
        self.first_total = self.first_total.or(page.paging.total_count);
        if !self.again.is_empty() {
            let looked_in = self.again.clone();
            self.again.start += 1;
            self.again_since_new += 1;
            self.read_again_what_moved(self.next, Some(looked_in), page.paging.total_count);
            return;
        }
        let asked = self.next;
        self.again_since_new = 0;
        self.repetitions = if self.digest == Some(page.digest) { self.repetitions + 1 } else { 0 };
        self.digest = Some(page.digest);
        self.read_again_what_moved(asked, None, page.paging.total_count);
        match self.direction {
            Direction::On => self.go_on(asked, page),
            Direction::Back => self.go_back(asked, page),
            Direction::Aside if page.new == 0 => self.finished = true,
            Direction::Aside => {
                self.begin_at(asked);
                self.go_on(asked, page);
            }
        }
        self.quick = self.found_all_of_the_growth(page.paging.total_count);
        self.finished |= self.quick;
    }

    /// A record removed at the source moves later ones to an earlier page; one inserted moves them to a later page. Where
    /// that is the side of the page `frontier` that has been read already, they would be missed; and whatever happens while
    /// they are looked for there moves them further.
    fn read_again_what_moved(&mut self, frontier: u64, looked_in: Option<Range<u64>>, total: Option<u64>) {
        // An empty page may say that there is nothing at all: that is no reason to read everything again.
        let Some(now) = total.filter(|total| *total > 0) else { return };
        let before = self.last_total.replace(now).unwrap_or(now);
        let missed = match self.direction {
            Direction::On => now < before,
            Direction::Back => now > before,
            Direction::Aside => return,
        };
        let moved_on = looked_in.is_some() && now != before;
        if (missed || moved_on) && self.again_since_new < READ_AGAIN {
            let pages = |records: u64| records.div_ceil(self.largest.max(1));
            let (removed, inserted) = (pages(before.saturating_sub(now)), pages(now.saturating_sub(before)));
            let Range { start, end } = looked_in.unwrap_or(frontier..frontier);
            if self.direction == Direction::On {
                self.again = start.saturating_sub(removed).max(self.start)..frontier;
                // What is looked for may have moved on to the next page, which the walk would not have asked for any more.
                self.finished &= inserted == 0;
            } else {
                self.again = frontier + 1..end.saturating_add(inserted).min(self.last_page) + 1;
            }
        }
    }

    fn go_on(&mut self, asked: u64, page: &Observation) {
        let elsewhere = page.paging.current_page.is_some_and(|current| current < asked);
        if asked == self.start && asked > 1 && (page.records == 0 || elsewhere) {
            // There are fewer pages than the last time: to the end as it is now, or to page 1 where it isn't known.
            let end = page.paging.total_pages.or(page.paging.current_page).filter(|end| (1..asked).contains(end));
            self.begin_at(end.unwrap_or(1));
            return;
        }
        if page.records > 0 && self.repetitions == 0 && !elsewhere {
            self.last_page = asked;
        }
        self.received += page.records;
        if self.start == 1 {
            self.trend.follow(page.times.iter().copied());
        } else if asked == self.start {
            // The way back begins with this page, from its end.
            self.trend.follow(page.times.iter().rev().copied());
        }
        let more = self.says_more(asked, &page.paging);
        let first = asked == self.start;
        let full = page.records >= if first { u64::from(self.limit) } else { self.largest };
        self.largest = self.largest.max(page.records);
        self.pages =
            page.paging.total_pages.or(page.paging.total_count.map(|count| count.div_ceil(self.largest.max(1))));
        self.promised = more == Some(true);
        // A full page may always have a successor, whatever the totals say: they may be wrong, and one more request is
        // cheap. A first page that is short may be all there is, or the server's own page size: then the totals count.
        let short_end = !full && more.map_or(!first, |more| !more);
        let repeated = self.repetitions >= if self.promised { PROMISED_REPETITIONS } else { REPETITIONS };
        let end = page.records == 0 || elsewhere || repeated || short_end;
        self.next = asked + 1;
        if end && self.start > 1 {
            self.direction = Direction::Back;
            self.next = self.start - 1;
            self.promised = true;
            self.leave_the_window(Some(1));
        } else if end {
            self.finished = true;
        } else if self.start == 1 {
            self.leave_the_window(self.pages.filter(|end| *end > asked));
        }
    }

    fn go_back(&mut self, asked: u64, page: &Observation) {
        self.trend.follow(page.times.iter().rev().copied());
        self.next = asked - 1;
        if self.next == 0 {
            self.finished = true;
        } else {
            self.leave_the_window(Some(1));
        }
    }

    fn begin_at(&mut self, page: u64) {
        self.start = page;
        self.next = page;
        self.direction = Direction::On;
        self.received = 0;
        self.digest = None;
        self.repetitions = 0;
        self.trend = Trend::default();
        self.promised = true;
    }

    /// Ends the walk if all that is still to come is older than the window and nothing new is at the `other_end`; begins
    /// anew there if that is where new records are.
    fn leave_the_window(&mut self, other_end: Option<u64>) {
        let other_end = other_end.filter(|_| !self.aside);
        match (self.left_the_window(), other_end) {
            (true, None) => self.finished = true,
            (true, Some(page)) => {
                self.direction = Direction::Aside;
                self.next = page;
                self.aside = true;
            }
            (false, Some(page)) if self.began_at_the_wrong_end() => {
                self.begin_at(page);
                self.aside = true;
                // The last page is where the totals have it, and they may be wrong.
                self.promised = page == 1;
            }
            (false, _) => {}
        }
    }

    /// Whether the source says that there is more behind this page; `None` where it doesn't say, or says less than there is.
    fn says_more(&self, asked: u64, paging: &Paging) -> Option<bool> {
        let pages = paging.total_pages.filter(|pages| asked <= *pages).map(|pages| asked < pages);
        let count = paging.total_count.filter(|count| self.start == 1 && self.received <= *count);
        let count = count.map(|count| self.received < count);
        pages.max(count)
    }

    fn found_all_of_the_growth(&self, total: Option<u64>) -> bool {
        match (self.expected_total, total) {
            (Some(expected), Some(total)) => expected > 0 && total.checked_sub(expected) == Some(self.new),
            _ => false,
        }
    }

    fn began_at_the_wrong_end(&self) -> bool {
        self.trend.rises() && self.trend.newest() < self.window_start
    }

    fn left_the_window(&self) -> bool {
        self.trend.falls()
            && self.trend.newest_possible().zip(self.window_start).is_some_and(|(newest, start)| newest < start)
    }
}
