//! How much a configuration may ask for besides what one call may use: how many of what it consists of, and
//! how often.

use std::fmt::Display;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::error::{ConfigError, refused};
use super::schema;

/// The most that a tenant's configuration may ask for. What the operator says nothing of has its default.
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
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

impl Default for Quota {
    fn default() -> Self {
        Self { services: 16, outputs: 4, concurrent_connections: 8, shortest_period: Duration::from_secs(1) }
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
