//! What a sender has delivered, for the statistics lines and metrics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};

/// Totals of confirmed deliveries since the start. They only grow, and are read while the sender works.
///
/// The line of the original (`messages sent since "...": 21 (elapsed 0.007 seconds)`) is the difference of
/// two [`Checkpoint`]s.
#[derive(Debug, Default)]
pub struct Statistics(Mutex<Totals>);

#[derive(Debug, Default)]
struct Totals {
    messages: u64,
    bytes: u64,
    delivering: Duration,
    /// Since when a delivery is going on.
    busy_since: Option<Instant>,
    trouble: Option<Trouble>,
}

/// Why nothing is confirmed, from the first failed try that is waited after until something is confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// When that try failed.
    pub since: SystemTime,
    /// Why the last one did.
    pub cause: Arc<str>,
}

/// The totals at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// When that was.
    pub time: DateTime<Utc>,
    /// Events that were confirmed until then.
    pub messages: u64,
    /// Bytes of their frames.
    pub bytes: u64,
    /// Time spent writing and confirming them, retries and waits included.
    pub delivering: Duration,
}

/// What was delivered between two checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The time of the earlier checkpoint.
    pub since: DateTime<Utc>,
    /// Events that were confirmed after it.
    pub messages: u64,
    /// Bytes of their frames.
    pub bytes: u64,
    /// Time spent delivering after it.
    pub delivering: Duration,
}

impl Checkpoint {
    /// Nothing delivered until now.
    pub fn nothing() -> Self {
        Self { time: Utc::now(), messages: 0, bytes: 0, delivering: Duration::ZERO }
    }

    /// The totals of both together, at the time of this one.
    pub fn and(&self, other: &Self) -> Self {
        Self {
            time: self.time,
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
            delivering: self.delivering + other.delivering,
        }
    }

    /// What was delivered after an earlier checkpoint of the same statistics.
    pub fn since(&self, earlier: &Self) -> Delivered {
        Delivered {
            since: earlier.time,
            messages: self.messages.saturating_sub(earlier.messages),
            bytes: self.bytes.saturating_sub(earlier.bytes),
            delivering: self.delivering.saturating_sub(earlier.delivering),
        }
    }
}

impl Statistics {
    /// The totals now, which belong together.
    pub fn checkpoint(&self) -> Checkpoint {
        let totals = self.totals();
        let busy = totals.busy_since.map_or(Duration::ZERO, |since| since.elapsed());
        Checkpoint {
            time: Utc::now(),
            messages: totals.messages,
            bytes: totals.bytes,
            delivering: totals.delivering + busy,
        }
    }

    /// Events that were confirmed.
    pub fn messages(&self) -> u64 {
        self.totals().messages
    }

    /// Bytes of their frames, as they are before any compression.
    pub fn bytes(&self) -> u64 {
        self.totals().bytes
    }

    /// Time spent writing and confirming them, retries and waits included.
    pub fn delivering(&self) -> Duration {
        self.checkpoint().delivering
    }

    pub(super) fn add_confirmed(&self, messages: u64, bytes: usize) {
        let mut totals = self.totals();
        totals.messages += messages;
        totals.bytes += bytes as u64;
        totals.trouble = None;
    }

    /// A try failed, and the next one has to wait.
    pub(super) fn note_trouble(&self, cause: &str) {
        let mut totals = self.totals();
        let since = totals.trouble.take().map_or_else(SystemTime::now, |trouble| trouble.since);
        totals.trouble = Some(Trouble { since, cause: cause.into() });
    }

    /// Why nothing is confirmed; none where all is well, or nothing was tried.
    pub fn trouble(&self) -> Option<Trouble> {
        self.totals().trouble.clone()
    }

    /// Counts the time until the result is dropped, if by an interruption, as time spent delivering.
    pub(super) fn start_delivering(&self) -> Delivering<'_> {
        self.totals().busy_since = Some(Instant::now());
        Delivering(self)
    }

    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A delivery that is going on.
pub(super) struct Delivering<'a>(&'a Statistics);

impl Drop for Delivering<'_> {
    fn drop(&mut self) {
        let mut totals = self.0.totals();
        if let Some(since) = totals.busy_since.take() {
            totals.delivering += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_checkpoints_tell_what_was_delivered_between_them() {
        let statistics = Statistics::default();
        statistics.add_confirmed(36, 3600);
        let start = statistics.checkpoint();
        let delivering = statistics.start_delivering();
        statistics.add_confirmed(21, 2100);
        let during = statistics.checkpoint();
        drop(delivering);
        let end = statistics.checkpoint();

        assert_eq!((end.messages, end.bytes), (57, 5700));
        let delivered = end.since(&start);
        assert_eq!((delivered.messages, delivered.bytes), (21, 2100));
        assert_eq!(delivered.since, start.time);
        // The time runs while a delivery goes on and stands still after it.
        assert!(start.delivering <= during.delivering && during.delivering <= end.delivering);
        assert_eq!(statistics.delivering(), end.delivering);
        assert_eq!(end.since(&end).messages, 0);
    }

    #[test]
    fn trouble_lasts_from_its_first_try_until_something_is_confirmed() {
        let statistics = Statistics::default();
        assert_eq!(statistics.trouble(), None);
        statistics.note_trouble("refused");
        let first = statistics.trouble().unwrap();
        statistics.note_trouble("unreachable");
        assert_eq!(statistics.trouble(), Some(Trouble { cause: "unreachable".into(), ..first }));
        statistics.add_confirmed(1, 10);
        assert_eq!(statistics.trouble(), None);
    }
}
