//! What can be wrong with a configuration: each case with its code, the key it is about, and a cure.

use std::path::PathBuf;

use thiserror::Error;

use crate::rate::LimitError;

/// A configuration that can't be used. The collector does not start with it.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// What the original calls an error in configuration.
    #[error("CollectorConfigurationException [CODE:{:04}] Error in configuration, cause: \"{cause}\" {cure}", cause.code())]
    Collector {
        /// What is wrong.
        cause: Cause,
        /// What the operator can do about it, in one sentence.
        cure: String,
    },
    /// The original's own error for `requests_limits`.
    #[error(transparent)]
    Limits(#[from] LimitError),
}

/// What is wrong with a configuration.
#[derive(Debug, Error)]
pub enum Cause {
    /// Code 1: there is no such file; where it was looked for.
    #[error("there is no configuration file: {} do not exist", .0.join(" and "))]
    Missing(Vec<String>),
    /// Code 2: the file can't be read.
    #[error("the configuration file {} can't be read: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    /// Code 3: the file is not YAML or JSON.
    #[error("the configuration file {} is not valid: {reason}", path.display())]
    Syntax { path: PathBuf, reason: String },
    /// Code 4: a key is missing.
    #[error("the key {0} is missing")]
    KeyMissing(String),
    /// Code 5: a key has a value that can't be used.
    #[error("the key {key} has a value that can't be used: {reason}")]
    Value { key: String, reason: String },
    /// Code 6: a certificate or key can't be used.
    #[error("the certificates of the output {output} can't be used: {reason}")]
    Certificates { output: String, reason: String },
    /// Code 7: the place for the state can't be used.
    #[error("the state can't be kept: {0}")]
    State(String),
    /// Code 8: the operator does not let a tenant have this.
    #[error("the key {key} is refused by the policy of this host's operator: {reason}")]
    Refused { key: String, reason: String },
}

impl ConfigError {
    /// The original's name for errors of this kind.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Collector { .. } => "CollectorConfigurationException",
            Self::Limits(_) => "InitVariablesError",
        }
    }

    /// The number of the error within its class.
    pub fn code(&self) -> u16 {
        match self {
            Self::Collector { cause, .. } => cause.code(),
            Self::Limits(_) => LimitError::CODE,
        }
    }
}

impl Cause {
    fn code(&self) -> u16 {
        match self {
            Self::Missing(_) => 1,
            Self::Unreadable { .. } => 2,
            Self::Syntax { .. } => 3,
            Self::KeyMissing(_) => 4,
            Self::Value { .. } => 5,
            Self::Certificates { .. } => 6,
            Self::State(_) => 7,
            Self::Refused { .. } => 8,
        }
    }

    /// This cause with what to do about it.
    pub fn cure(self, cure: impl Into<String>) -> ConfigError {
        ConfigError::Collector { cause: self, cure: cure.into() }
    }
}

/// A value that can't be used, under its full key.
pub fn value(key: impl Into<String>, reason: impl Into<String>, cure: impl Into<String>) -> ConfigError {
    Cause::Value { key: key.into(), reason: reason.into() }.cure(cure)
}
