//! The codes of the errors that operators look up, in one table, so that none is given out twice: the host's
//! own, and those of the bundled component, which has classes in common with it (`wit/collector.wit` keeps
//! them apart by their hundreds). Class and code don't change once they are released.
//!
//! The tables of `docs/configuration.md` are made from it: the comment is the cause, the text behind the
//! number what happens then. The component does not know this table; `tests/reference` holds its sources
//! against it.

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

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Documented {
    /// Its name here.
    pub name: &'static str,
    /// What operators look up.
    pub code: ErrorCode,
    /// Why it happens, in Markdown.
    pub cause: &'static str,
    /// What happens then, in Markdown.
    pub consequence: &'static str,
}

/// The class of a configuration that can't be used.
pub const CONFIGURATION: &str = "CollectorConfigurationException";

macro_rules! table {
    ($($(#[doc = $cause:literal])+ $name:ident = $class:expr, $number:literal, $consequence:expr;)+) => {
        $($(#[doc = $cause])+ pub const $name: ErrorCode = ErrorCode { class: $class, number: $number };)+

        /// All of them, in the order of the documentation.
        pub const ALL: &[Documented] = &[$(Documented {
            name: stringify!($name),
            code: $name,
            cause: concat!($($cause),+),
            consequence: $consequence,
        }),+];
    };
}

/// What a service does after most failures.
const RETRIED: &str = "retried after 5, 25, then 120 seconds; nothing is committed";
const ENDS: &str = "the service ends";
const ENDS_EMPTY: &str = "the service ends; nothing is sent";
const STATUS: &str = "the collector ends with status 1";

table! {
    /// There is no configuration file.
    CONFIGURATION_MISSING = CONFIGURATION, 1, STATUS;
    /// The configuration file can't be read.
    CONFIGURATION_UNREADABLE = CONFIGURATION, 2, STATUS;
    /// The configuration file is not YAML or JSON.
    CONFIGURATION_SYNTAX = CONFIGURATION, 3, STATUS;
    /// A key is missing.
    KEY_MISSING = CONFIGURATION, 4, STATUS;
    /// A key has an invalid value. For `component`: the file is missing, is not a component, or doesn't fit
    /// the world.
    KEY_VALUE = CONFIGURATION, 5, STATUS;
    /// A certificate or key of an output can't be used: missing, not PEM, encrypted, or the two don't belong
    /// together.
    OUTPUT_CERTIFICATES = CONFIGURATION, 6, STATUS;
    /// The state folder can't be used, or another process uses it; or redis can't be used.
    STATE_PLACE = CONFIGURATION, 7, STATUS;
    /// The operator of the host does not allow it: [hosting.md](hosting.md#what-a-tenant-cant-do).
    POLICY_REFUSED = CONFIGURATION, 8, STATUS;

    /// `initial_start_time_in_utc` can't be read.
    START_TIME_UNREADABLE = "InitVariablesError", 1, ENDS;
    /// `initial_start_time_in_utc` is not in the past; or `requests_limits` or `requests_per_second` can't be
    /// used.
    REQUEST_LIMITS = "InitVariablesError", 2, "the service ends; with wrong limits, the collector with status 1";
    /// Another setting of the component is wrong.
    SETTING_WRONG = "InitVariablesError", 3, ENDS;
    /// The settings can't be read (on platforms that keep them elsewhere).
    SETTINGS_UNREADABLE = "InitVariablesError", 4, ENDS;
    /// A rule of `obfuscation_data` is wrong.
    MASK_WRONG = "InitVariablesError", 5, ENDS;

    /// `--validate`: the API does not accept the credentials.
    CREDENTIALS_REFUSED = "SetupError", 100, STATUS;
    /// The file with the token can't be read.
    TOKEN_UNREADABLE = "SetupError", 101, "retried";
    /// `ca_file` or the proxy can't be used.
    NO_WAY_TO_API = "SetupError", 102, "the service does not start";
    /// The call exceeded a limit.
    SETUP_LIMIT_EXCEEDED = "SetupError", 110, "retried as after 310";
    /// The component failed by a defect of its own (a trap).
    SETUP_TRAP = "SetupError", 111, "retried as after 310";

    /// The state can't be read.
    STATE_UNREADABLE = "PrePullError", 200, ENDS_EMPTY;
    /// The state is of a newer version of the collector.
    STATE_TOO_NEW = "PrePullError", 201, ENDS_EMPTY;
    /// The state can't be written down: a defect of the component.
    STATE_UNWRITABLE = "PrePullError", 202, ENDS;
    /// The state can't be loaded: damaged, or no permission.
    STATE_UNUSABLE = "PrePullError", 203, "the service ends; nothing is sent; where redis or the file system can't be \
        reached, retried after 5, 25, then 120 seconds";
    /// The state of the original collector is there, and can't be taken over.
    ORIGINAL_STATE_UNUSABLE = "PrePullError", 204, ENDS_EMPTY;
    /// The call that reads the state exceeded a limit.
    PRE_PULL_LIMIT_EXCEEDED = "PrePullError", 210, "retried as after 310";
    /// The component failed by a defect of its own (a trap).
    PRE_PULL_TRAP = "PrePullError", 211, "retried as after 310";

    /// The output did not acknowledge.
    NOT_ACKNOWLEDGED = "PullError", 300, RETRIED;
    /// The state can't be stored.
    STATE_NOT_STORED = "PullError", 301, "the same";
    /// The state can't be loaded any more.
    STATE_NOT_LOADED = "PullError", 302, "the same";
    /// Dead letters can't be stored.
    DEAD_LETTERS_NOT_STORED = "PullError", 303, "the same";
    /// The call exceeded a limit.
    PULL_LIMIT_EXCEEDED = "PullError", 310, "the same; after three in a row 600 seconds";
    /// The component failed by a defect of its own (a trap).
    PULL_TRAP = "PullError", 311, "the same; after three in a row 600 seconds";

    /// The API does not accept the request: lower `request.limit`, or correct the names of the parameters.
    API_BAD_REQUEST = "ApiError", 400, "the same as 300";
    /// The token is refused.
    API_UNAUTHORIZED = "ApiError", 401, "the same";
    /// The token is refused or may not read alerts, the API does not allow this machine's address, or a
    /// firewall in front refuses the request.
    API_FORBIDDEN = "ApiError", 403, "the same";
    /// `base_url` or `request.path` is wrong.
    API_NOT_FOUND = "ApiError", 404, "the same";
    /// As 400.
    API_UNPROCESSABLE = "ApiError", 422, "the same";
    /// The answer can't be parsed: `Failed to parse alerts page object from response: ...`
    API_UNPARSABLE = "ApiError", 495, "the same";
    /// Time-out.
    API_TIMED_OUT = "ApiError", 496, "four attempts with growing waits, then the same";
    /// No usable connection: a certificate whose issuer is not trusted, a proxy that requires a user and a
    /// password (put them into `proxy_url`), an unexpected `Content-Encoding`, an answer that is too large, a
    /// redirect.
    API_NO_CONNECTION = "ApiError", 497, "the same";
    /// The API stays busy (408, 425, 429, 5xx); after 429 lower `requests_limits`.
    API_BUSY = "ApiError", 498, "the same as 496, `Retry-After` honoured if it is longer than the wait; one of more \
        than a minute ends the attempts";
    /// The answer was complete, closing it failed (on platforms that report it; this host reads an answer to
    /// its end).
    API_NOT_CLOSED = "ApiError", 499, "a warning";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_code_is_given_out_twice() {
        let all: BTreeSet<_> = ALL.iter().map(|row| (row.code.class, row.code.number)).collect();
        assert_eq!(all.len(), ALL.len());
    }

    #[test]
    fn a_code_is_shown_as_operators_know_it() {
        assert_eq!(TOKEN_UNREADABLE.to_string(), "SetupError [CODE:0101]");
    }
}
