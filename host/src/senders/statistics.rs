//! What a sender has delivered since it started, for the statistics lines and metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Totals of confirmed deliveries. They only grow, and are read while the sender works.
#[derive(Debug, Default)]
pub struct Statistics {
    messages: AtomicU64,
    bytes: AtomicU64,
    delivering_in_microseconds: AtomicU64,
}

impl Statistics {
    /// Events that were confirmed.
    pub fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// Bytes of their frames.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Time spent writing and confirming them, retries and waits included.
    pub fn delivering(&self) -> Duration {
        Duration::from_micros(self.delivering_in_microseconds.load(Ordering::Relaxed))
    }

    pub(super) fn add_confirmed(&self, messages: u64, bytes: usize) {
        self.messages.fetch_add(messages, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn add_delivering(&self, time: Duration) {
        self.delivering_in_microseconds.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }
}
