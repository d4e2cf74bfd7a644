//! Points in time as the API and the configuration write them.

use std::ops::{Range, RangeInclusive};

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, SecondsFormat, Timelike, Utc};

use crate::json;

/// Epoch numbers are told apart by their size: from here on they are milliseconds, which read as seconds
/// would lie beyond the year 5138. A thousand times that are microseconds, and so on.
const FIRST_MILLISECONDS: i64 = 100_000_000_000;

const NANOSECONDS: i128 = 1_000_000_000;

/// The years that can be written with four digits. No other is read: Devo refuses an event of the year 10000.
const YEARS: RangeInclusive<i32> = 1..=9999;

/// Reads the time that a JSON value says: a string or a number.
pub fn parse_value(value: &[u8]) -> Option<DateTime<Utc>> {
    let inside = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    inside.and_then(plain).or_else(|| parse(&json::scalar_text(value)))
}

/// Reads `YYYY-MM-DDTHH:MM:SS` in UTC, with at most nine digits of a fraction. It is what nearly all alerts
/// have, and takes a tenth of what it takes to try all forms; `None` is for these to decide.
fn plain(text: &[u8]) -> Option<DateTime<Utc>> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    if [head[4], head[7], head[10], head[13], head[16]] != *b"--T::" {
        return None;
    }
    let digits = |text: &[u8]| {
        text.iter().try_fold(0u32, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
    };
    let nanoseconds = match rest {
        b"Z" => 0,
        [b'.', fraction @ .., b'Z'] if (1..=9).contains(&fraction.len()) => {
            digits(fraction)? * 10u32.pow(9 - fraction.len() as u32)
        }
        _ => return None,
    };
    let year = digits(&head[..4])? as i32;
    if !YEARS.contains(&year) {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(year, digits(&head[5..7])?, digits(&head[8..10])?)?;
    let time =
        date.and_hms_nano_opt(digits(&head[11..13])?, digits(&head[14..16])?, digits(&head[17..])?, nanoseconds)?;
    Some(time.and_utc())
}

/// Reads RFC 3339 with or without zone or fraction, `YYYY-MM-DD HH:MM:SS`, a bare date, and epoch seconds,
/// milliseconds, microseconds or nanoseconds. A time without a zone is UTC. A year that doesn't have four
/// digits is none, nor is the year 0.
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    // What may be missing: nothing, the zone, the seconds too, all of the time of day.
    let mut completed = ["", "Z", ":00Z", "T00:00:00Z"].iter().map(|rest| format!("{text}{rest}"));
    let read = |text: String| text.parse::<DateTime<FixedOffset>>().ok();
    let time = completed.find_map(read).map(|time| time.to_utc()).or_else(|| epoch(text));
    time.filter(|time| YEARS.contains(&time.year()))
}

fn epoch(text: &str) -> Option<DateTime<Utc>> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || whole.len() + fraction.len() == 0 {
        return None;
    }
    let places: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let places: i128 = places.parse().ok()?;
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let parts_of_a_second = match whole / FIRST_MILLISECONDS {
        0 => 1,
        1..1_000 => 1_000,
        1_000..1_000_000 => 1_000_000,
        _ => 1_000_000_000,
    };
    // What is smaller than a nanosecond is left out.
    let nanoseconds = (i128::from(whole) * NANOSECONDS + places) / parts_of_a_second;
    let (seconds, rest) = (nanoseconds / NANOSECONDS, nanoseconds % NANOSECONDS);
    DateTime::from_timestamp(seconds.try_into().ok()?, rest.try_into().ok()?)
}

