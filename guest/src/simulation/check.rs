//! What a broken promise is.

use std::fmt;

/// The promises that are checked, each where it is checked under the conditions written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// What stands at the source and can be read was delivered and confirmed.
    Lost,
    /// A new record is delivered by the next cycle's `pull`.
    Late,
    /// Nothing arrives twice.
    Twice,
    /// An event is the record, byte for byte, and goes where it belongs.
    Faithful,
    /// What isn't wanted isn't sent.
    Unwanted,
    /// Events are confirmed before anything is stored.
    CommitOrder,
    /// A call keeps to its requests and its time.
    Budget,
    /// A quiet cycle costs one request or two, and a pass as much as it has pages.
    Requests,
    /// What is stored is bounded.
    State,
    /// What can't be read is told, and nothing else.
    Account,
    /// A call succeeds where nothing is in its way.
    Fails,
    /// No panic.
    Panic,
    /// No endless loop.
    Endless,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub check: Check,
    pub message: String,
}

impl Failure {
    pub fn new(check: Check, message: impl Into<String>) -> Self {
        Self { check, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.check, self.message)
    }
}
