//! Values in a redis server (`persistence.type: redis`): a hash for each bucket, a field for each key.
//!
//! A field holds a revision, which is new with every write, and the value in its [envelope]. A write names
//! the revision that it takes the place of: two collectors on one database find out about each other instead
//! of overwriting each other's state, which is what the lock does for a folder. Reading remembers what is
//! there, so that a server that came back empty is an error and not a new start. Calls are short and one
//! [connection] serves all of them.
//!
//! Where tenants share a process, the tenant's name is part of every key: they may have the same names in the
//! same database. No name of a tenant or of an input has a `:` or a `;`, so no two keys are alike, those of a
//! collector by itself included. The original's state has no place there: it stands under names that another
//! tenant may have too.

mod connection;
pub(super) mod protocol;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use collector_files::Threads;
use tokio::runtime::Handle;

use super::envelope::{self, LONGEST_HEADER};
use super::error::{Damage, RedisProblem, StateError};
pub use connection::RedisSettings;
use connection::{Link, SMALL, number, status, value, values};
use protocol::Command;

/// Hexadecimal digits of a revision: as many of the process, and of the write.
const REVISION: usize = 32;

/// Writes a value if the field is at the expected revision (none for a field that is not there), or at one of
/// this very process: then a write whose answer was lost has been done all the same. Returns 1 if it was
/// written, 0 if somebody else's value is there, -1 if none is.
const SET: &str = "
local field = redis.call('HGET', KEYS[1], ARGV[1])
local revision = field and string.sub(field, 1, string.len(ARGV[3])) or ''
local half = string.len(ARGV[3]) / 2
if revision ~= ARGV[2] and string.sub(revision, 1, half) ~= string.sub(ARGV[3], 1, half) then
    return field and 0 or -1
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3] .. ARGV[4])
return 1
";

/// The revision of a field, without the rest of it.
const REVISION_OF: &str = "
local field = redis.call('HGET', KEYS[1], ARGV[1])
return field and string.sub(field, 1, tonumber(ARGV[2]))
";

/// Writes and removes, in a hash that no bucket has: what a replica, a full server, a full disk or a user
/// without the permission refuses.
const CHECK: &str = "
redis.call('HSET', KEYS[1], 'check', '')
return redis.call('HDEL', KEYS[1], 'check')
";

/// What every key begins with.
const PREFIX: &str = "devo-collector";

/// The bucket of the check. A service's has its identity for a name.
const CHECK_BUCKET: &str = ":check";

/// A database in a redis server.
pub struct RedisDatabase {
    link: Link,
    /// The revision at which each field of each bucket was last seen; empty for one that was not there.
    seen: Mutex<HashMap<(String, String), Vec<u8>>>,
    /// What this process's revisions begin with.
    process: u64,
    writes: AtomicU64,
}

impl RedisDatabase {
    /// Connects, and makes sure that the server takes the password, has the database and can be written to:
    /// better now than when the first alerts have been sent. What is waited for, now and later, is waited for
    /// on this runtime.
    ///
    /// # Errors
    /// [`StateError::Redis`].
    pub fn open(settings: RedisSettings, runtime: Handle) -> Result<Self, StateError> {
        let link = Link::new(settings, runtime)?;
        let process = RandomState::new().hash_one(std::process::id());
        let database = Self { link, seen: Mutex::default(), process, writes: AtomicU64::new(0) };
        database.link.ask(&Command::new(&[b"PING"]), SMALL, status)?;
        let hash = database.hash(CHECK_BUCKET);
        let check = Command::new(&[b"EVAL", CHECK.as_bytes(), b"1", hash.as_bytes()]);
        database.link.ask(&check, SMALL, number)?;
        Ok(database)
    }

    /// The value of a key, of so many bytes at most; none if it was never set, or was deleted.
    pub(super) fn get(&self, bucket: &str, key: &str, most: u64) -> Result<Option<Vec<u8>>, StateError> {
        let hash = self.hash(bucket);
        let corrupt =
            |damage| self.link.failed(RedisProblem::Corrupt { hash: hash.clone(), field: key.to_owned(), damage });
        let around = REVISION + LONGEST_HEADER;
        let largest = usize::try_from(most).unwrap_or(usize::MAX).saturating_add(around);
        let get = Command::new(&[b"HGET", hash.as_bytes(), key.as_bytes()]);
        let field = self.link.ask(&get, largest, value).map_err(|error| match error {
            StateError::Redis { problem: RedisProblem::TooLarge { size, .. }, .. } => {
                corrupt(Damage::TooLarge { size: size.saturating_sub(around as u64), most })
            }
            other => other,
        })?;
        let Some(mut field) = field else {
            self.note_absence(bucket, key)?;
            return Ok(None);
        };
        let content = field.split_off(field.len().min(REVISION));
        self.note(bucket, key, field);
        envelope::open(content).map(Some).map_err(corrupt)
    }

