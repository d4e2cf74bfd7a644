//! The state that the original collector left behind, so that an upgrade in place goes on where it stood. It
//! is translated into text of version 1, which the component takes over; its file is only read, so that going
//! back stays possible. Whether there is a need for it, and where the result goes, is left to the callers.

mod pickle;

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use collector_files::{Refusal, RootedPath};
use md5::{Digest, Md5};
use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::error::StateError;
use super::store::{Place, Store};
pub use pickle::PickleError;

/// The ids of one moment are a few kilobytes at most.
const LARGEST_FILE: u64 = 4 * 1024 * 1024;

/// The only version that the original ever wrote.
const VERSION: u64 = 1;

/// Numbers from here on are milliseconds: read as seconds they would lie beyond the year 5138.
const FIRST_MILLISECONDS: f64 = 1e11;

/// A state of the original collector that can't be taken over.
#[derive(Debug, Error)]
pub enum OriginalError {
    /// The operating system did not let it be read.
    #[error(
        "the original collector's state {path} can't be read: {source}; check its permissions, or move it elsewhere to start without it",
        path = .path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The redis server that may have it can't be asked.
    #[error(transparent)]
    Redis(#[from] StateError),
    /// It is not what the original writes.
    #[error(
        "the original collector's state {place} can't be taken over: {problem}; restore it from a backup, or move it elsewhere to start without it (alerts from initial_start_time_in_utc on then come again)"
    )]
    Unusable {
        /// The file, or the key in redis.
        place: String,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// What is wrong with a state of the original collector.
#[derive(Debug, Error)]
pub enum Problem {
    /// No state is that large.
    #[error("it has more than {} bytes", LARGEST_FILE)]
    TooLarge,
    /// It is not a pickle of plain values.
    #[error("{0}")]
    Pickle(PickleError),
    /// It is not JSON although it begins like it.
    #[error("it is not valid JSON ({0})")]
    Json(serde_json::Error),
    /// It is something else than a dict.
    #[error("it is no dict")]
    NotADict,
    /// What makes it a state is missing.
    #[error("it has no last_event_time_in_utc")]
    NoLastEventTime,
    /// A key has a value that makes no sense.
    #[error("its {key} is not {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What there should be.
        expected: &'static str,
    },
}

/// Looks for the original's state of a service where ours is to be kept, and gives it as text of version 1.
/// `None` if there is none, or an empty one. Blocks.
///
/// # Errors
/// When there is one that can't be taken over: to go on without it would send again what was sent.
pub fn find(store: &Store, input: &str, id: &str, service: &str) -> Result<Option<Vec<u8>>, OriginalError> {
    let identity = format!("{input};{id};{service};None");
    match store.place() {
        Place::Files(folder) => find_file(folder.path(), &identity),
        Place::Redis(database) => {
            let Some(content) = database.text(&identity, LARGEST_FILE)? else { return Ok(None) };
            let unusable = |problem| OriginalError::Unusable { place: format!("{identity} in redis"), problem };
            translate(&content).map_err(unusable)
        }
        Place::Memory(_) => Ok(None),
    }
}

fn find_file(folder: &RootedPath, identity: &str) -> Result<Option<Vec<u8>>, OriginalError> {
    for name in file_names(identity) {
        let path = folder.join(name);
        let unusable = |problem| OriginalError::Unusable { place: path.display().to_string(), problem };
        let content = match path.read(LARGEST_FILE) {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) if matches!(Refusal::of(&error), Some(Refusal::TooLarge { .. })) => {
                return Err(unusable(Problem::TooLarge));
            }
            Err(source) => return Err(OriginalError::Read { path: path.path().to_owned(), source }),
        };
        return translate(&content).map_err(unusable);
    }
    Ok(None)
}

/// The names that the file may have: the hash of the service's identity, or, as its redis key is, the
/// identity itself.
fn file_names(identity: &str) -> impl Iterator<Item = String> {
    let hash = Md5::digest(identity).iter().map(|byte| format!("{byte:02x}")).collect();
    // A name with a slash would lead to another folder.
    let plain = Some(identity.to_owned()).filter(|name| !name.contains(['/', '\0']) && name.len() <= 255);
    [Some(hash), plain].into_iter().flatten()
}

