//! What was delivered already, as far back as pulls look: the memory behind deduplication.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Ids kept at the most. A tenant with more than this many alerts in the overlap gets a shorter overlap, not a larger state.
const MAX_IDS: usize = 50_000;

/// Keys kept of records without a readable time.
const MAX_UNTIMED: usize = 10_000;

/// Every id delivered since a point in time, and the latest of those without a time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Every id delivered with a time from here on is known. `None`: from the beginning.
    since: Option<DateTime<Utc>>,
    ids: BTreeMap<String, DateTime<Utc>>,
    untimed: Latest,
}

impl Ledger {
    /// A ledger that knows the ids of one moment, and nothing of what came before: what the original collector leaves behind.
    pub fn from_last_ids(time: DateTime<Utc>, ids: Vec<String>) -> Self {
        Self { since: Some(time), ids: ids.into_iter().map(|id| (id, time)).collect(), untimed: Latest::default() }
    }

    /// Alerts from before this time may have been delivered without being known here. `None`: every delivered one is known.
    pub fn since(&self) -> Option<DateTime<Utc>> {
        self.since
    }

    /// Whether `key` was delivered.
    pub fn contains(&self, key: &str) -> bool {
        self.ids.contains_key(key) || self.untimed.contains(key)
    }

    /// Notes that `key` was delivered.
    pub fn insert(&mut self, key: String, time: Option<DateTime<Utc>>) {
        match time {
            Some(time) => {
                self.ids.insert(key, time);
            }
            None => self.untimed.insert(key, MAX_UNTIMED),
        }
    }

    /// Adds what was delivered later than all that is known here.
    pub fn absorb(&mut self, later: Self) {
        self.ids.extend(later.ids);
        later.untimed.order.into_iter().for_each(|key| self.untimed.insert(key, MAX_UNTIMED));
        self.since = self.since.max(later.since);
    }

    /// Forgets what was delivered with a time before `floor`, and more where there would be too much.
    pub fn forget_before(&mut self, floor: Option<DateTime<Utc>>) {
        self.since = self.since.max(floor);
        if self.ids.len() > MAX_IDS {
            let mut times: Vec<_> = self.ids.values().copied().collect();
            let excess = times.len() - MAX_IDS;
            let (_, first_kept, _) = times.select_nth_unstable(excess);
            // Ids of one moment are kept or forgotten together, so that `since` divides what is known from what is not.
            self.since = self.since.max(Some(*first_kept));
        }
        if let Some(since) = self.since {
            self.ids.retain(|_, time| *time >= since);
        }
    }

    /// The ids with exactly this time.
    pub fn ids_at(&self, moment: DateTime<Utc>) -> Vec<String> {
        self.ids.iter().filter(|(_, time)| **time == moment).map(|(id, _)| id.clone()).collect()
    }
}

/// The latest keys, in the order in which they came, without repeats.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "VecDeque<String>", into = "VecDeque<String>")]
pub struct Latest {
    order: VecDeque<String>,
    members: BTreeSet<String>,
}

impl Latest {
    /// Whether `key` is among them.
    pub fn contains(&self, key: &str) -> bool {
        self.members.contains(key)
    }

    /// Adds `key`, and drops the one that has been here longest if there would be more than `bound`.
    pub fn insert(&mut self, key: String, bound: usize) {
        if self.members.insert(key.clone()) {
            self.order.push_back(key);
            if self.order.len() > bound
                && let Some(oldest) = self.order.pop_front()
            {
                self.members.remove(&oldest);
            }
        }
    }
}

impl From<VecDeque<String>> for Latest {
    fn from(order: VecDeque<String>) -> Self {
        Self { members: order.iter().cloned().collect(), order }
    }
}

impl From<Latest> for VecDeque<String> {
    fn from(latest: Latest) -> Self {
        latest.order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    proptest! {
        #[test]
        fn every_id_from_since_on_is_known(times in prop::collection::vec(0i64..1000, 0..50), floor in 0i64..1000) {
            let mut ledger = Ledger::default();
            for (id, time) in times.iter().enumerate() {
                ledger.insert(id.to_string(), Some(at(*time)));
            }
            ledger.forget_before(Some(at(floor)));
            let since = ledger.since().unwrap();
            for (id, time) in times.iter().enumerate() {
                prop_assert_eq!(ledger.contains(&id.to_string()), at(*time) >= since);
            }
        }

        #[test]
        fn a_stored_ledger_is_read_as_it_was(times in prop::collection::vec((any::<String>(), prop::option::of(0i64..1000)), 0..50)) {
            let mut ledger = Ledger::default();
            for (id, time) in times {
                ledger.insert(id, time.map(at));
            }
            let text = serde_json::to_vec(&ledger).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Ledger>(&text).unwrap(), ledger);
        }
    }

    #[test]
    fn too_many_ids_shorten_the_overlap_and_keep_the_newest() {
        let mut ledger = Ledger::default();
        for id in 0..MAX_IDS + 10 {
            ledger.insert(id.to_string(), Some(at(id as i64)));
        }
        ledger.forget_before(None);
        assert_eq!(ledger.since(), Some(at(10)));
        assert!(!ledger.contains("9") && ledger.contains("10"));
    }

    #[test]
    fn the_ids_of_one_moment_are_never_divided() {
        let mut ledger = Ledger::default();
        for id in 0..MAX_IDS + 10 {
            ledger.insert(id.to_string(), Some(at(5)));
        }
        ledger.forget_before(None);
        assert!((0..MAX_IDS + 10).all(|id| ledger.contains(&id.to_string())));
    }

    #[test]
    fn the_latest_keys_are_bounded() {
        let mut latest = Latest::default();
        for key in ["a", "b", "a", "c"] {
            latest.insert(key.to_owned(), 2);
        }
        assert!(!latest.contains("a") && latest.contains("b") && latest.contains("c"));
    }
}
