//! Values in a redis server (`persistence.type: redis`): a hash for each bucket, a field for each key.
//!
//! A field holds a revision, which is new with every write, and the value in its [envelope]. A write names the revision
//! that it takes the place of: two collectors on one database find out about each other instead of overwriting each
//! other's state, which is what the lock does for a folder. Reading remembers what is there, so that a server that came
//! back empty is an error and not a new start. Calls are short and one connection serves all of them; it is made anew
//! when it breaks.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::redis::{
    Client, Cmd, Connection, ConnectionAddr, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, cmd,
};
use secrecy::ExposeSecret;

use super::envelope;
use super::error::{RedisProblem, StateError};
use crate::secret::Secret;

/// How long the server may take to connect, and then for each answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Hexadecimal digits of a revision.
const REVISION: usize = 32;

/// Writes a value if the field is at the expected revision (none for a field that is not there), or already at the new
/// one: then this is the repeat of a write whose answer was lost. Returns 1 if the value is there now.
const SET: &str = "
local field = redis.call('HGET', KEYS[1], ARGV[1])
local revision = field and string.sub(field, 1, string.len(ARGV[3])) or ''
if revision == ARGV[3] then return 1 end
if revision ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3] .. ARGV[4])
return 1
";

/// Where the server is and who asks.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    pub host: String,
    pub port: u16,
    /// Read for each connection: it may have been replaced.
    pub password: Option<Secret>,
    /// The number of the database.
    pub db: i64,
}

/// A database in a redis server.
pub struct RedisDatabase {
    settings: RedisSettings,
    client: Client,
    state: Mutex<State>,
    /// What this process's revisions begin with.
    process: u64,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    /// The revision at which each field of each bucket was last seen; empty for one that was not there.
    seen: HashMap<(String, String), String>,
    writes: u64,
}

impl RedisDatabase {
    /// Connects, and makes sure that the server takes the password and has the database.
    ///
    /// # Errors
    /// [`StateError::Redis`].
    pub fn open(settings: RedisSettings) -> Result<Self, StateError> {
        let address = ConnectionAddr::Tcp(settings.host.clone(), settings.port);
        // Password and database are named by `connect`, within a time-out of which this library knows nothing.
        let plain = RedisConnectionInfo::default().set_skip_set_lib_name();
        let client = address
            .into_connection_info()
            .and_then(|info| Client::open(info.set_redis_settings(plain)))
            .map_err(|error| failed(&settings, problem(&error)))?;
        let process = RandomState::new().hash_one(std::process::id());
        let database = Self { settings, client, state: Mutex::default(), process };
        database.ask::<String>(&cmd("PING"))?;
        Ok(database)
    }

    /// The value of a key; none if it was never set, or was deleted.
    pub(super) fn get(&self, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        let field: Option<Vec<u8>> = self.ask(cmd("HGET").arg(hash(bucket)).arg(key))?;
        let Some(mut field) = field else { return self.note_absence(bucket, key).map(|()| None) };
        let corrupt = |damage| self.failed(RedisProblem::Corrupt { hash: hash(bucket), field: key.to_owned(), damage });
        let content = if field.len() < REVISION { Vec::new() } else { field.split_off(REVISION) };
        let value = envelope::open(content).map_err(corrupt)?;
        self.note(bucket, key, String::from_utf8_lossy(&field).into_owned());
        Ok(Some(value))
    }

    /// Sets the value of a key. A corrupt one is replaced.
    pub(super) fn set(&self, bucket: &str, key: &str, value: &[u8]) -> Result<(), StateError> {
        let expected = match self.seen(bucket, key) {
            Some(revision) => revision,
            // Somebody who writes without having read takes what is there as it is.
            None => self.revision(bucket, key)?,
        };
        let revision = self.new_revision();
        let content = [envelope::header(value).as_bytes(), value].concat();
        let mut set = cmd("EVAL");
        set.arg(SET).arg(1).arg(hash(bucket)).arg(key).arg(&expected).arg(&revision).arg(content);
        if self.ask::<bool>(&set)? {
            self.note(bucket, key, revision);
            return Ok(());
        }
        let now = self.revision(bucket, key)?;
        Err(self.failed(if now.is_empty() { RedisProblem::Lost } else { RedisProblem::WrittenByAnother }))
    }

    /// Removes a key. There need not be any.
    pub(super) fn delete(&self, bucket: &str, key: &str) -> Result<(), StateError> {
        self.ask::<u64>(cmd("HDEL").arg(hash(bucket)).arg(key))?;
        self.note(bucket, key, String::new());
        Ok(())
    }

    /// Whether there is a value, or something in place of one.
    pub(super) fn exists(&self, bucket: &str, key: &str) -> Result<bool, StateError> {
        let exists: bool = self.ask(cmd("HEXISTS").arg(hash(bucket)).arg(key))?;
        if !exists {
            self.note_absence(bucket, key)?;
        }
        Ok(exists)
    }

