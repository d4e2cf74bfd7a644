//! The settings of one service, read from flat names and values and checked once.

use std::time::Duration;

use alert_records::json::Pointer;
use alert_records::timestamp;
use chrono::{DateTime, Utc};

use crate::failure::Failure;
use crate::obfuscation::Rules;

/// The table that Devo's parsers expect these alerts in.
pub const DEFAULT_TABLE: &str = "drp.cloudsek.xvigil.alerts";

/// How far a pull looks back for alerts that appear late.
const DEFAULT_OVERLAP_IN_SECONDS: u64 = 86_400;

/// The API's clients use pages of this size.
const DEFAULT_LIMIT: u32 = 100;

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the API is.
    pub endpoint: Endpoint,
    /// The credential, only where the platform can't add it to requests by itself: header name and value.
    pub credential: Option<(String, String)>,
    /// Alerts from before this time are not wanted. Not set: all that the API has.
    pub initial_start_time: Option<DateTime<Utc>>,
    /// Changed by the operator to start the persistence anew.
    pub reset_persistence_auth: Option<String>,
    /// How far a pull looks back for alerts that appear late.
    pub overlap: Duration,
    /// The Devo table.
    pub table: String,
    /// Added to every event as `@devo_environment`.
    pub environment: Option<String>,
    /// What is masked in every alert.
    pub obfuscation: Rules,
    /// Whether an alert is delivered again once its content has changed.
    pub deliver_changes: bool,
    /// Where records sit in an answer. Not set: the places that the API is known to use.
    pub records: Option<Pointer>,
    /// Where a record's id sits.
    pub id: Pointer,
    /// Where a record's time sits.
    pub time: Pointer,
}

/// How a page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `true` for https.
    pub secure: bool,
    /// Host, with the port if `base_url` has one.
    pub authority: String,
    /// The path of `base_url` and that of the request, without a query.
    pub path: String,
    /// Name of the query parameter with the page's number, counted from 1.
    pub page_param: String,
    /// Name of the query parameter with the page's size.
    pub limit_param: String,
    /// Records asked for in one page.
    pub limit: u32,
    /// A query parameter that asks for alerts since a time.
    pub time_filter: Option<TimeFilter>,
}

/// A query parameter that asks for alerts since a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeFilter {
    pub param: String,
    pub form: TimeForm,
}

/// How the time filter is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeForm {
    /// Whole days back from now, rounded up.
    Days,
    /// RFC 3339.
    Rfc3339,
    /// Seconds since 1970.
    EpochSeconds,
    /// Milliseconds since 1970.
    EpochMilliseconds,
}

impl Settings {
    /// Reads the settings; `now` is what "in the past" is measured against.
    pub fn read(values: Vec<(String, String)>, now: DateTime<Utc>) -> Result<Self, Failure> {
        // Of a name that stands twice the last value counts.
        let find = |name: &str| values.iter().rev().find(|(known, _)| known == name);
        let get = |name: &str| find(name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty());
        let base_url = get("override_base_url").or_else(|| get("base_url")).ok_or_else(|| {
            Failure::setting(
                3,
                "base_url is not set.",
                "Set base_url on the input to the address of your CloudSEK instance.",
            )
        })?;
        let pointer = |name: &str, default: &str| {
            let text = get(name).unwrap_or(default);
            Pointer::parse(text).ok_or_else(|| wrong(name, text, "a JSON pointer such as /incident_time"))
        };
        Ok(Self {
            endpoint: endpoint(base_url, &get)?,
            credential: get("token").map(|token| {
                let header = get("request.auth_header").unwrap_or("Authorization");
                let prefix = get("request.auth_prefix").unwrap_or("Bearer ");
                (header.to_owned(), format!("{prefix}{token}"))
            }),
            initial_start_time: get("initial_start_time_in_utc")
                .map(|text| initial_start_time(text, now))
                .transpose()?,
            reset_persistence_auth: get("reset_persistence_auth").map(str::to_owned),
            overlap: Duration::from_secs(number(
                "overlap_in_seconds",
                get("overlap_in_seconds"),
                DEFAULT_OVERLAP_IN_SECONDS,
            )?),
            table: get("override_devo_tag").unwrap_or(DEFAULT_TABLE).to_owned(),
            environment: get("environment").map(str::to_owned),
            obfuscation: get("obfuscation_data").map_or(Ok(Rules::default()), |text| {
                Rules::parse(text).map_err(|error| {
                    Failure::setting(
                        5,
                        format!("Invalid {error}."),
                        "Correct the rule, or remove it if nothing is to be masked.",
                    )
                })
            })?,
            deliver_changes: match get("deliver_changes") {
                None | Some("false") => false,
                Some("true") => true,
                Some(text) => return Err(wrong("deliver_changes", text, "true or false")),
            },
            records: get("request.records").map(|_| pointer("request.records", "")).transpose()?,
            id: pointer("request.id", "/id")?,
            time: pointer("request.time", "/incident_time")?,
        })
    }
}

