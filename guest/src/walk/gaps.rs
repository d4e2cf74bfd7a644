//! Pages that could not be read although there should be records on them: skipped, kept, and retried.

use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::reading::Seen;

/// Gaps kept apart. Of more, those next to each other become one.
const MOST: usize = 16;

/// Gaps that one call tries.
const TRIES: usize = 2;

/// Characters of what the API has said that are kept.
const WORDS: usize = 200;

/// The wait before the first try and the longest one, in seconds. It doubles.
const WAITS: Range<i64> = 60..3600;

/// A range of pages that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub from: u64,
    /// The page behind the last one.
    pub to: u64,
    /// How often it was tried.
    tries: u32,
    next_try: DateTime<Utc>,
    /// Records from before this time are not wanted. `None`: all are.
    pub floor: Option<DateTime<Utc>>,
    /// What the API has said.
    words: String,
}

/// All of them, in the order of pages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Gaps(Vec<Gap>);

impl Gaps {
    /// How many pages they have.
    pub fn pages(&self) -> u64 {
        self.0.iter().map(|gap| gap.to - gap.from).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, page: u64) -> bool {
        self.0.iter().any(|gap| (gap.from..gap.to).contains(&page))
    }

    /// Takes note of pages that can't be read; whether that was not known.
    pub fn add(&mut self, pages: Range<u64>, floor: Option<DateTime<Utc>>, words: &str, now: DateTime<Utc>) -> bool {
        if pages.is_empty() {
            return false;
        }
        if let Some(known) = self.0.iter_mut().find(|gap| gap.from <= pages.start && pages.end <= gap.to) {
            if known.from == pages.start && known.to == pages.end {
                // It was tried just now.
                known.next_try = known.next_try.max(now + known.wait());
            }
            known.floor = known.floor.min(floor);
            return false;
        }
        let words = words.chars().take(WORDS).collect();
        let next_try = now + TimeDelta::seconds(WAITS.start);
        self.0.push(Gap { from: pages.start, to: pages.end, tries: 0, next_try, floor, words });
        self.0.sort_by_key(|gap| gap.from);
        let mut joined: Vec<Gap> = Vec::with_capacity(self.0.len());
        for gap in self.0.drain(..) {
            match joined.last_mut().filter(|last| gap.from <= last.to) {
                Some(last) => last.join(gap),
                None => joined.push(gap),
            }
        }
        while joined.len() > MOST {
            let between = |at: &usize| joined[at + 1].from - joined[*at].to;
            let closest = (0..joined.len() - 1).min_by_key(between).unwrap_or(0);
            let next = joined.remove(closest + 1);
            joined[closest].join(next);
        }
        self.0 = joined;
        true
    }

    /// Takes note of a page with records; whether it could not be read before.
    pub fn note_records(&mut self, page: u64, seen: &Seen, floor: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
        match &seen.partial {
            Some(words) => {
                self.add(page..page + 1, floor, words, now);
                false
            }
            None => self.remove(page),
        }
    }

    /// Takes note that a page can be read; whether it could not before.
    pub fn remove(&mut self, page: u64) -> bool {
        let Some(at) = self.0.iter().position(|gap| (gap.from..gap.to).contains(&page)) else { return false };
        let gap = self.0.remove(at);
        let parts = [gap.from..page, page + 1..gap.to].into_iter().filter(|part| !part.is_empty());
        let parts = parts.map(|part| Gap { from: part.start, to: part.end, ..gap.clone() });
        self.0.splice(at..at, parts);
        while self.0.len() > MOST {
            let last = self.0.remove(at + 1);
            self.0[at].join(last);
        }
        true
    }

    /// Whether all of them lie behind the last page.
    pub fn are_behind(&self, last_page: Option<u64>) -> bool {
        self.0.iter().all(|gap| last_page.is_none_or(|last| gap.from > last))
    }

    /// Forgets what lies behind the last page and behind the end that totals name.
    pub fn forget_behind(&mut self, last_page: Option<u64>, end: Option<u64>) {
        if let Some(last) = last_page {
            self.0.retain(|gap| gap.from <= last || end.is_some_and(|end| gap.from < end));
        }
    }

