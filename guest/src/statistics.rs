//! What a pull cycle did, in numbers, and the log line that says so.

use serde::{Deserialize, Serialize};

/// The numbers of one pull cycle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Requests made to the API, repeated ones included.
    pub requests: u64,
    /// Records that the API returned.
    pub received: u64,
    /// Records left out because they had been delivered before, or lie before the window.
    pub duplicates: u64,
    /// Events delivered and confirmed.
    pub sent: u64,
}

impl Statistics {
    /// These numbers and `other`'s together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            received: self.received + other.received,
            duplicates: self.duplicates + other.duplicates,
            sent: self.sent + other.sent,
        }
    }

    /// The specification's line, `seconds` after the cycle started.
    pub fn line(&self, pulling_id: &str, seconds: f64) -> String {
        let average = if seconds > 0.0 { self.sent as f64 / seconds } else { 0.0 };
        format!(
            "Statistics for this pull cycle (@devo_pulling_id={pulling_id}):Number of requests made: {}; Number of events \
             received: {}; Number of duplicated events filtered out: {}; Number of events generated and sent: {}; Average of \
             events per second: {average:.3}.",
            self.requests, self.received, self.duplicates, self.sent
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_the_specifications() {
        assert_eq!(
            Statistics { requests: 1, ..Statistics::default() }.line("1234", 0.6),
            "Statistics for this pull cycle (@devo_pulling_id=1234):Number of requests made: 1; Number of events received: 0; \
             Number of duplicated events filtered out: 0; Number of events generated and sent: 0; Average of events per \
             second: 0.000."
        );
    }
}
