//! The store that a tenant's key-value interface stands on: buckets of values, in files, in redis or,
//! without persistence, in memory. A bucket is all that a service's sandbox gets to see; who gets which is
//! left to the sandbox.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use collector_files::{RootedPath, Threads, Work};
use collector_model::Limits;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::error::{FolderProblem, StateError};
use super::file;
use super::folder::StateFolder;
use super::name::{self, file_name, parse_file_name};
use super::quota::{Quota, Sizes};
use super::redis::RedisDatabase;

/// Where values are kept.
#[derive(Debug)]
pub struct Store {
    place: Place,
    quota: Arc<Quota>,
    /// Counts the buckets, so that it is known when nobody uses one any more.
    buckets: TaskTracker,
}

/// Clones share the values.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// `persistence.type: filesystem`.
    Files(Arc<StateFolder>),
    /// `persistence.type: redis`.
    Redis(Arc<RedisDatabase>),
    /// `persistence.type: memory`: gone with the process.
    Memory(Arc<Mutex<Values>>),
}

/// Values by bucket and key.
pub(super) type Values = BTreeMap<(String, String), Vec<u8>>;

impl Store {
    /// A store in an open folder.
    pub fn files(folder: StateFolder) -> Self {
        Self::of(Place::Files(Arc::new(folder)))
    }

    /// A store in a redis server.
    pub fn redis(database: RedisDatabase) -> Self {
        Self::of(Place::Redis(Arc::new(database)))
    }

    /// An empty store in memory.
    pub fn memory() -> Self {
        Self::of(Place::Memory(Arc::default()))
    }

    fn of(place: Place) -> Self {
        Self { place, quota: Arc::new(Quota::new(None)), buckets: TaskTracker::new() }
    }

    /// The same store, whose values may have so many bytes together. Said before it has any bucket.
    pub fn at_most(self, bytes: u64) -> Self {
        Self { quota: Arc::new(Quota::new(Some(bytes))), ..self }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether its values outlive the process.
    pub fn is_durable(&self) -> bool {
        !matches!(self.place, Place::Memory(_))
    }

    /// The values of one service; `name` is one that no other has, such as `cloudsek;cloudsek_1;alerts`.
    pub fn bucket(&self, name: impl Into<String>) -> Bucket {
        let (name, most) = (name.into(), Limits::default().state_in_bytes as u64);
        self.quota.add_bucket(&name);
        let (place, quota) = (self.place.clone(), self.quota.clone());
        Bucket { name, place, quota, most, _in_use: self.buckets.token() }
    }

    /// Returns when the last bucket has been dropped, and so the last operation has ended: a folder is free
    /// then for whoever comes next.
    pub async fn release(self) {
        let Self { place, buckets, .. } = self;
        buckets.close();
        buckets.wait().await;
        drop(place);
    }
}

/// The values of one service. Clones share them.
#[derive(Clone, Debug)]
pub struct Bucket {
    name: String,
    place: Place,
    quota: Arc<Quota>,
    /// The largest value that is read.
    most: u64,
    /// The last field, for it must not be given back before the place is.
    _in_use: TaskTrackerToken,
}

impl Bucket {
    /// The same bucket, of which values of more bytes than these are not read. Otherwise it is the default of
    /// `limits.state_in_bytes`.
    pub fn at_most(self, bytes: usize) -> Self {
        Self { most: bytes as u64, ..self }
    }

    /// The threads on which to call it; none where nothing is waited for.
    pub fn threads(&self) -> Option<(&Threads, Work)> {
        match &self.place {
            Place::Files(folder) => Some((folder.path().threads(), Work::Files)),
            Place::Redis(database) => Some((database.threads(), Work::Redis)),
            Place::Memory(_) => None,
        }
    }

