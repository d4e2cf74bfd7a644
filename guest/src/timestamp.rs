//! Points in time as the API and the configuration write them.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};

/// Epoch numbers from here on are milliseconds: read as seconds they would lie beyond the year 5138.
const FIRST_MILLISECONDS: f64 = 1e11;

/// Reads RFC 3339 with or without zone or fraction, `YYYY-MM-DD HH:MM:SS`, a bare date, and epoch seconds or milliseconds.
/// A time without a zone is UTC.
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    // With an offset but with a blank in the middle, or with the offset's colon left out.
    for format in ["%Y-%m-%d %H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S%.f%z"] {
        if let Ok(time) = DateTime::parse_from_str(text, format) {
            return Some(time.to_utc());
        }
    }
    let zoneless = text.strip_suffix(" UTC").or_else(|| text.strip_suffix('Z')).unwrap_or(text);
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(zoneless, format) {
            return Some(time.and_utc());
        }
    }
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(date.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    epoch(text)
}

fn epoch(text: &str) -> Option<DateTime<Utc>> {
    // Only digits and a fraction: `f64` would also read `inf` and `1e9`.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    let milliseconds = if number >= FIRST_MILLISECONDS { number } else { number * 1e3 };
    // Rounded: 1080000000.001 seconds times a thousand are a little less than 1080000000001 milliseconds.
    DateTime::from_timestamp_millis(milliseconds.round() as i64)
}

/// Writes a time as the persisted state and the log show it: RFC 3339 in UTC, with as much of the fraction as there is.
pub fn format(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_documented_form_means_the_same_instant() {
        let forms = [
            "2024-01-01T00:16:39Z",
            "2024-01-01T01:16:39+01:00",
            "2024-01-01T00:16:39",
            "2024-01-01T00:16:39.000",
            "2024-01-01T00:16:39.000000Z",
            "2024-01-01 00:16:39",
            "2024-01-01 00:16:39 UTC",
            "2024-01-01 00:16:39+0000",
            "1704068199",
            "1704068199.0",
            "1704068199000",
        ];
        for form in forms {
            assert_eq!(parse(form).map(format).as_deref(), Some("2024-01-01T00:16:39Z"), "{form}");
        }
        assert_eq!(parse("2024-01-01").map(format).as_deref(), Some("2024-01-01T00:00:00Z"));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "yesterday", "2024-13-01", "2024-01-01T25:00:00Z", "inf", "1e9", "-5", "."] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_fraction_of_epoch_seconds_is_read_exactly(milliseconds in 0i64..4_102_444_800_000) {
            let text = format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
            prop_assert_eq!(parse(&text), DateTime::from_timestamp_millis(milliseconds));
        }

        #[test]
        fn what_is_written_is_read_again(milliseconds in 0i64..4_102_444_800_000) {
            let time = DateTime::from_timestamp_millis(milliseconds).unwrap();
            prop_assert_eq!(parse(&format(time)), Some(time));
        }
    }
}
