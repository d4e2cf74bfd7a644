//! What a call of the component did, and how things stand after it, as `wit/collector.wit` has it.

/// What one call of `pull` or `backfill` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Requests made to the API, repeated ones included.
    pub requests: u32,
    /// Records that the API returned.
    pub received: u64,
    /// Records left out because they had been delivered before.
    pub duplicates: u64,
    /// Events delivered and confirmed.
    pub sent: u64,
    /// Records that can't become events, and are kept as dead letters.
    pub dead_letters: u64,
    /// Whether there is nothing left to be done in this cycle.
    pub up_to_date: bool,
    /// How things stand.
    pub progress: Progress,
}

/// How things stand after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The pass that is under way, if one is.
    pub backfill: Option<BackfillProgress>,
    /// Pages that could not be read when they were last asked for, although there should be records on them.
    pub gaps: u32,
    /// What the last pass that could tell has found.
    pub account: Account,
    /// When it did, in seconds of Unix time.
    pub account_time: Option<u64>,
    /// The time of the newest event delivered, in seconds of Unix time.
    pub newest_event: Option<u64>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// No pass has come to its end yet while the source stood still.
    Unknown,
    /// It can't be told.
    Unchecked(Uncheckable),
    /// So many records are counted by the source and missing from the pages that can be read. 0: all are
    /// accounted for.
    Missing(u64),
}

/// Why what was delivered can't be held against what the source counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uncheckable {
    /// The source doesn't say how many records it has.
    NoTotal,
    /// It says less than it shows.
    Refuted,
    /// What it says stands still while alerts arrive.
    Capped,
}