    /// The name it was opened with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of a key; none if it was never set, or was deleted.
    ///
    /// # Errors
    /// [`StateError::Corrupt`] when there is a value and it is not what was set, [`StateError::Read`],
    /// [`StateError::Folder`] when the folder is gone, [`StateError::Redis`], [`StateError::NameTooLong`].
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        match &self.place {
            Place::Files(folder) => {
                let value = file::read(&self.path(folder, key)?, self.most)?;
                if value.is_none() {
                    folder.check_still_there()?;
                }
                Ok(value)
            }
            Place::Redis(database) => database.get(&self.name, key, self.most),
            Place::Memory(values) => Ok(lock(values).get(&self.entry(key)).cloned()),
        }
    }

    /// Sets the value of a key. When this returns, the value outlives a crash and a power cut; when it fails,
    /// the old one stays. What was there is not looked at: a corrupt value is replaced, and kept as the
    /// previous one.
    ///
    /// # Errors
    /// [`StateError::Write`], [`StateError::QuotaExceeded`], [`StateError::Redis`],
    /// [`StateError::NameTooLong`].
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), StateError> {
        self.quota.set(&self.name, key, value.len() as u64, |bucket| self.sizes(bucket), || self.put(key, value))
    }

    fn put(&self, key: &str, value: &[u8]) -> Result<(), StateError> {
        match &self.place {
            Place::Files(folder) => file::write(&self.path(folder, key)?, value),
            Place::Redis(database) => database.set(&self.name, key, value),
            Place::Memory(values) => {
                lock(values).insert(self.entry(key), value.to_vec());
                Ok(())
            }
        }
    }

    /// Removes a key, its value and the one before; a corrupt one too. There need not be any.
    ///
    /// # Errors
    /// [`StateError::Write`], [`StateError::Redis`], [`StateError::NameTooLong`].
    pub fn delete(&self, key: &str) -> Result<(), StateError> {
        match &self.place {
            Place::Files(folder) => file::delete(&self.path(folder, key)?),
            Place::Redis(database) => database.delete(&self.name, key),
            Place::Memory(values) => {
                lock(values).remove(&self.entry(key));
                Ok(())
            }
        }?;
        self.quota.forget(&self.name, key);
        Ok(())
    }

    /// What the values of a bucket of the same store have. One that is damaged has nothing that could be
    /// read.
    fn sizes(&self, bucket: &str) -> Result<Sizes, StateError> {
        let bucket = Self { name: bucket.to_owned(), ..self.clone() };
        let size = |key: String| match bucket.size(&key) {
            Ok(size) => Ok((key, size)),
            Err(error) if error.may_pass() => Err(error),
            Err(_) => Ok((key, 0)),
        };
        bucket.list()?.into_iter().map(size).collect()
    }

    fn size(&self, key: &str) -> Result<u64, StateError> {
        match &self.place {
            Place::Files(folder) => file::size(&self.path(folder, key)?),
            Place::Redis(_) | Place::Memory(_) => Ok(self.get(key)?.map_or(0, |value| value.len() as u64)),
        }
    }

    /// Whether [`Bucket::get`] would give a value, or an error in place of one.
    ///
    /// # Errors
    /// [`StateError::Read`], [`StateError::Folder`] when the folder is gone, [`StateError::Redis`],
    /// [`StateError::NameTooLong`].
    pub fn exists(&self, key: &str) -> Result<bool, StateError> {
        match &self.place {
            Place::Files(folder) => {
                let exists = file::exists(&self.path(folder, key)?)?;
                if !exists {
                    folder.check_still_there()?;
                }
                Ok(exists)
            }
            Place::Redis(database) => database.exists(&self.name, key),
            Place::Memory(values) => Ok(lock(values).contains_key(&self.entry(key))),
        }
    }

    /// The keys that have a value, in order.
    ///
    /// # Errors
    /// [`StateError::Folder`] when the folder is gone or can't be listed, [`StateError::Redis`].
    pub fn list(&self) -> Result<Vec<String>, StateError> {
        let mut keys = match &self.place {
            Place::Files(folder) => {
                folder.check_still_there()?;
                self.list_files(folder).map_err(|error| StateError::Folder {
                    path: folder.path().path().to_owned(),
                    problem: FolderProblem::NotReadable(error),
                })?
            }
            Place::Redis(database) => database.list(&self.name)?,
            Place::Memory(values) => {
                lock(values).keys().filter(|(bucket, _)| *bucket == self.name).map(|(_, key)| key.clone()).collect()
            }
        };
        keys.sort();
        Ok(keys)
    }

    fn list_files(&self, folder: &StateFolder) -> std::io::Result<Vec<String>> {
        let mut keys = Vec::new();
        for name in folder.path().directory()?.names()? {
            let found = name.to_str().and_then(parse_file_name);
            keys.extend(found.filter(|(bucket, _)| *bucket == self.name).map(|(_, key)| key));
        }
        Ok(keys)
    }

    fn path(&self, folder: &StateFolder, key: &str) -> Result<RootedPath, StateError> {
        let name = file_name(&self.name, key);
        if name.len() > name::LONGEST {
            return Err(StateError::NameTooLong { length: name.len(), limit: name::LONGEST, name });
        }
        Ok(folder.path().join(name))
    }

    fn entry(&self, key: &str) -> (String, String) {
        (self.name.clone(), key.to_owned())
    }
}

