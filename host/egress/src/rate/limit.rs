//! The operator's limits, read from the values of `requests_limits` and `requests_per_second`. Pure.

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

/// What the operator is told where neither the input nor the service has a limit.
pub const GENERIC_NOTICE: &str =
    "<requests_limits> setting has not been defined. The generic settings will be used instead.";

/// The units of a period, in seconds.
const UNITS: [(char, u64); 7] = [
    ('s', 1),
    ('m', 60),
    ('h', 60 * 60),
    ('d', 24 * 60 * 60),
    ('w', 7 * 24 * 60 * 60),
    ('M', 30 * 24 * 60 * 60),
    ('y', 365 * 24 * 60 * 60),
];

/// Less often than this is a slip of the pen: the service would seem dead.
const SLOWEST_PER_SECOND: f64 = 1.0 / (24.0 * 60.0 * 60.0);

/// More calls a second than any collector makes. Without a bound, a period could be too short for the clock.
const FASTEST_PER_SECOND: f64 = 1_000_000.0;

/// At most so many calls in any stretch of time of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The length.
    pub period: Duration,
    /// The calls. `None`, written -1, is no limit.
    pub requests: Option<NonZeroU32>,
}

impl Limit {
    /// Holds where the operator set nothing at all: what the API's documentation allows.
    pub const GENERIC: Self = Self { period: Duration::from_secs(60), requests: NonZeroU32::new(20) };
}

/// A setting that can't be read, in the original's words as far as it had any.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LimitError {
    /// `requests_limits` is not a list.
    #[error(
        "<requests_limits> setting has been defined with wrong type. Expected a list, found {found}. Write a list of entries such as {{period: 1d, number_of_requests: 1000}}."
    )]
    NotAList {
        /// What it is.
        found: String,
    },
    /// An entry of `requests_limits` can't be used.
    #[error("<requests_limits> setting has been defined with a wrong value. Entry {number}: {problem}")]
    Entry {
        /// Which one, counted from 1.
        number: usize,
        /// What is wrong with it.
        problem: EntryProblem,
    },
    /// `requests_per_second` is not a number that can be used.
    #[error(
        "<requests_per_second> setting has been defined with a wrong value. Expected a number above 0, such as 2 or 0.5, from once a day to a million times a second, found {found}. Correct it, or remove it for no such limit."
    )]
    PerSecond {
        /// What it is.
        found: String,
    },
}

/// What is wrong with an entry of `requests_limits`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EntryProblem {
    /// It has no keys.
    #[error("it is {0}. Write it as {{period: 1d, number_of_requests: 1000}}.")]
    NotAMap(String),
    /// A key is missing.
    #[error("the key {0} is missing. Write it as {{period: 1d, number_of_requests: 1000}}.")]
    Missing(&'static str),
    /// The period can't be read.
    #[error(
        "the period is {0}. Write a whole number above 0 and a unit, such as 30s, 1m, 1h, 1d, 1w, 1M (30 days) or 1y (365 days)."
    )]
    Period(String),
    /// The number can't be used.
    #[error("the number_of_requests is {0}. Write a whole number from 1 to 4294967295, or -1 for no limit.")]
    Requests(String),
}

/// The limits that an input or a service has; none where neither setting is given.
///
/// # Errors
/// The first thing that is wrong.
pub fn read(requests_limits: Option<&Value>, requests_per_second: Option<&Value>) -> Result<Vec<Limit>, LimitError> {
    let mut limits = match requests_limits {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(entries)) => entries
            .iter()
            .zip(1..)
            .map(|(value, number)| entry(value).map_err(|problem| LimitError::Entry { number, problem }))
            .collect::<Result<_, _>>()?,
        Some(other) => return Err(LimitError::NotAList { found: shown(other) }),
    };
    if let Some(value) = requests_per_second.filter(|value| !value.is_null()) {
        limits.push(per_second(value).ok_or_else(|| LimitError::PerSecond { found: shown(value) })?);
    }
    Ok(limits)
}

fn entry(value: &Value) -> Result<Limit, EntryProblem> {
    let keys = value.as_object().ok_or_else(|| EntryProblem::NotAMap(shown(value)))?;
    let key = |name| keys.get(name).ok_or(EntryProblem::Missing(name));
    let (given_period, given_requests) = (key("period")?, key("number_of_requests")?);
    Ok(Limit {
        period: given_period.as_str().and_then(period).ok_or_else(|| EntryProblem::Period(shown(given_period)))?,
        requests: match given_requests.as_i64() {
            Some(-1) => None,
            Some(number) => Some(
                u32::try_from(number)
                    .ok()
                    .and_then(NonZeroU32::new)
                    .ok_or_else(|| EntryProblem::Requests(shown(given_requests)))?,
            ),
            None => return Err(EntryProblem::Requests(shown(given_requests))),
        },
    })
}

fn period(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let digits = &text[..text.len() - unit.len_utf8()];
    // `parse` would take a sign too.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u32 = digits.parse().ok().filter(|number| *number > 0)?;
    Some(Duration::from_secs(u64::from(number) * seconds))
}

