//! What a call may use, and what it tells: the numbers that the host shows to the operator.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::statistics::Statistics;

/// What one call may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Requests to the API, repeated ones included.
    pub requests: u32,
    /// Time after which the call should come to its end.
    pub time: Duration,
}

/// What one call did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The call's numbers.
    pub statistics: Statistics,
    /// Whether there is nothing left to be done in this cycle.
    pub up_to_date: bool,
    /// How things stand.
    pub progress: Progress,
}

/// How things stand after a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The pass that is under way, if one is.
    pub backfill: Option<BackfillProgress>,
    /// Pages that could not be read when they were last asked for, although there should be records on them.
    pub gaps: u32,
    /// What the last pass that could tell has found.
    pub account: Account,
    /// When it did.
    pub account_time: Option<DateTime<Utc>>,
    /// The time of the newest event delivered, none in the future.
    pub newest_event: Option<DateTime<Utc>>,
}

/// How far a pass over the whole source has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackfillProgress {
    /// Records on the pages that were read.
    pub done: u64,
    /// Records that the source says it has; none where it doesn't say, or says less than it has shown.
    pub total: Option<u64>,
}

/// Whether every record that the source counts has been read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// No pass has come to its end yet while the source stood still.
    #[default]
    Unknown,
    /// It can't be told.
    Unchecked(Uncheckable),
    /// So many records are counted by the source and missing from the pages that can be read.
    Missing(u64),
}

/// Why what was delivered can't be held against what the source counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Uncheckable {
    /// The source doesn't say how many records it has.
    NoTotal,
    /// It says less than it shows.
    Refuted,
    /// What it says stands still while alerts arrive.
    Capped,
}