    /// Sets the value of a key. A corrupt one is replaced.
    pub(super) fn set(&self, bucket: &str, key: &str, value: &[u8]) -> Result<(), StateError> {
        let seen = self.seen().get(&entry(bucket, key)).cloned();
        let expected = match seen {
            Some(revision) => revision,
            // Somebody who writes without having read takes what is there as it is.
            None => self.revision(bucket, key)?.unwrap_or_default(),
        };
        let revision = format!("{:016x}{:016x}", self.process, self.writes.fetch_add(1, Ordering::Relaxed));
        let content = [envelope::header(value).as_bytes(), value].concat();
        let hash = self.hash(bucket);
        let set = [b"EVAL", SET.as_bytes(), b"1", hash.as_bytes(), key.as_bytes(), &expected, revision.as_bytes()];
        match self.link.ask(&Command::new(&[&set[..], &[&content]].concat()), SMALL, number)? {
            1 => {
                self.note(bucket, key, revision.into_bytes());
                Ok(())
            }
            -1 => Err(self.link.failed(RedisProblem::Lost)),
            _ => Err(self.link.failed(RedisProblem::WrittenByAnother)),
        }
    }

    /// Removes a key. There need not be any.
    pub(super) fn delete(&self, bucket: &str, key: &str) -> Result<(), StateError> {
        // Where the answer is lost, it may be gone, and then this is no loss.
        self.seen().remove(&entry(bucket, key));
        self.link.ask(&Command::new(&[b"HDEL", self.hash(bucket).as_bytes(), key.as_bytes()]), SMALL, number)?;
        self.note(bucket, key, Vec::new());
        Ok(())
    }

    /// Whether there is a value, or something in place of one.
    pub(super) fn exists(&self, bucket: &str, key: &str) -> Result<bool, StateError> {
        let exists = Command::new(&[b"HEXISTS", self.hash(bucket).as_bytes(), key.as_bytes()]);
        let exists = self.link.ask(&exists, SMALL, number)? != 0;
        if !exists {
            self.note_absence(bucket, key)?;
        }
        Ok(exists)
    }

    /// The keys of a bucket.
    pub(super) fn list(&self, bucket: &str) -> Result<Vec<String>, StateError> {
        let fields = self.link.ask(&Command::new(&[b"HKEYS", self.hash(bucket).as_bytes()]), SMALL, values)?;
        // Another name than text was not given here.
        let keys: Vec<_> = fields.into_iter().filter_map(|field| String::from_utf8(field).ok()).collect();
        let is_lost = |((of, key), revision): (&(String, String), &Vec<u8>)| {
            of == bucket && !revision.is_empty() && !keys.contains(key)
        };
        if self.seen().iter().any(is_lost) {
            return Err(self.link.failed(RedisProblem::Lost));
        }
        Ok(keys)
    }

    /// The threads on which it is waited for.
    pub(super) fn threads(&self) -> &Threads {
        &self.link.settings().threads
    }

    /// The text under a key of the database itself, of so many bytes at most, which is how the original
    /// collector keeps its state. None for a tenant: it could be another's.
    pub(super) fn text(&self, key: &str, most: u64) -> Result<Option<Vec<u8>>, StateError> {
        if self.link.settings().tenant.is_some() {
            return Ok(None);
        }
        self.link.ask(&Command::new(&[b"GET", key.as_bytes()]), usize::try_from(most).unwrap_or(usize::MAX), value)
    }

    fn revision(&self, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        let (hash, length) = (self.hash(bucket), REVISION.to_string());
        let words = [b"EVAL", REVISION_OF.as_bytes(), b"1", hash.as_bytes(), key.as_bytes(), length.as_bytes()];
        self.link.ask(&Command::new(&words), SMALL, value)
    }

    /// The hash of a bucket.
    fn hash(&self, bucket: &str) -> String {
        match &self.link.settings().tenant {
            Some(tenant) => format!("{PREFIX}:{tenant}:{bucket}"),
            None => format!("{PREFIX}:{bucket}"),
        }
    }

    fn note(&self, bucket: &str, key: &str, revision: Vec<u8>) {
        self.seen().insert(entry(bucket, key), revision);
    }

    /// A value that was there does not go away by itself.
    fn note_absence(&self, bucket: &str, key: &str) -> Result<(), StateError> {
        if self.seen().entry(entry(bucket, key)).or_default().is_empty() {
            Ok(())
        } else {
            Err(self.link.failed(RedisProblem::Lost))
        }
    }

    /// A panic elsewhere can't leave the map half changed: each change is one call.
    fn seen(&self) -> MutexGuard<'_, HashMap<(String, String), Vec<u8>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows nothing of what is said to the server, which begins with a password.
impl std::fmt::Debug for RedisDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisDatabase").field("settings", self.link.settings()).finish_non_exhaustive()
    }
}

fn entry(bucket: &str, key: &str) -> (String, String) {
    (bucket.to_owned(), key.to_owned())
}

#[cfg(test)]
pub(super) mod tests;
