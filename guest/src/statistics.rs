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
    /// Records that can't become events, and are kept as dead letters.
    #[serde(default)]
    pub dead_letters: u64,
}

impl Statistics {
    /// These numbers and `other`'s together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            received: self.received + other.received,
            duplicates: self.duplicates + other.duplicates,
            sent: self.sent + other.sent,
            dead_letters: self.dead_letters + other.dead_letters,
        }
    }

    /// The specification's line, so many milliseconds after the cycle started.
    pub fn line(&self, pulling_id: &str, milliseconds: u64) -> String {
        // In thousandths, rounded. Printing floating-point numbers would make the component five kilobytes
        // larger.
        let rounded = self.sent.saturating_mul(1_000_000).saturating_add(milliseconds / 2);
        let average = rounded.checked_div(milliseconds).unwrap_or(0);
        let (average, thousandths) = (average / 1000, average % 1000);
        format!(
            "Statistics for this pull cycle (@devo_pulling_id={pulling_id}):Number of requests made: {}; Number of events \
             received: {}; Number of duplicated events filtered out: {}; Number of events generated and sent: {}; Average of \
             events per second: {average}.{thousandths:03}.",
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
            Statistics { requests: 1, ..Statistics::default() }.line("1234", 600),
            "Statistics for this pull cycle (@devo_pulling_id=1234):Number of requests made: 1; Number of events received: 0; \
             Number of duplicated events filtered out: 0; Number of events generated and sent: 0; Average of events per \
             second: 0.000."
        );
    }

    #[test]
    fn the_average_is_rounded() {
        for (sent, milliseconds, average) in
            [(2, 3, "666.667"), (1, 30, "33.333"), (7, 1000, "7.000"), (1, 20_000, "0.050"), (5, 0, "0.000")]
        {
            let line = Statistics { sent, ..Statistics::default() }.line("1", milliseconds);
            assert!(line.ends_with(&format!("second: {average}.")), "{line}");
        }
    }
}
