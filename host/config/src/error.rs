//! What can be wrong with a configuration: each case with its code, the key it is about, and a remedy.

use std::path::PathBuf;

use collector_egress::rate::LimitError;
use collector_model::{ErrorCode, error_code};
use thiserror::Error;

/// A configuration that can't be used. The collector does not start with it.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// What the original calls an error in configuration.
    #[error("{} Error in configuration, cause: \"{cause}\" {remedy}", cause.code())]
    Collector {
        /// What is wrong.
        cause: Cause,
        /// What the operator can do about it, in one sentence.
        remedy: String,
    },
    /// The original's own error for `requests_limits`.
    #[error("{code} reason: {0}", code = error_code::REQUEST_LIMITS)]
    Limits(#[from] LimitError),
}

/// What is wrong with a configuration.
#[derive(Debug, Error)]
pub enum Cause {
    /// There is no such file; where it was looked for.
    #[error("there is no configuration file: {} do not exist", .0.join(" and "))]
    Missing(Vec<String>),
    /// The file can't be read.
    #[error("the configuration file {} can't be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The file is not YAML or JSON.
    #[error("the configuration file {} is not valid: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// A key is missing.
    #[error("the key {0} is missing")]
    KeyMissing(String),
    /// A key has a value that can't be used.
    #[error("the key {key} has a value that can't be used: {reason}")]
    Value {
        /// The key, from the top.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate or key can't be used.
    #[error("the certificates of the output {output} can't be used: {reason}")]
    Certificates {
        /// The output.
        output: String,
        /// What is wrong with them.
        reason: String,
    },
    /// The place for the state can't be used.
    #[error("the state can't be kept: {0}")]
    State(String),
    /// The operator does not let a tenant have this.
    #[error("the key {key} is refused by the policy of this host's operator: {reason}")]
    Refused {
        /// The key, from the top.
        key: String,
        /// What the operator does not allow.
        reason: String,
    },
}

impl ConfigError {
    /// Its code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Collector { cause, .. } => cause.code(),
            Self::Limits(_) => error_code::REQUEST_LIMITS,
        }
    }
}

impl Cause {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Missing(_) => error_code::CONFIGURATION_MISSING,
            Self::Unreadable { .. } => error_code::CONFIGURATION_UNREADABLE,
            Self::Syntax { .. } => error_code::CONFIGURATION_SYNTAX,
            Self::KeyMissing(_) => error_code::KEY_MISSING,
            Self::Value { .. } => error_code::KEY_VALUE,
            Self::Certificates { .. } => error_code::OUTPUT_CERTIFICATES,
            Self::State(_) => error_code::STATE_PLACE,
            Self::Refused { .. } => error_code::POLICY_REFUSED,
        }
    }

    /// This cause with what to do about it.
    pub fn remedy(self, remedy: impl Into<String>) -> ConfigError {
        ConfigError::Collector { cause: self, remedy: remedy.into() }
    }
}

/// A value that can't be used, under its full key.
pub fn value(key: impl Into<String>, reason: impl Into<String>, remedy: impl Into<String>) -> ConfigError {
    Cause::Value { key: key.into(), reason: reason.into() }.remedy(remedy)
}

/// A configuration that asks for what the operator does not allow.
pub fn refused(key: impl Into<String>, reason: impl Into<String>, remedy: impl Into<String>) -> ConfigError {
    Cause::Refused { key: key.into(), reason: reason.into() }.remedy(remedy)
}