/// A panic elsewhere can't leave the map half changed: each change is one call.
fn lock<T>(values: &Mutex<T>) -> MutexGuard<'_, T> {
    values.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;
    use crate::error::Damage;
    use crate::folder::scratch::Scratch;
    use crate::redis::tests::Server;

    /// The same statement about every kind of store.
    fn on_each(statement: impl Fn(Store)) {
        let scratch = Scratch::new();
        statement(Store::files(StateFolder::open(scratch.rooted("")).unwrap()));
        statement(Server::start(&["--save", ""]).store());
        statement(Store::memory());
    }

    #[test]
    fn a_bucket_gives_back_what_was_set() {
        on_each(|store| {
            let bucket = store.bucket("cloudsek;cloudsek_1;alerts");
            assert_eq!(bucket.get("state").unwrap(), None);
            assert!(!bucket.exists("state").unwrap());
            bucket.set("state", b"one").unwrap();
            bucket.set("state", b"two").unwrap();
            bucket.set("walk/1", b"").unwrap();
            assert_eq!(bucket.get("state").unwrap().unwrap(), b"two");
            assert_eq!(bucket.get("walk/1").unwrap().unwrap(), b"");
            assert_eq!(bucket.list().unwrap(), ["state", "walk/1"]);
            bucket.delete("state").unwrap();
            assert_eq!(bucket.get("state").unwrap(), None);
            assert_eq!(bucket.list().unwrap(), ["walk/1"]);
        });
    }

    #[test]
    fn a_bucket_never_shows_anothers_values() {
        on_each(|store| {
            let names = ["a;b", "a-b", "a", "a.b", "../a", "", "%"];
            for name in names {
                store.bucket(name).set("state", name.as_bytes()).unwrap();
            }
            for name in names {
                assert_eq!(store.bucket(name).get("state").unwrap().unwrap(), name.as_bytes());
                assert_eq!(store.bucket(name).list().unwrap(), ["state"], "{name:?}");
            }
        });
    }

    #[test]
    fn all_values_together_keep_to_the_quota_and_none_is_lost() {
        on_each(|store| {
            let old = store.bucket("a");
            old.set("state", &[0; 400]).unwrap();
            let store = store.at_most(1_000);
            // Nothing is set in the first one any more; it counts all the same.
            let (first, second) = (store.bucket("a"), store.bucket("b"));
            second.set("state", &[0; 500]).unwrap();
            let error = second.set("more", &[0; 101]).unwrap_err();
            assert!(matches!(error, StateError::QuotaExceeded { wanted: 1001.., most: 1_000 }), "{error}");
            assert!(error.may_pass() && error.to_string().contains("quota.stored_in_bytes"), "{error}");
            assert_eq!(second.get("more").unwrap(), None);
            second.set("state", &[1; 500]).unwrap();
            let error = second.set("state", &[2; 700]).unwrap_err();
            assert!(matches!(error, StateError::QuotaExceeded { .. }), "{error}");
            assert_eq!(second.get("state").unwrap().unwrap(), [1; 500]);
            first.delete("state").unwrap();
            second.set("state", &[2; 900]).unwrap();
            second.set("state", b"").unwrap();
            first.set("state", &[3; 900]).unwrap();
        });
    }

    #[test]
    fn the_keys_of_a_bucket_are_apart_from_each_other() {
        on_each(|store| {
            let bucket = store.bucket("cloudsek;cloudsek_1;alerts");
            let keys: Vec<String> = (0..24).map(|number| format!("digests.{number}")).collect();
            for round in ["one", "two"] {
                for key in &keys {
                    bucket.set(key, format!("{round} of {key}").as_bytes()).unwrap();
                }
                bucket.set("state", round.as_bytes()).unwrap();
            }
            for key in &keys {
                assert_eq!(bucket.get(key).unwrap().unwrap(), format!("two of {key}").as_bytes());
            }
            assert_eq!(bucket.list().unwrap().len(), 25);
            bucket.delete("digests.7").unwrap();
            assert_eq!(bucket.get("digests.7").unwrap(), None);
            assert_eq!(bucket.get("state").unwrap().unwrap(), b"two");
            assert_eq!(bucket.get("digests.8").unwrap().unwrap(), b"two of digests.8");
        });
    }

    #[test]
    fn a_crash_between_two_keys_leaves_each_of_them_whole() {
        let scratch = Scratch::new();
        let store = Store::files(StateFolder::open(scratch.rooted("")).unwrap());
        let bucket = store.bucket("a");
        for key in ["digests.0", "state"] {
            bucket.set(key, b"one").unwrap();
        }
        bucket.set("digests.0", b"two").unwrap();
        // The second one is cut off in the middle of its file.
        fs::write(scratch.join("a.state.9.tmp"), "devo-collector-state 1 ").unwrap();
        drop((bucket, store));
        let store = Store::files(StateFolder::open(scratch.rooted("")).unwrap());
        let value = |key| store.bucket("a").get(key).unwrap().unwrap();
        assert_eq!((value("digests.0"), value("state")), (b"two".to_vec(), b"one".to_vec()));
        assert!(!scratch.names().iter().any(|name| name.ends_with(".tmp")));
    }

    #[test]
    fn a_key_that_is_corrupt_or_gone_is_an_error_that_names_its_file_and_no_other_key_suffers() {
        let scratch = Scratch::new();
        let store = Store::files(StateFolder::open(scratch.rooted("")).unwrap());
        let bucket = store.bucket("a");
        for value in ["one", "two"] {
            for key in ["digests.0", "digests.1", "state"] {
                bucket.set(key, value.as_bytes()).unwrap();
            }
        }
        fs::write(scratch.join("a.digests%2E0.value"), "nonsense").unwrap();
        fs::remove_file(scratch.join("a.digests%2E1.value")).unwrap();
        for (key, file) in [("digests.0", "a.digests%2E0.value"), ("digests.1", "a.digests%2E1.value")] {
            let error = bucket.get(key).unwrap_err();
            assert!(matches!(error, StateError::Corrupt { .. }) && !error.may_pass(), "{error}");
            assert!(error.to_string().contains(file) && error.to_string().contains("rename"), "{error}");
        }
        assert_eq!(bucket.get("state").unwrap().unwrap(), b"two");
    }

    #[test]
    fn what_stands_in_the_place_of_a_value_does_not_pass_and_an_error_of_the_disk_may() {
        let scratch = Scratch::new();
        let bucket = Store::files(StateFolder::open(scratch.rooted("")).unwrap()).bucket("a");
        fs::create_dir(scratch.join("a.state")).unwrap();
        let error = bucket.get("state").unwrap_err();
        assert!(matches!(error, StateError::Read { .. }) && !error.may_pass(), "{error}");
        // As a volume of the network gives it while its server is away.
        let source = std::io::Error::from_raw_os_error(nix::libc::ESTALE);
        assert!(StateError::Read { path: scratch.join("a.state"), source }.may_pass());
    }

    #[test]
    fn values_outlive_the_process() {
        let scratch = Scratch::new();
        let store = Store::files(StateFolder::open(scratch.rooted("")).unwrap());
        store.bucket("a").set("state", b"one").unwrap();
        drop(store);
        let store = Store::files(StateFolder::open(scratch.rooted("")).unwrap());
        assert_eq!(store.bucket("a").get("state").unwrap().unwrap(), b"one");
    }

    #[test]
    fn a_store_is_released_when_the_last_bucket_is_dropped_and_not_before() {
        let scratch = Scratch::new();
        let store = Store::files(StateFolder::open(scratch.rooted("")).unwrap());
        let (bucket, other) = (store.bucket("a"), store.bucket("b"));
        // As the write of a service that was abandoned meanwhile.
        let under_way = bucket.clone();
        let mut released = pin!(store.release());
        let mut is_released = || released.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        drop(bucket);
        assert!(!is_released());
        drop(other);
        assert!(!is_released());
        assert!(StateFolder::open(scratch.rooted("")).is_err());
        drop(under_way);
        assert!(is_released());
        StateFolder::open(scratch.rooted("")).unwrap();
    }

    #[test]
    fn a_store_without_a_bucket_is_released_at_once() {
        let released = pin!(Store::memory().release());
        assert!(released.poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }

    #[test]
    fn a_corrupt_value_can_be_reset() {
        let scratch = Scratch::new();
        let bucket = Store::files(StateFolder::open(scratch.rooted("")).unwrap()).bucket("a");
        bucket.set("state", b"one").unwrap();
        fs::write(scratch.join("a.state"), "").unwrap();
        assert!(matches!(bucket.get("state"), Err(StateError::Corrupt { .. })));
        bucket.delete("state").unwrap();
        assert_eq!(bucket.get("state").unwrap(), None);
    }

    #[test]
    fn a_folder_that_goes_away_is_an_error_and_not_an_empty_store() {
        let scratch = Scratch::new();
        let bucket = Store::files(StateFolder::open(scratch.rooted("")).unwrap()).bucket("a");
        fs::remove_dir_all(scratch.path()).unwrap();
        let gone = |error| matches!(error, Some(StateError::Folder { problem: FolderProblem::Gone, .. }));
        assert!(matches!(bucket.set("state", b"one"), Err(StateError::Write { .. })));
        assert!(gone(bucket.get("state").err()) && gone(bucket.exists("state").err()) && gone(bucket.list().err()));
        // As after an unmount: a folder is there, and it is another one.
        fs::create_dir(scratch.path()).unwrap();
        assert!(gone(bucket.get("state").err()) && gone(bucket.exists("state").err()) && gone(bucket.list().err()));
    }

    #[test]
    fn a_value_larger_than_any_that_is_written_is_not_read() {
        let scratch = Scratch::new();
        let bucket = Store::files(StateFolder::open(scratch.rooted("")).unwrap()).bucket("a").at_most(1000);
        bucket.set("state", &[7; 1000]).unwrap();
        assert_eq!(bucket.get("state").unwrap().unwrap().len(), 1000);
        fs::File::create(scratch.join("a.state")).unwrap().set_len(3 << 30).unwrap();
        let error = bucket.get("state").unwrap_err();
        assert!(matches!(error, StateError::Corrupt { damage: Damage::TooLarge { .. }, .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("3221225472 bytes") && text.contains("a.state.previous to that name"), "{text}");
        // It can be replaced all the same.
        bucket.set("state", b"one").unwrap();
        assert_eq!(bucket.get("state").unwrap().unwrap(), b"one");
    }

    #[test]
    fn a_name_too_long_for_a_file_is_an_error_that_says_so() {
        let scratch = Scratch::new();
        let bucket = Store::files(StateFolder::open(scratch.rooted("")).unwrap()).bucket("ä".repeat(40));
        assert!(matches!(bucket.set("state", b""), Err(StateError::NameTooLong { length: 246, .. })));
        let longest = "a".repeat(name::LONGEST - ".state".len());
        let bucket = Store::files(StateFolder::open(scratch.rooted("b")).unwrap()).bucket(longest);
        bucket.set("state", b"one").unwrap();
        bucket.set("state", b"two").unwrap();
        assert_eq!(bucket.get("state").unwrap().unwrap(), b"two");
    }
}