/// Writes a time as the persisted state and the log show it: RFC 3339 in UTC, with as much of the fraction as
/// there is.
pub fn format(time: DateTime<Utc>) -> String {
    let mut text = Vec::new();
    append(time, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// As [`format`], at the end of `text`.
pub fn append(time: DateTime<Utc>, text: &mut Vec<u8>) {
    // Asked of the time with its zone, each field would be computed with the zone anew.
    let time = time.naive_utc();
    let (year @ 0..=9999, nanoseconds @ 0..=999_999_999) = (time.year(), time.nanosecond()) else {
        // Leap seconds, and years beyond four digits, which none has that was read here.
        text.extend_from_slice(time.and_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true).as_bytes());
        return;
    };
    let mut digits = *b"0000-00-00T00:00:00.000000000";
    let mut put = |place: Range<usize>, mut number: u32| {
        for digit in digits[place].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    put(0..4, year.unsigned_abs());
    put(5..7, time.month());
    put(8..10, time.day());
    put(11..13, time.hour());
    put(14..16, time.minute());
    put(17..19, time.second());
    if nanoseconds > 0 {
        put(20..29, nanoseconds);
    }
    let length = match nanoseconds {
        0 => 19,
        _ if nanoseconds % 1_000_000 == 0 => 23,
        _ if nanoseconds % 1_000 == 0 => 26,
        _ => 29,
    };
    text.extend_from_slice(&digits[..length]);
    text.push(b'Z');
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
            "1704068199000.0",
            "1704068199000000",
            "1704068199000000000",
            "1704068199000000000.9",
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

    #[test]
    fn a_year_that_does_not_have_four_digits_is_refused() {
        for text in [
            "+10000-01-01T00:00:00Z",
            "+12345-01-01T00:00:00Z",
            "9999-12-31T23:59:59-01:00",
            "0001-01-01T00:00:00+01:00",
            "0000-01-01T00:00:00Z",
            "0000-12-31",
            "-0001-01-01T00:00:00Z",
            "99999999999999999999",
        ] {
            assert_eq!(parse(text), None, "{text}");
            assert_eq!(parse_value(format!("\"{text}\"").as_bytes()), None, "{text}");
        }
        for text in ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z"] {
            assert_eq!(parse(text).map(format).as_deref(), Some(text));
        }
    }

    #[test]
    fn the_unit_of_an_epoch_number_is_told_by_its_size() {
        for (text, time) in [
            ("99999999999", "5138-11-16T09:46:39Z"),
            ("100000000000", "1973-03-03T09:46:40Z"),
            ("99999999999999", "5138-11-16T09:46:39.999Z"),
            ("100000000000000", "1973-03-03T09:46:40Z"),
            ("99999999999999999", "5138-11-16T09:46:39.999999Z"),
            ("100000000000000000", "1973-03-03T09:46:40Z"),
            ("9223372036854775807", "2262-04-11T23:47:16.854775807Z"),
            ("1704068199.123456", "2024-01-01T00:16:39.123456Z"),
            ("1704068199123.5", "2024-01-01T00:16:39.123500Z"),
            ("1704068199123456.25", "2024-01-01T00:16:39.123456250Z"),
        ] {
            assert_eq!(parse(text).map(format).as_deref(), Some(time), "{text}");
            assert_eq!(parse_value(format!("\"{text}\"").as_bytes()), parse(text));
            assert_eq!(parse_value(text.as_bytes()), parse(text));
        }
    }

    proptest! {
        #[test]
        fn an_epoch_number_says_the_same_in_every_unit(seconds in 100_000_000i64..9_000_000_000, part in 0i64..1_000) {
            let expected = DateTime::from_timestamp(seconds, part as u32 * 1_000_000);
            let milliseconds = seconds * 1_000 + part;
            prop_assert_eq!(parse(&format!("{seconds}.{part:03}")), expected);
            prop_assert_eq!(parse(&milliseconds.to_string()), expected);
            prop_assert_eq!(parse(&(milliseconds * 1_000).to_string()), expected);
            prop_assert_eq!(parse(&(milliseconds * 1_000_000).to_string()), expected);
        }

        #[test]
        fn what_is_read_has_a_year_of_four_digits(
            text in "[+-]?[0-9]{1,6}-(0[1-9]|1[0-2])-[0-2][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](Z|[+-][0-2][0-9]:[0-5][0-9])|[0-9]{1,20}(\\.[0-9]{0,12})?"
        ) {
            if let Some(time) = parse(&text) {
                prop_assert!((1..=9999).contains(&time.year()));
                prop_assert_eq!(format(time).len().min(20), 20);
                prop_assert!(format(time).len() <= 30 && !format(time).starts_with(['+', '-']));
            }
        }

        #[test]
        fn the_short_way_reads_what_the_long_one_does(
            text in "[0-9]{3,4}-(0[0-9]|1[0-3])-[0-3][0-9][Tt ]([01][0-9]|2[0-5]):[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,10})?Z?"
        ) {
            if let Some(time) = plain(text.as_bytes()) {
                prop_assert_eq!(Some(time), parse(&text));
            }
            prop_assert_eq!(parse_value(format!("\"{text}\"").as_bytes()), parse(&text));
        }

        #[test]
        fn a_fraction_of_epoch_seconds_is_read_exactly(milliseconds in 0i64..4_102_444_800_000) {
            let text = format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
            prop_assert_eq!(parse(&text), DateTime::from_timestamp_millis(milliseconds));
        }

        #[test]
        fn a_time_is_written_as_chrono_does(seconds in -70_000_000_000i64..300_000_000_000, fraction in 0u32..1000, unit in 0u32..4) {
            let nanoseconds = fraction * [0, 1, 1_000, 1_000_000][unit as usize];
            let time = DateTime::from_timestamp(seconds, nanoseconds).unwrap();
            prop_assert_eq!(format(time), time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
        }

        #[test]
        fn what_is_written_is_read_again(milliseconds in 0i64..4_102_444_800_000) {
            let time = DateTime::from_timestamp_millis(milliseconds).unwrap();
            prop_assert_eq!(parse(&format(time)), Some(time));
        }
    }
}