pub(super) fn translate(content: &[u8]) -> Result<Option<Vec<u8>>, Problem> {
    if content.len() as u64 > LARGEST_FILE {
        return Err(Problem::TooLarge);
    }
    // No pickle begins with a brace.
    let value = if content.trim_ascii_start().starts_with(b"{") {
        serde_json::from_slice(content).map_err(Problem::Json)?
    } else {
        pickle::read(content).map_err(Problem::Pickle)?
    };
    match value {
        // What the original has before its first pull.
        Value::Null => Ok(None),
        Value::Object(dict) if dict.is_empty() => Ok(None),
        Value::Object(dict) => Version1::new(dict).and_then(|state| state.text()).map(Some),
        _ => Err(Problem::NotADict),
    }
}

/// The original's state, as far as it means anything here.
#[derive(Serialize)]
struct Version1 {
    initial_start_time_in_utc: Option<DateTime<Utc>>,
    last_event_time_in_utc: Option<DateTime<Utc>>,
    last_ids: Vec<Value>,
    #[serde(rename = "@persistence_version")]
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reset_persistence_auth: Option<String>,
}

impl Version1 {
    fn new(mut dict: Map<String, Value>) -> Result<Self, Problem> {
        let mut take = |key| dict.remove(key).unwrap_or(Value::Null);
        let version = take("@persistence_version");
        if !version.is_null() && version != VERSION {
            return Err(Problem::Value { key: "@persistence_version", expected: "1" });
        }
        let initial_start_time_in_utc = time("initial_start_time_in_utc", &take("initial_start_time_in_utc"))?;
        let last_ids = ids(take("last_ids"))?;
        let reset_persistence_auth = word(take("reset_persistence_auth"))?;
        let last = dict.remove("last_event_time_in_utc").ok_or(Problem::NoLastEventTime)?;
        let last_event_time_in_utc = time("last_event_time_in_utc", &last)?;
        Ok(Self {
            initial_start_time_in_utc,
            last_event_time_in_utc,
            last_ids,
            version: VERSION,
            reset_persistence_auth,
        })
    }

    fn text(&self) -> Result<Vec<u8>, Problem> {
        serde_json::to_vec(self).map_err(Problem::Json)
    }
}

/// The texts and numbers that ids are; whole ones, as others could not be told apart again.
fn ids(value: Value) -> Result<Vec<Value>, Problem> {
    let is_id = |id: &Value| id.is_string() || id.is_i64() || id.is_u64();
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(ids) if ids.iter().all(is_id) => Ok(ids),
        _ => Err(Problem::Value { key: "last_ids", expected: "a list of texts or whole numbers" }),
    }
}

/// The operator's word as the configuration's reader writes it.
fn word(value: Value) -> Result<Option<String>, Problem> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(_) | Value::Bool(_) => Ok(Some(value.to_string())),
        _ => Err(Problem::Value { key: "reset_persistence_auth", expected: "a text" }),
    }
}

fn time(key: &'static str, value: &Value) -> Result<Option<DateTime<Utc>>, Problem> {
    let time = match value {
        Value::Null => return Ok(None),
        Value::String(text) => time_of_text(text.trim()),
        Value::Number(number) => number.as_f64().and_then(time_of_number),
        _ => None,
    };
    time.map(Some).ok_or(Problem::Value { key, expected: "a time" })
}

/// The forms that Python's `isoformat`, `str` and the usual `strftime` write. A time without a zone is UTC.
fn time_of_text(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    for format in ["%Y-%m-%d %H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S%.f%z"] {
        if let Ok(time) = DateTime::parse_from_str(text, format) {
            return Some(time.to_utc());
        }
    }
    let zoneless = text.strip_suffix(" UTC").or_else(|| text.strip_suffix('Z')).unwrap_or(text);
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(zoneless, format) {
            return Some(time.and_utc());
        }
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.and_time(NaiveTime::MIN).and_utc())
}

/// Seconds or milliseconds since 1970.
fn time_of_number(number: f64) -> Option<DateTime<Utc>> {
    let milliseconds = if number >= FIRST_MILLISECONDS { number } else { number * 1e3 };
    if milliseconds < 0.0 { None } else { DateTime::from_timestamp_millis(milliseconds.round() as i64) }
}

#[cfg(test)]
mod tests;
