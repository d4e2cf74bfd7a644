//! What the collector says about a pull cycle, in the words of the specification.

use std::str::FromStr;

use anyhow::{Context, Error, Result};

/// The figures of one finished pull cycle.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// Epoch milliseconds at which the pull started.
    pub pulling_id: String,
    /// Number of requests made.
    pub requests: u64,
    /// Number of events received.
    pub received: u64,
    /// Number of duplicated events filtered out.
    pub duplicates: u64,
    /// Number of events generated and sent.
    pub sent: u64,
    /// Average of events per second.
    pub per_second: f64,
}

impl Statistics {
    /// What the line of a finished cycle contains, and that of an unfinished one does not.
    pub const LINE: &str = "-> Statistics for this pull cycle (@devo_pulling_id=";
}

impl FromStr for Statistics {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        let text = line.split_once("@devo_pulling_id=").with_context(|| format!("no statistics: {line}"))?.1;
        let field = |name: &str| -> Result<&str> {
            let value = text.split_once(name).with_context(|| format!("no {name:?} in {line}"))?.1;
            Ok(value.split(';').next().unwrap_or(value).trim().trim_end_matches('.'))
        };
        Ok(Self {
            pulling_id: text.split(')').next().unwrap_or_default().to_owned(),
            requests: field("Number of requests made: ")?.parse()?,
            received: field("Number of events received: ")?.parse()?,
            duplicates: field("Number of duplicated events filtered out: ")?.parse()?,
            sent: field("Number of events generated and sent: ")?.parse()?,
            per_second: field("Average of events per second: ")?.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Statistics;

    #[test]
    fn the_line_of_the_specification_is_understood() {
        let line = "2024-02-16T11:55:03.475    INFO InputProcess::CloudSekPuller(cloudsek,cloudsek_1,alerts,predefined) -> \
                    Statistics for this pull cycle (@devo_pulling_id=1234):Number of requests made: 1; Number of events \
                    received: 20; Number of duplicated events filtered out: 3; Number of events generated and sent: 17; Average \
                    of events per second: 0.250.";
        let expected = Statistics {
            pulling_id: "1234".into(),
            requests: 1,
            received: 20,
            duplicates: 3,
            sent: 17,
            per_second: 0.25,
        };
        assert!(line.contains(Statistics::LINE));
        assert_eq!(line.parse::<Statistics>().unwrap(), expected);
        assert!(!line.replace("Statistics for", "(Partial) Statistics for").contains(Statistics::LINE));
        assert!("something else".parse::<Statistics>().is_err());
    }
}
