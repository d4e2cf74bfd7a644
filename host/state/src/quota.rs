//! How many bytes the values of all buckets of a store may have together, wherever they are kept.
//!
//! What is stored is measured once, before the first value is set, and counted from then on: a store has one
//! writer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::error::StateError;

/// The sizes of the values of a bucket, by their keys.
pub(super) type Sizes = BTreeMap<String, u64>;

/// The quota of a store, and what of it is used.
#[derive(Debug)]
pub(super) struct Quota {
    /// None: everything.
    most: Option<u64>,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    /// The buckets that there are.
    names: BTreeSet<String>,
    /// Those that were measured.
    buckets: BTreeMap<String, Sizes>,
}

impl Used {
    fn total(&self) -> u64 {
        self.buckets.values().flat_map(BTreeMap::values).sum()
    }
}

impl Quota {
    pub(super) fn new(most: Option<u64>) -> Self {
        Self { most, used: Mutex::default() }
    }

    /// There is a bucket of this name: what is in it counts, even if nothing is ever set in it.
    pub(super) fn add_bucket(&self, name: &str) {
        if self.most.is_some() {
            self.used().names.insert(name.to_owned());
        }
    }

    /// Sets a value of this size by `set`, if there is room for it. `measure` says what is in a bucket.
    ///
    /// # Errors
    /// [`StateError::QuotaExceeded`], and those of `set` and `measure`.
    pub(super) fn set(
        &self,
        bucket: &str,
        key: &str,
        size: u64,
        measure: impl Fn(&str) -> Result<Sizes, StateError>,
        set: impl FnOnce() -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let Some(most) = self.most else { return set() };
        self.measure_all(measure)?;
        let before = {
            let mut used = self.used();
            let total = used.total();
            let sizes = used.buckets.entry(bucket.to_owned()).or_default();
            let before = sizes.get(key).copied();
            let wanted = total.saturating_sub(before.unwrap_or_default()).saturating_add(size);
            // What becomes smaller helps, even if it does not help enough.
            if wanted > most && size > before.unwrap_or_default() {
                return Err(StateError::QuotaExceeded { wanted, most });
            }
            // Before it is there, so that nobody else takes the same room meanwhile.
            sizes.insert(key.to_owned(), size);
            before
        };
        let outcome = set();
        if outcome.is_err() {
            // It is not known which of the two is there.
            self.change(bucket, |sizes| sizes.insert(key.to_owned(), size.max(before.unwrap_or_default())));
        }
        outcome
    }

    /// A key was deleted.
    pub(super) fn forget(&self, bucket: &str, key: &str) {
        self.change(bucket, |sizes| sizes.remove(key));
    }

    fn change<T>(&self, bucket: &str, change: impl FnOnce(&mut Sizes) -> T) {
        if let Some(sizes) = self.used().buckets.get_mut(bucket) {
            change(sizes);
        }
    }

    /// Without the lock: it may take as long as a disk likes.
    fn measure_all(&self, measure: impl Fn(&str) -> Result<Sizes, StateError>) -> Result<(), StateError> {
        let unknown: Vec<String> = {
            let used = self.used();
            used.names.iter().filter(|name| !used.buckets.contains_key(*name)).cloned().collect()
        };
        for name in unknown {
            let sizes = measure(&name)?;
            self.used().buckets.entry(name).or_insert(sizes);
        }
        Ok(())
    }

    /// A panic elsewhere can't leave it half changed: each change is one call.
    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