    /// All of them turned out to be none.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether a try is due.
    pub fn are_due(&self, now: DateTime<Utc>) -> bool {
        self.0.iter().any(|gap| gap.is_due(now))
    }

    /// The pages to try now, each elsewhere in its gap than the last time, and from when on their records are
    /// wanted.
    pub fn due(&self, now: DateTime<Utc>) -> Vec<(u64, Option<DateTime<Utc>>)> {
        self.0.iter().filter(|gap| gap.is_due(now)).take(TRIES).map(|gap| (gap.page_to_try(), gap.floor)).collect()
    }

    /// Takes note that the page that was to be tried can't be read still.
    pub fn tried(&mut self, page: u64, now: DateTime<Utc>) {
        if let Some(gap) = self.0.iter_mut().find(|gap| (gap.from..gap.to).contains(&page)) {
            gap.tries = gap.tries.saturating_add(1);
            gap.next_try = now + gap.wait();
        }
    }

    /// For the operator: which pages, and what the API has said of the first of them.
    pub fn describe(&self) -> String {
        let range = |gap: &Gap| match gap.to - gap.from {
            1 => gap.from.to_string(),
            _ => format!("{} to {}", gap.from, gap.to - 1),
        };
        let ranges: Vec<_> = self.0.iter().map(range).collect();
        let words = self.0.first().map_or("", |gap| &gap.words);
        format!("{} ({words})", ranges.join(", "))
    }
}

impl Gap {
    /// A time that lies further ahead than any wait was made by a clock that has been set back.
    fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.next_try <= now || self.next_try - now > TimeDelta::seconds(WAITS.end)
    }

    /// From one try to the next.
    fn wait(&self) -> TimeDelta {
        TimeDelta::seconds((WAITS.start << self.tries.min(6)).min(WAITS.end))
    }

    fn page_to_try(&self) -> u64 {
        self.from + u64::from(self.tries).wrapping_mul(7919) % (self.to - self.from)
    }

    fn join(&mut self, later: Self) {
        self.to = self.to.max(later.to);
        self.tries = self.tries.min(later.tries);
        self.floor = self.floor.min(later.floor);
        self.next_try = self.next_try.min(later.next_try);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    fn pages(gaps: &Gaps) -> BTreeSet<u64> {
        gaps.0.iter().flat_map(|gap| gap.from..gap.to).collect()
    }

    proptest! {
        #[test]
        fn what_can_t_be_read_stays_known_until_it_can_and_is_bounded(
            steps in prop::collection::vec((0u64..200, 1u64..4, any::<bool>()), 0..80),
        ) {
            let (mut gaps, mut expected) = (Gaps::default(), BTreeSet::new());
            for (page, length, fails) in steps {
                if fails {
                    gaps.add(page..page + length, None, "refused", now());
                    expected.extend(page..page + length);
                } else {
                    gaps.remove(page);
                    expected.remove(&page);
                }
                prop_assert!(gaps.0.len() <= MOST);
                prop_assert!(expected.is_subset(&pages(&gaps)));
                prop_assert!(gaps.0.windows(2).all(|pair| pair[0].to <= pair[1].from));
                prop_assert_eq!(gaps.pages() as usize, pages(&gaps).len());
            }
        }
    }

    #[test]
    fn tries_go_elsewhere_and_waits_grow_to_an_hour() {
        let mut gaps = Gaps::default();
        gaps.add(6..16, None, "refused", now());
        assert!(!gaps.are_due(now()));
        let (mut at, mut tried, mut waits) = (now(), BTreeSet::new(), Vec::new());
        for _ in 0..12 {
            let before = at;
            while !gaps.are_due(at) {
                at += TimeDelta::seconds(1);
            }
            waits.push((at - before).num_seconds());
            let (page, _) = gaps.due(at)[0];
            tried.insert(page);
            gaps.tried(page, at);
        }
        assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600, 3600, 3600]);
        assert!(tried.len() >= 8, "{tried:?}");
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_hold_a_try_back() {
        let mut gaps = Gaps::default();
        gaps.add(6..7, None, "refused", now());
        assert!(gaps.are_due(now() - TimeDelta::days(1)));
    }
}