    /// The keys of a bucket.
    pub(super) fn list(&self, bucket: &str) -> Result<Vec<String>, StateError> {
        self.ask(cmd("HKEYS").arg(hash(bucket)))
    }

    /// The text under a key of the database itself, which is how the original collector keeps its state.
    pub(super) fn text(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.ask(cmd("GET").arg(key))
    }

    fn revision(&self, bucket: &str, key: &str) -> Result<String, StateError> {
        let field: Option<Vec<u8>> = self.ask(cmd("HGET").arg(hash(bucket)).arg(key))?;
        let field = field.unwrap_or_default();
        Ok(String::from_utf8_lossy(field.get(..REVISION).unwrap_or(&field)).into_owned())
    }

    fn new_revision(&self) -> String {
        let mut state = self.state();
        state.writes += 1;
        format!("{:016x}{:016x}", self.process, state.writes)
    }

    fn seen(&self, bucket: &str, key: &str) -> Option<String> {
        self.state().seen.get(&(bucket.to_owned(), key.to_owned())).cloned()
    }

    fn note(&self, bucket: &str, key: &str, revision: String) {
        self.state().seen.insert((bucket.to_owned(), key.to_owned()), revision);
    }

    /// A value that was there does not go away by itself.
    fn note_absence(&self, bucket: &str, key: &str) -> Result<(), StateError> {
        match self.seen(bucket, key) {
            Some(revision) if !revision.is_empty() => Err(self.failed(RedisProblem::Lost)),
            _ => {
                self.note(bucket, key, String::new());
                Ok(())
            }
        }
    }

    /// Asks on the connection that there is; if that one breaks, once more on a new one. Every command may be repeated.
    fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StateError> {
        let mut state = self.state();
        if let Some(mut connection) = state.connection.take() {
            match command.query(&mut connection) {
                Ok(answer) => {
                    state.connection = Some(connection);
                    return Ok(answer);
                }
                Err(error) if !error.is_io_error() => {
                    state.connection = Some(connection);
                    return Err(self.failed(problem(&error)));
                }
                // Closed while it was idle, or half-open since the server was started anew.
                Err(_) => {}
            }
        }
        let mut connection = self.connect().map_err(|problem| self.failed(problem))?;
        let answer = command.query(&mut connection).map_err(|error| self.failed(problem(&error)));
        state.connection = answer.is_ok().then_some(connection);
        answer
    }

    fn connect(&self) -> Result<Connection, RedisProblem> {
        let mut connection = self.client.get_connection_with_timeout(PATIENCE).map_err(|error| problem(&error))?;
        let timeouts = connection.set_read_timeout(Some(PATIENCE));
        timeouts.and_then(|()| connection.set_write_timeout(Some(PATIENCE))).map_err(|error| problem(&error))?;
        if let Some(password) = &self.settings.password {
            let password = password.read().map_err(|error| RedisProblem::PasswordUnreadable(error.to_string()))?;
            let refused = |error: RedisError| match problem(&error) {
                RedisProblem::Server { .. } => RedisProblem::PasswordRefused,
                other => other,
            };
            cmd("AUTH").arg(password.expose_secret()).query::<()>(&mut connection).map_err(refused)?;
        }
        if self.settings.db != 0 {
            cmd("SELECT").arg(self.settings.db).query::<()>(&mut connection).map_err(|error| {
                match problem(&error) {
                    RedisProblem::Server { code } if code == "ERR" => RedisProblem::NoSuchDatabase(self.settings.db),
                    other => other,
                }
            })?;
        }
        Ok(connection)
    }

    fn failed(&self, problem: RedisProblem) -> StateError {
        failed(&self.settings, problem)
    }

    /// A panic elsewhere can't leave it half changed: a connection under way is not in it.
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows nothing of what is said to the server, which begins with a password.
impl std::fmt::Debug for RedisDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisDatabase").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn hash(bucket: &str) -> String {
    format!("devo-collector:{bucket}")
}

fn failed(settings: &RedisSettings, problem: RedisProblem) -> StateError {
    StateError::Redis { address: format!("{}:{}", settings.host, settings.port), problem }
}

/// Without the server's own words, for some of them repeat what was said to it: the password among it.
fn problem(error: &RedisError) -> RedisProblem {
    match (error.kind(), error.code()) {
        _ if error.is_timeout() => RedisProblem::TimedOut(PATIENCE),
        (ErrorKind::Io, _) => RedisProblem::Unreachable(error.to_string()),
        (_, Some("NOAUTH")) => RedisProblem::PasswordMissing,
        (_, Some(code)) => {
            RedisProblem::Server { code: code.chars().filter(char::is_ascii_uppercase).take(20).collect() }
        }
        _ => RedisProblem::NotRedis,
    }
}

#[cfg(test)]
pub(super) mod tests;