fn endpoint<'a>(base_url: &str, get: &impl Fn(&str) -> Option<&'a str>) -> Result<Endpoint, Failure> {
    let expected = "an address such as https://api.cloudsek.com";
    let (secure, rest) = match base_url.split_once("://") {
        Some(("https", rest)) => (true, rest),
        Some(("http", rest)) => (false, rest),
        _ => return Err(wrong("base_url", base_url, expected)),
    };
    let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.is_empty() || rest.contains(['?', '#', ' ', '@']) {
        return Err(wrong("base_url", base_url, expected));
    }
    let path = get("request.path").unwrap_or("/api/historic/alerts");
    let mut full_path = String::new();
    for part in [prefix, path].map(|part| part.trim_matches('/')).into_iter().filter(|part| !part.is_empty()) {
        full_path.push('/');
        full_path.push_str(part);
    }
    let limit = number("request.limit", get("request.limit"), DEFAULT_LIMIT)?;
    if limit == 0 {
        return Err(wrong("request.limit", "0", "at least 1"));
    }
    let time_filter = get("request.time_filter.param").map(|param| {
        let form = get("request.time_filter.form").unwrap_or("rfc3339");
        let form = match form {
            "days" => TimeForm::Days,
            "rfc3339" => TimeForm::Rfc3339,
            "epoch_seconds" => TimeForm::EpochSeconds,
            "epoch_milliseconds" => TimeForm::EpochMilliseconds,
            _ => {
                return Err(wrong(
                    "request.time_filter.form",
                    form,
                    "days, rfc3339, epoch_seconds or epoch_milliseconds",
                ));
            }
        };
        Ok(TimeFilter { param: param.to_owned(), form })
    });
    Ok(Endpoint {
        secure,
        authority: authority.to_owned(),
        path: full_path,
        page_param: get("request.page_param").unwrap_or("page").to_owned(),
        limit_param: get("request.limit_param").unwrap_or("limit").to_owned(),
        limit,
        time_filter: time_filter.transpose()?,
    })
}

fn initial_start_time(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, Failure> {
    let remedy = "Modify the initial_start_time_in_utc value.";
    let time = timestamp::parse(text).ok_or_else(|| {
        let reason = format!("Invalid initial_start_time_in_utc: {text}.  Must be in parseable datetime format.");
        Failure::setting(1, reason, remedy)
    })?;
    if time >= now {
        return Err(Failure::setting(
            2,
            format!("Invalid initial_start_time_in_utc: {text}. Must be in the past."),
            remedy,
        ));
    }
    Ok(time)
}

fn number<T: std::str::FromStr>(name: &str, text: Option<&str>, default: T) -> Result<T, Failure> {
    text.map_or(Ok(default), |text| text.parse().map_err(|_| wrong(name, text, "a whole number")))
}

fn wrong(name: &str, value: &str, expected: &str) -> Failure {
    Failure::setting(3, format!("Invalid {name}: {value}. Must be {expected}."), &format!("Modify the {name} value."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        timestamp::parse("2024-06-01").unwrap()
    }

    fn read(values: &[(&str, &str)]) -> Result<Settings, Failure> {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::read(values, now())
    }

    #[test]
    fn a_base_url_is_all_that_is_needed() {
        let settings = read(&[("base_url", "https://api.example.com/incidents/")]).unwrap();
        assert_eq!(settings.endpoint.authority, "api.example.com");
        assert_eq!(settings.endpoint.path, "/incidents/api/historic/alerts");
        assert_eq!(settings.table, DEFAULT_TABLE);
        assert_eq!(settings.credential, None);
    }

    #[test]
    fn an_unreadable_start_time_is_error_1_with_the_specifications_text() {
        let failure = read(&[("base_url", "https://a"), ("initial_start_time_in_utc", "soon")]).unwrap_err();
        assert_eq!(
            (failure.code, failure.reason.as_str()),
            (1, "Invalid initial_start_time_in_utc: soon.  Must be in parseable datetime format.")
        );
    }

    #[test]
    fn a_start_time_in_the_future_is_error_2_with_the_specifications_text() {
        let failure = read(&[("base_url", "https://a"), ("initial_start_time_in_utc", "2024-06-02")]).unwrap_err();
        assert_eq!(
            (failure.code, failure.reason.as_str()),
            (2, "Invalid initial_start_time_in_utc: 2024-06-02. Must be in the past.")
        );
    }

    #[test]
    fn a_wrong_setting_is_named() {
        for (name, value) in [
            ("base_url", "api.example.com"),
            ("base_url", "https://user@a"),
            ("overlap_in_seconds", "a day"),
            ("request.id", "id"),
            ("request.limit", "0"),
        ] {
            let failure = read(&[("base_url", "https://a"), (name, value)]).unwrap_err();
            assert!(failure.reason.contains(name) && failure.remedy.contains(name), "{failure}");
        }
    }
}
