//! All that the collector can reach: the imports of its world, as one trait.
//!
//! The WIT binding implements it on a WASI platform, the tests natively. Nothing else in this crate does I/O.

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
    fn settings(&self) -> Result<Vec<(String, String)>, String>;
    /// The persisted value with this key, if there is one.
    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, String>;
    /// Replaces the persisted value with this key, all of it or nothing.
    fn store(&self, key: &str, value: &[u8]) -> Result<(), String>;
    /// Hands over events for delivery to `table`.
    fn send(&self, table: &str, events: &[Event<'_>]) -> Result<(), String>;
    /// Keeps records that can't become events of `table`, for the operator to look at.
    fn add_dead_letters(&self, table: &str, letters: &[DeadLetter<'_>]) -> Result<(), String>;
    /// Returns when every event handed over is confirmed.
    fn flush(&self) -> Result<(), String>;
    /// Writes a line to the operator's log.
    fn log(&self, level: Level, message: &str);
}
