//! All that the collector can reach: the imports of its world, as one trait.
//!
//! The WIT binding implements it on a WASI platform, the tests natively. Nothing else in this crate does I/O.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

/// How important a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Debug,
    Info,
    Warning,
}

/// A GET request to the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `true` for https, `false` for http.
    pub secure: bool,
    /// Host, with the port if the address has one.
    pub authority: String,
    /// Path and query, starting with a slash.
    pub path_with_query: String,
    /// Name and value of further headers; the credential is among them only where the platform can't add it.
    pub headers: Vec<(String, String)>,
}

/// What the API answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// The value of `Retry-After`, if there is one.
    pub retry_after: Option<String>,
    pub body: Vec<u8>,
    /// What went wrong when the answer, complete as it is, was closed.
    pub close_error: Option<String>,
}

/// Why there is no answer. The text says what happened, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportError {
    /// Something took longer than it may: the connection, the headers, the body.
    TimedOut(String),
    /// The connection could not be made or broke; another attempt may succeed.
    Broken(String),
    /// The platform does not let this request out, and won't.
    Refused(String),
    /// The answer is larger than the platform takes. A smaller page may fit.
    TooLarge(String),
}

/// Why there are no settings. The text says what happened, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingsError {
    /// Where the platform has them from.
    Upstream(String),
    Io(String),
}

/// Why a persisted value can't be read or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    NoSuchStore,
    AccessDenied,
    /// What happened, for the operator.
    Other(String),
}

/// Why events or dead letters were not taken, or not confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputError {
    /// This table can't be written to.
    TableRefused(String),
    /// The event at this position can't be delivered; none of its batch was taken.
    EventRefused(u32),
    /// What was sent since the last success may have arrived or not. What happened, for the operator.
    Unconfirmed(String),
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Upstream(text) | Self::Io(text)) = self;
        f.write_str(text)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchStore => "the platform has no such store",
            Self::AccessDenied => "the platform denies access to the store",
            Self::Other(text) => text,
        })
    }
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TableRefused(table) => write!(f, "the table {table} is refused."),
            Self::EventRefused(index) => write!(f, "event {index} of the batch is refused."),
            Self::Unconfirmed(text) => f.write_str(text),
        }
    }
}

/// One event on its way to Devo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// When the alert's incident happened.
    pub time: DateTime<Utc>,
    /// One line of JSON.
    pub body: &'a [u8],
}

/// A record that can't become an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter<'a> {
    /// Where the source has it and what is wrong with it, in one line.
    pub reason: String,
    /// The record as the source sent it.
    pub content: &'a [u8],
}

/// The interfaces that the `collector` world imports.
pub trait Platform {
    /// A request that is under way.
    type Pending;

    /// Sends a request without waiting for the answer.
    fn begin(&self, request: &Request) -> Result<Self::Pending, TransportError>;
    /// Waits for the whole answer.
    fn finish(&self, pending: Self::Pending) -> Result<Response, TransportError>;
    /// The time of day.
    fn now(&self) -> DateTime<Utc>;
    /// Time since an arbitrary moment; never goes back.
    fn elapsed(&self) -> Duration;
    /// Waits.
    fn wait(&self, duration: Duration);
    /// The settings of this service: flat names and their values.
    fn settings(&self) -> Result<Vec<(String, String)>, SettingsError>;
    /// The persisted value with this key, if there is one.
    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Replaces the persisted value with this key, all of it or nothing.
    fn store(&self, key: &str, value: &[u8]) -> Result<(), StoreError>;
    /// Hands over events for delivery to `table`.
    fn send(&self, table: &str, events: &[Event<'_>]) -> Result<(), OutputError>;
    /// Keeps records that can't become events of `table`, for the operator to look at.
    fn add_dead_letters(&self, table: &str, letters: &[DeadLetter<'_>]) -> Result<(), OutputError>;
    /// Returns when every event handed over is confirmed.
    fn flush(&self) -> Result<(), OutputError>;
    /// Writes a line to the operator's log.
    fn log(&self, level: Level, message: &str);
}
