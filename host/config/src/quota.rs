//! How much a tenant may have besides what one call may use: how many of what its configuration consists of,
//! how often, and how much its calls may leave behind together.

use std::fmt::Display;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::error::{ConfigError, refused};
use super::schema;

/// The most that a tenant may have. What the operator says nothing of has its default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, transform = schema::ordered::<Self>)]
pub struct Quota {
    /// Services of all inputs together: each has the limits of a call for itself.
    pub services: usize,
    /// Outputs: each service has a queue for each.
    pub outputs: usize,
    /// Connections that the events of a service are spread over, for each output.
    pub concurrent_connections: usize,
    /// From the start of one pull, or one check of the credentials, to the next: at least this.
    #[serde(rename = "shortest_period_in_seconds", deserialize_with = "seconds")]
    #[schemars(with = "u64", extend("default" = 1))]
    pub shortest_period: Duration,
    /// Its lines in the log, whoever writes them. What is beyond is dropped, and a line says how much that
    /// was.
    pub log_in_bytes_a_minute: u64,
    /// Values that its services store, all together, wherever they are kept. Those of `persistence: memory`
    /// are in the memory of the process.
    pub stored_in_bytes: u64,
    /// Everything in its folder: state, for which the values before are kept too, dead letters, and what it
    /// puts there itself. What would be more is not written.
    pub disk_in_bytes: u64,
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

impl Default for Quota {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            services: 16,
            outputs: 4,
            concurrent_connections: 8,
            shortest_period: Duration::from_secs(1),
            // Sixteen services that pull every second write half of it.
            log_in_bytes_a_minute: MIB,
            // A million alerts delivered take nine of them, the state of a busy service two.
            stored_in_bytes: 256 * MIB,
            // The values twice, and four files of dead letters as large as they become.
            disk_in_bytes: 1024 * MIB,
        }
    }
}

impl Quota {
    /// No bound.
    pub fn unlimited() -> Self {
        Self {
            services: usize::MAX,
            outputs: usize::MAX,
            concurrent_connections: usize::MAX,
            shortest_period: Duration::ZERO,
            log_in_bytes_a_minute: u64::MAX,
            stored_in_bytes: u64::MAX,
            disk_in_bytes: u64::MAX,
        }
    }
}

/// Refuses what is more than the quota's `most`.
pub(super) fn at_most<T: PartialOrd + Display>(key: impl Into<String>, asked: T, most: T) -> Result<(), ConfigError> {
    if asked <= most {
        return Ok(());
    }
    let reason = format!("{asked} is more than {most}, the operator's limit");
    Err(refused(key, reason, format!("Ask for at most {most}, or leave it out.")))
}

/// Refuses what is more often than the quota's `shortest` period.
pub(super) fn at_least(key: impl Into<String>, asked: Duration, shortest: Duration) -> Result<(), ConfigError> {
    if asked >= shortest {
        return Ok(());
    }
    let (asked, shortest) = (asked.as_secs(), shortest.as_secs());
    let reason = format!("{asked} seconds are less than {shortest}, the operator's shortest period");
    Err(refused(key, reason, format!("Ask for at least {shortest}, or leave it out.")))
}
