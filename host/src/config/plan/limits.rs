//! What one call of a component may use.

use std::time::Duration;

use super::super::document;

/// What one call of a component may use. A breach ends the call, and costs no other tenant anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All linear memories together.
    pub memory_in_bytes: usize,
    /// Elements of all tables together: their memory counts in no linear memory.
    pub table_elements: usize,
    /// Time in which the component's own code runs.
    pub cpu: Duration,
    /// Time from the start to the end of the call, waits included.
    pub wall: Duration,
    /// What the component may hand over in one call of a host function.
    pub host_call_in_bytes: usize,
    /// Handles that are open at the same time: requests, bodies, streams.
    pub handles: usize,
    /// Requests to the API.
    pub requests: u32,
    /// Requests under way at the same time, answers that are being read included.
    pub concurrent_requests: u32,
    /// Lines in the log, those that its level leaves out not included.
    pub log_lines: u32,
    /// The largest value in the key-value store.
    pub state_in_bytes: usize,
    /// Events that wait for one output, or for its confirmation.
    pub queue_in_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A piece of 4 MiB, a page of the largest size on top of it, and the ids of a busy day.
            memory_in_bytes: 256 * 1024 * 1024,
            table_elements: 100_000,
            cpu: Duration::from_secs(60),
            // A piece takes 30 s of pulling, three waits of 60 s at the most, and a flush with all of its attempts.
            wall: Duration::from_secs(600),
            // The events of a page of the largest size.
            host_call_in_bytes: 128 * 1024 * 1024,
            handles: 1_000,
            // A piece of 30 s, on pages that an API near by answers within 3 ms.
            requests: 10_000,
            concurrent_requests: 8,
            log_lines: 5_000,
            // The state of a busy service is around two megabytes.
            state_in_bytes: 16 * 1024 * 1024,
            // Two pieces: one that is being confirmed and one that is being written.
            queue_in_bytes: 8 * 1024 * 1024,
        }
    }
}

impl Limits {
    /// What a configuration says, and `default` for the rest.
    pub(crate) fn new(given: &document::Limits, default: Self) -> Self {
        Self {
            memory_in_bytes: given.memory_in_bytes.unwrap_or(default.memory_in_bytes),
            table_elements: given.table_elements.unwrap_or(default.table_elements),
            cpu: given.cpu_in_milliseconds.map_or(default.cpu, Duration::from_millis),
            wall: given.wall_in_seconds.map_or(default.wall, Duration::from_secs),
            host_call_in_bytes: given.host_call_in_bytes.unwrap_or(default.host_call_in_bytes),
            handles: given.handles.unwrap_or(default.handles),
            requests: given.requests.unwrap_or(default.requests),
            concurrent_requests: given.concurrent_requests.unwrap_or(default.concurrent_requests),
            log_lines: given.log_lines.unwrap_or(default.log_lines),
            state_in_bytes: given.state_in_bytes.unwrap_or(default.state_in_bytes),
            queue_in_bytes: given.queue_in_bytes.unwrap_or(default.queue_in_bytes),
        }
    }

    /// Each limit by the name of its key, in the key's unit.
    pub(crate) fn amounts(&self) -> [(&'static str, u128); 11] {
        [
            ("memory_in_bytes", self.memory_in_bytes as u128),
            ("table_elements", self.table_elements as u128),
            ("cpu_in_milliseconds", self.cpu.as_millis()),
            ("wall_in_seconds", self.wall.as_secs().into()),
            ("host_call_in_bytes", self.host_call_in_bytes as u128),
            ("handles", self.handles as u128),
            ("requests", self.requests.into()),
            ("concurrent_requests", self.concurrent_requests.into()),
            ("log_lines", self.log_lines.into()),
            ("state_in_bytes", self.state_in_bytes as u128),
            ("queue_in_bytes", self.queue_in_bytes as u128),
        ]
    }
}