/// A fraction needs a longer period: 2.5 a second are 3 in 1.2 seconds, 0.5 a second are 1 in 2 seconds.
fn per_second(value: &Value) -> Option<Limit> {
    let rate = value.as_f64().filter(|rate| (SLOWEST_PER_SECOND..=FASTEST_PER_SECOND).contains(rate))?;
    let requests = rate.ceil();
    Some(Limit { period: Duration::from_secs_f64(requests / rate), requests: NonZeroU32::new(requests as u32) })
}

/// A value for an error's text, short and on one line.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
        Value::String(text) if text.chars().count() > 32 => "a long text".to_owned(),
        Value::String(_) => format!("the text {value}"),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn limit(seconds: u64, requests: u32) -> Limit {
        Limit { period: Duration::from_secs(seconds), requests: NonZeroU32::new(requests) }
    }

    fn read_list(value: Value) -> Result<Vec<Limit>, LimitError> {
        read(Some(&value), None)
    }

    #[test]
    fn a_list_as_the_original_takes_it_is_read() {
        let read = read_list(json!([
            {"period": "1d", "number_of_requests": -1},
            {"period": "1h", "number_of_requests": 1000},
        ]));
        let no_limit = Limit { period: Duration::from_secs(86_400), requests: None };
        assert_eq!(read.unwrap(), [no_limit, limit(3_600, 1_000)]);
    }

    #[test]
    fn every_unit_means_what_it_says() {
        for (text, seconds) in [
            ("30s", 30),
            ("2m", 120),
            ("1h", 3_600),
            ("1d", 86_400),
            ("1w", 604_800),
            ("1M", 2_592_000),
            ("1y", 31_536_000),
        ] {
            assert_eq!(period(text), Some(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_not_given_is_no_limit() {
        assert_eq!(read(None, None), Ok(Vec::new()));
        assert_eq!(read(Some(&Value::Null), Some(&Value::Null)), Ok(Vec::new()));
        assert_eq!(read_list(json!([])), Ok(Vec::new()));
    }

    #[test]
    fn a_rate_is_a_limit_beside_the_others() {
        let hourly = json!([{"period": "1h", "number_of_requests": 7}]);
        for (rate, period, requests) in [
            (json!(4), Duration::from_secs(1), 4),
            (json!(2.5), Duration::from_millis(1_200), 3),
            (json!(0.5), Duration::from_secs(2), 1),
        ] {
            let rate = read(Some(&hourly), Some(&rate)).unwrap();
            assert_eq!(rate, [limit(3_600, 7), Limit { period, requests: NonZeroU32::new(requests) }]);
        }
    }

    #[test]
    fn a_wrong_type_is_refused_in_the_originals_words() {
        let error = read_list(json!({"period": "1d"})).unwrap_err().to_string();
        let words = "<requests_limits> setting has been defined with wrong type. ";
        assert!(error.starts_with(words) && error.contains("a map"), "{error}");
    }

    #[test]
    fn a_wrong_entry_is_named_with_what_is_wrong_and_a_remedy() {
        let good = json!({"period": "1d", "number_of_requests": 1});
        for (entry, expected) in [
            (json!("1d"), "Entry 2: it is the text \"1d\". Write it as"),
            (json!({"number_of_requests": 1}), "Entry 2: the key period is missing."),
            (json!({"period": "1d", "requests": 1}), "Entry 2: the key number_of_requests is missing."),
            (json!({"period": "1x", "number_of_requests": 1}), "Entry 2: the period is the text \"1x\". Write"),
            (json!({"period": 60, "number_of_requests": 1}), "Entry 2: the period is 60. Write"),
            (json!({"period": "1d", "number_of_requests": 0}), "Entry 2: the number_of_requests is 0. Write"),
            (json!({"period": "1d", "number_of_requests": -2}), "Entry 2: the number_of_requests is -2. Write"),
            (json!({"period": "1d", "number_of_requests": 1.5}), "Entry 2: the number_of_requests is 1.5. Write"),
        ] {
            let error = read_list(json!([good, entry])).unwrap_err().to_string();
            assert!(error.starts_with("<requests_limits> setting") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_period_that_means_nothing_is_refused() {
        for text in ["", "d", "1", "0d", "-1d", "+1d", "1.5h", "1 d", "1D", "1dd", "1é", "99999999999d"] {
            assert_eq!(period(text), None, "{text}");
        }
    }

    #[test]
    fn a_rate_that_means_nothing_is_refused() {
        for rate in [json!(0), json!(-1), json!("2"), json!(true), json!(1e-300), json!(1e300), json!([])] {
            let error = read(None, Some(&rate)).unwrap_err();
            assert!(error.to_string().contains("<requests_per_second>"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_of_a_period_is_a_panic(text: String) {
            period(&text);
        }

        #[test]
        fn a_rate_is_kept_to_exactly(rate in SLOWEST_PER_SECOND..1_000.0) {
            let limit = per_second(&json!(rate)).unwrap();
            let read = f64::from(limit.requests.unwrap().get()) / limit.period.as_secs_f64();
            prop_assert!((read / rate - 1.0).abs() < 1e-6, "{read} for {rate}");
        }
    }
}
