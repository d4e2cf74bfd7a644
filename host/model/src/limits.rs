//! What one call of a component may use.

use std::time::Duration;

/// What one call of a component may use. What happens at each of them says its [`Limit`]; none costs another
/// tenant anything.
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
    /// The largest answer of the API, after decompression.
    pub max_body_in_bytes: u64,
    /// The largest value in the key-value store.
    pub state_in_bytes: usize,
    /// Events that wait for one output, or for its confirmation.
    pub queue_in_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A chunk of 4 MiB, a page of the largest size on top of it, and the ids of a busy day.
            memory_in_bytes: 256 * 1024 * 1024,
            table_elements: 100_000,
            cpu: Duration::from_secs(60),
            // A chunk takes 30 s of pulling, three waits of 60 s at the most, and a flush with all of its
            // attempts.
            wall: Duration::from_secs(600),
            // The events of a page of the largest size.
            host_call_in_bytes: 128 * 1024 * 1024,
            handles: 1_000,
            // A chunk of 30 s, on pages that an API near by answers within 3 ms.
            requests: 10_000,
            concurrent_requests: 8,
            log_lines: 5_000,
            max_body_in_bytes: 64 * 1024 * 1024,
            // The state of a busy service is around two megabytes.
            state_in_bytes: 16 * 1024 * 1024,
            // Two chunks: one that is being confirmed and one that is being written.
            queue_in_bytes: 8 * 1024 * 1024,
        }
    }
}

impl Limits {
    /// The limit's amount, in the unit of its key.
    pub fn amount(&self, limit: Limit) -> u64 {
        let bytes = |bytes: usize| bytes as u64;
        match limit {
            Limit::EndsCall(limit) => match limit {
                CallLimit::Memory => bytes(self.memory_in_bytes),
                CallLimit::Tables => self.table_elements as u64,
                CallLimit::Cpu => u64::try_from(self.cpu.as_millis()).unwrap_or(u64::MAX),
                CallLimit::Wall => self.wall.as_secs(),
                CallLimit::HostCall => bytes(self.host_call_in_bytes),
                CallLimit::Handles => self.handles as u64,
                CallLimit::Requests => self.requests.into(),
                CallLimit::ConcurrentRequests => self.concurrent_requests.into(),
                CallLimit::LogLines => self.log_lines.into(),
            },
            Limit::CutsAnswer => self.max_body_in_bytes,
            Limit::RefusesValue => bytes(self.state_in_bytes),
            Limit::HoldsBackEvents => bytes(self.queue_in_bytes),
        }
    }
}

/// What a component can use too much of, by what happens then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The call is ended.
    EndsCall(CallLimit),
    /// A larger answer of the API is cut off, and the component is told.
    CutsAnswer,
    /// A larger value is not stored, and the component is told.
    RefusesValue,
    /// Whoever sends more events waits.
    HoldsBackEvents,
}

/// What a component can use so much of that its call is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallLimit {
    /// All linear memories together.
    Memory,
    /// Elements of all tables together.
    Tables,
    /// Time in which the component's own code runs.
    Cpu,
    /// Time from the start to the end of the call.
    Wall,
    /// What is handed over in one call of a host function.
    HostCall,
    /// Handles that are open at the same time.
    Handles,
    /// Requests to the API.
    Requests,
    /// Requests under way at the same time.
    ConcurrentRequests,
    /// Lines in the log.
    LogLines,
}

impl From<CallLimit> for Limit {
    fn from(limit: CallLimit) -> Self {
        Self::EndsCall(limit)
    }
}

impl Limit {
    /// All of them, in the order of their indices.
    pub const ALL: [Self; 12] = [
        Self::EndsCall(CallLimit::Memory),
        Self::EndsCall(CallLimit::Tables),
        Self::EndsCall(CallLimit::Cpu),
        Self::EndsCall(CallLimit::Wall),
        Self::EndsCall(CallLimit::HostCall),
        Self::EndsCall(CallLimit::Handles),
        Self::EndsCall(CallLimit::Requests),
        Self::EndsCall(CallLimit::ConcurrentRequests),
        Self::EndsCall(CallLimit::LogLines),
        Self::CutsAnswer,
        Self::RefusesValue,
        Self::HoldsBackEvents,
    ];

    /// Its place in [`Limit::ALL`].
    pub(crate) fn index(self) -> usize {
        match self {
            Self::EndsCall(limit) => limit as usize,
            Self::CutsAnswer => 9,
            Self::RefusesValue => 10,
            Self::HoldsBackEvents => 11,
        }
    }

    /// The setting, below `limits`.
    pub fn key(self) -> &'static str {
        match self {
            Self::EndsCall(limit) => limit.key(),
            Self::CutsAnswer => "max_body_in_bytes",
            Self::RefusesValue => "state_in_bytes",
            Self::HoldsBackEvents => "queue_in_bytes",
        }
    }
}

impl CallLimit {
    /// The setting, below `limits`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Memory => "memory_in_bytes",
            Self::Tables => "table_elements",
            Self::Cpu => "cpu_in_milliseconds",
            Self::Wall => "wall_in_seconds",
            Self::HostCall => "host_call_in_bytes",
            Self::Handles => "handles",
            Self::Requests => "requests",
            Self::ConcurrentRequests => "concurrent_requests",
            Self::LogLines => "log_lines",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_a_place_a_key_and_an_amount_of_its_own() {
        let limits = Limits {
            memory_in_bytes: 0,
            table_elements: 1,
            cpu: Duration::from_millis(2),
            wall: Duration::from_secs(3),
            host_call_in_bytes: 4,
            handles: 5,
            requests: 6,
            concurrent_requests: 7,
            log_lines: 8,
            max_body_in_bytes: 9,
            state_in_bytes: 10,
            queue_in_bytes: 11,
        };
        for (place, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!((limit.index(), limits.amount(limit)), (place, place as u64), "{limit:?}");
        }
        let keys: std::collections::BTreeSet<_> = Limit::ALL.map(Limit::key).into();
        assert_eq!(keys.len(), Limit::ALL.len());
    }
}
