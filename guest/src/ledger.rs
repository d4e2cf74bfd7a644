//! What was delivered already, as far back as pulls look: the memory behind deduplication.

use std::borrow::Cow;

use alert_records::key::Key;
use alert_records::keys::Keys;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Ids kept at the most. A tenant with more than this many alerts in the overlap gets a shorter overlap, not
/// a larger state.
const MAX_IDS: usize = 50_000;

/// Keys kept of records without a readable time: the latest ones.
const MAX_UNTIMED: usize = 10_000;

/// Every id delivered since a point in time, and the latest of those without a time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Every id delivered with a time from here on is known. `None`: from the beginning.
    since: Option<DateTime<Utc>>,
    /// In the order in which they were delivered. Stored apart, on a line of the state.
    #[serde(skip)]
    pub ids: Keys,
}

impl Ledger {
    /// A ledger that knows the ids of one moment, and nothing of what came before: what the original
    /// collector leaves behind.
    pub fn from_last_ids(time: DateTime<Utc>, ids: &[String]) -> Self {
        let mut ledger = Self { since: Some(time), ids: Keys::default() };
        ids.iter().for_each(|id| ledger.insert(&Key::stored(id), Some(time)));
        ledger
    }

    /// Alerts from before this time may have been delivered without being known here. `None`: every delivered
    /// one is known.
    pub fn since(&self) -> Option<DateTime<Utc>> {
        self.since
    }

    /// Whether the alert of this key was delivered.
    pub fn contains(&mut self, key: &Key<'_>) -> bool {
        self.ids.contains(key)
    }

    /// Notes that the alert of this key was delivered.
    pub fn insert(&mut self, key: &Key<'_>, time: Option<DateTime<Utc>>) {
        self.ids.insert(key, time);
    }

    /// Notes that the alert of this key was delivered, which was not known.
    pub fn insert_new(&mut self, key: &Key<'_>, time: Option<DateTime<Utc>>) {
        self.ids.insert_new(key, time);
    }

    /// Adds what was delivered later than all that is known here.
    pub fn absorb(&mut self, later: &Self) {
        self.ids.absorb(&later.ids);
        self.since = self.since.max(later.since);
    }

    /// Forgets what was delivered with a time before `floor`, and more where there would be too much; hands
    /// it over.
    pub fn forget_before(&mut self, floor: Option<DateTime<Utc>>) -> Keys {
        self.since = self.since.max(floor);
        if self.ids.len() > MAX_IDS {
            let is_wanted = |time: &DateTime<Utc>| self.since.is_none_or(|since| *time >= since);
            let mut times: Vec<_> = self.ids.times().flatten().filter(is_wanted).collect();
            if let Some(excess) = times.len().checked_sub(MAX_IDS).filter(|excess| *excess > 0) {
                let (_, first_kept, _) = times.select_nth_unstable(excess);
                // Ids of one moment are kept or forgotten together, so that `since` divides what is known
                // from what is not.
                self.since = self.since.max(Some(*first_kept));
            }
        }
        let mut untimed = self.ids.times().filter(Option::is_none).count();
        self.ids.take(|time| match time {
            Some(time) => self.since.is_some_and(|since| time < since),
            None => {
                untimed -= 1;
                untimed >= MAX_UNTIMED
            }
        })
    }

    /// The ids with exactly this time.
    pub fn ids_at(&self, moment: DateTime<Utc>) -> Vec<String> {
        self.ids.at(moment).map(Cow::into_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn insert(ledger: &mut Ledger, id: &str, time: Option<i64>) {
        ledger.insert(&Key::stored(id), time.map(at));
    }

    fn contains(ledger: &mut Ledger, id: usize) -> bool {
        ledger.contains(&Key::stored(&id.to_string()))
    }

    /// A ledger with the ids 0, 1, 2, ..., in this order.
    fn ledger(times: impl IntoIterator<Item = Option<i64>>) -> Ledger {
        let mut ledger = Ledger::default();
        times.into_iter().enumerate().for_each(|(id, time)| insert(&mut ledger, &id.to_string(), time));
        ledger
    }

    proptest! {
        #[test]
        fn every_id_from_since_on_is_known_and_the_others_are_handed_over(
            times in prop::collection::vec(0i64..1000, 0..50), floor in 0i64..1000,
        ) {
            let mut ledger = ledger(times.iter().copied().map(Some));
            let mut forgotten = ledger.forget_before(Some(at(floor)));
            let since = ledger.since().unwrap();
            for (id, time) in times.iter().enumerate() {
                prop_assert_eq!(contains(&mut ledger, id), at(*time) >= since);
                prop_assert_eq!(forgotten.contains(&Key::stored(&id.to_string())), at(*time) < since);
            }
        }

        #[test]
        fn a_ledger_knows_what_a_set_knows(
            steps in prop::collection::vec((0_usize..30, prop::option::of(0i64..9), any::<bool>()), 0..100)
        ) {
            let (mut ledger, mut known) = (Ledger::default(), std::collections::HashMap::new());
            for (id, time, inserts) in steps {
                prop_assert_eq!(contains(&mut ledger, id), known.contains_key(&id));
                if inserts {
                    insert(&mut ledger, &id.to_string(), time);
                    known.entry(id).or_insert(time);
                }
            }
            for moment in 0..9 {
                let mut ids = ledger.ids_at(at(moment));
                let mut expected: Vec<_> =
                    known.iter().filter(|(_, time)| **time == Some(moment)).map(|(id, _)| id.to_string()).collect();
                ids.sort();
                expected.sort();
                prop_assert_eq!(ids, expected);
            }
        }
    }

    #[test]
    fn too_many_ids_shorten_the_overlap_and_keep_the_newest() {
        let mut ledger = ledger((0..MAX_IDS + 10).map(|id| Some(id as i64)));
        ledger.forget_before(None);
        assert_eq!(ledger.since(), Some(at(10)));
        assert!(!contains(&mut ledger, 9) && contains(&mut ledger, 10));
    }

    #[test]
    fn what_is_forgotten_anyway_does_not_shorten_the_overlap() {
        let mut ledger = ledger((0..MAX_IDS + 10).map(|id| Some(id as i64)));
        ledger.forget_before(Some(at(20)));
        assert_eq!(ledger.since(), Some(at(20)));
    }

    #[test]
    fn the_ids_of_one_moment_are_never_divided() {
        let mut ledger = ledger((0..MAX_IDS + 10).map(|_| Some(5)));
        ledger.forget_before(None);
        assert!((0..MAX_IDS + 10).all(|id| contains(&mut ledger, id)));
    }

    #[test]
    fn of_the_keys_without_a_time_the_latest_are_kept() {
        let mut ledger = ledger((0..MAX_UNTIMED + 2).map(|_| None));
        ledger.forget_before(Some(at(5)));
        assert!(!contains(&mut ledger, 1) && contains(&mut ledger, 2));
    }
}
