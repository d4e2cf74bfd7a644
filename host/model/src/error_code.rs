//! The codes of the errors that the host reports, in one table, so that none is given out twice. The
//! component has codes of its own in the same classes, which `wit/collector.wit` keeps apart by their
//! hundreds. Class and code are what operators look up: neither changes once it is released.

use std::fmt;

/// A class, which is the original's name for errors of its kind, and a number within it. Shown as
/// `SetupError [CODE:0101]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode {
    /// The original's name for errors of this kind.
    pub class: &'static str,
    /// Unique within the class.
    pub number: u16,
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [CODE:{:04}]", self.class, self.number)
    }
}

macro_rules! table {
    ($($(#[doc = $meaning:literal])+ $name:ident = $class:literal, $number:literal;)+) => {
        $($(#[doc = $meaning])+ pub const $name: ErrorCode = ErrorCode { class: $class, number: $number };)+

        /// All of them with their meanings, in the order of the documentation.
        pub const ALL: &[(ErrorCode, &str)] = &[$(($name, concat!($($meaning),+))),+];
    };
}

table! {
    /// There is no configuration file.
    CONFIGURATION_MISSING = "CollectorConfigurationException", 1;
    /// The configuration file can't be read.
    CONFIGURATION_UNREADABLE = "CollectorConfigurationException", 2;
    /// The configuration file is not YAML or JSON.
    CONFIGURATION_SYNTAX = "CollectorConfigurationException", 3;
    /// A key is missing.
    KEY_MISSING = "CollectorConfigurationException", 4;
    /// A key has a value that can't be used.
    KEY_VALUE = "CollectorConfigurationException", 5;
    /// The certificates of an output can't be used.
    OUTPUT_CERTIFICATES = "CollectorConfigurationException", 6;
    /// The place for the state can't be used.
    STATE_PLACE = "CollectorConfigurationException", 7;
    /// The operator's policy does not let a tenant have this.
    POLICY_REFUSED = "CollectorConfigurationException", 8;
    /// `requests_limits` or `requests_per_second` can't be used.
    REQUEST_LIMITS = "InitVariablesError", 2;
    /// The API does not accept the credentials (`--validate`).
    CREDENTIALS_REFUSED = "SetupError", 100;
    /// The token can't be read.
    TOKEN_UNREADABLE = "SetupError", 101;
    /// There is no way to the API: certificates or proxy can't be used.
    NO_WAY_TO_API = "SetupError", 102;
    /// The host ended a set-up that exceeded a limit.
    SETUP_LIMIT_EXCEEDED = "SetupError", 110;
    /// A set-up ended by a fault of the component (a trap).
    SETUP_TRAP = "SetupError", 111;
    /// The persisted state can't be loaded.
    STATE_UNUSABLE = "PrePullError", 203;
    /// The state of the original collector is there, and can't be taken over.
    ORIGINAL_STATE_UNUSABLE = "PrePullError", 204;
    /// The host ended a pre-pull that exceeded a limit.
    PRE_PULL_LIMIT_EXCEEDED = "PrePullError", 210;
    /// A pre-pull ended by a fault of the component (a trap).
    PRE_PULL_TRAP = "PrePullError", 211;
    /// The host ended a pull or backfill that exceeded a limit.
    PULL_LIMIT_EXCEEDED = "PullError", 310;
    /// A pull or backfill ended by a fault of the component (a trap).
    PULL_TRAP = "PullError", 311;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_code_is_given_out_twice() {
        let all: BTreeSet<_> = ALL.iter().map(|(code, _)| (code.class, code.number)).collect();
        assert_eq!(all.len(), ALL.len());
    }

    #[test]
    fn a_code_is_shown_as_operators_know_it() {
        assert_eq!(TOKEN_UNREADABLE.to_string(), "SetupError [CODE:0101]");
    }
}
