//! What a service is known by.

use std::fmt;

use serde::Serialize;

/// What a service is known by: in the log, in the state, in errors.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Identity {
    /// The input's name in the configuration.
    pub input: String,
    /// The input's id.
    pub id: String,
    /// The service's name in the configuration.
    pub service: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};{};{}", self.input, self.id, self.service)
    }
}
