//! The text of one event on the wire, and nothing else:
//!
//! ```text
//! <14>2023-06-02 10:11:12.123 HOST drp.cloudsek.xvigil.alerts: {"a":1}\n
//! ```
//!
//! 14 is syslog's facility user with severity info, the date is UTC with milliseconds (the form Devo reads
//! the event date from), HOST is this machine's name. It is what Devo's own SDK writes, but for the constant
//! date of the bare SDK.

pub(crate) mod gzip;

use std::io::Write;
use std::sync::Arc;

use chrono::{Datelike, Timelike};
use collector_model::Table;

use crate::event::Event;
pub use gzip::Compression;

/// Bytes of a frame beside host name, table and body: `<14>`, the 23 of the date, two blanks, `: ` and the
/// line's end.
const FIXED: usize = 4 + 23 + 2 + 2 + 1;

/// Writes events as lines in the name of one host. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Framer {
    host: Arc<str>,
}

impl Framer {
    /// A framer that puts `host` into each line. Blanks and control characters become `_`, for the name is
    /// one word of the line; an empty name becomes `localhost`.
    pub fn new(host: &str) -> Self {
        let one_word: String =
            host.chars().map(|c| if c.is_whitespace() || c.is_control() { '_' } else { c }).collect();
        Self { host: if one_word.is_empty() { "localhost".into() } else { one_word.into() } }
    }

    /// A framer in the name of this machine, `localhost` if it has none.
    pub fn of_this_machine() -> Self {
        Self::new(&nix::unistd::gethostname().unwrap_or_default().to_string_lossy())
    }

    /// How many bytes [`Framer::append`] will add for an event of a year with four digits.
    pub fn length(&self, table: &Table, event: &Event<impl AsRef<[u8]>>) -> usize {
        FIXED + self.host.len() + table.as_str().len() + event.body.as_ref().len()
    }

    /// Appends the line of one event. Needs no memory but `out`'s own.
    pub fn append(&self, out: &mut Vec<u8>, table: &Table, event: &Event<impl AsRef<[u8]>>) {
        out.reserve(self.length(table, event));
        out.extend_from_slice(b"<14>");
        let time = event.time;
        match u32::try_from(time.year()) {
            Ok(year @ 0..=9999) => push_digits::<4>(out, year),
            // Devo can't read such a date, but the line keeps its shape. Writing into a Vec doesn't fail.
            _ => drop(write!(out, "{}", time.year())),
        }
        out.push(b'-');
        push_digits::<2>(out, time.month());
        out.push(b'-');
        push_digits::<2>(out, time.day());
        out.push(b' ');
        push_digits::<2>(out, time.hour());
        out.push(b':');
        push_digits::<2>(out, time.minute());
        out.push(b':');
        push_digits::<2>(out, time.second());
        out.push(b'.');
        // Within a leap second chrono counts on from 1,000 to 1,999.
        push_digits::<3>(out, (time.nanosecond() / 1_000_000).min(999));
        out.push(b' ');
        out.extend_from_slice(self.host.as_bytes());
        out.push(b' ');
        out.extend_from_slice(table.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(event.body.as_ref());
        out.push(b'\n');
    }
}

fn push_digits<const WIDTH: usize>(out: &mut Vec<u8>, mut value: u32) {
    let mut digits = [b'0'; WIDTH];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&digits);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chrono::{DateTime, NaiveDateTime, Utc};
    use proptest::prelude::*;

    use super::*;

    fn frame(time: DateTime<Utc>, host: &str, table: &str, body: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let event = Event { time, body: Bytes::copy_from_slice(body.as_bytes()) };
        Framer::new(host).append(&mut out, &table.parse().unwrap(), &event);
        out
    }

    #[test]
    fn a_frame_is_the_line_of_the_specification() {
        let time = DateTime::from_timestamp_millis(1_685_700_672_123).unwrap();
        let line = frame(time, "HOST", "drp.cloudsek.xvigil.alerts", "{\"a\":1}");
        assert_eq!(line, b"<14>2023-06-02 10:11:12.123 HOST drp.cloudsek.xvigil.alerts: {\"a\":1}\n");
    }

    #[test]
    fn a_host_name_is_one_word_of_the_line() {
        assert_eq!(&*Framer::new("my host\n").host, "my_host_");
        assert_eq!(&*Framer::new("").host, "localhost");
        assert!(!Framer::of_this_machine().host.is_empty());
    }

    #[test]
    fn a_leap_second_keeps_three_digits_of_milliseconds() {
        let time = DateTime::from_timestamp(1_483_228_799, 1_500_000_000).unwrap();
        assert!(frame(time, "h", "t", "").starts_with(b"<14>2016-12-31 23:59:59.999 "));
    }

    proptest! {
        #[test]
        fn a_frame_splits_into_the_time_table_and_body_that_made_it(
            milliseconds in -62_167_219_200_000_i64..=253_402_300_799_999,
            host in "[a-z0-9-]{1,20}",
            table in "[a-zA-Z0-9_-]{1,8}(\\.[a-zA-Z0-9_-]{1,8}){0,4}",
            body in "[^\r\n]{0,200}",
        ) {
            let time = DateTime::from_timestamp_millis(milliseconds).unwrap();
            let line = frame(time, &host, &table, &body);
            let event = Event { time, body: Bytes::copy_from_slice(body.as_bytes()) };
            prop_assert_eq!(line.len(), Framer::new(&host).length(&table.parse().unwrap(), &event));

            let line = String::from_utf8(line).unwrap();
            let line = line.strip_prefix("<14>").and_then(|line| line.strip_suffix('\n')).unwrap();
            let (date, rest) = line.split_at(23);
            let mut words = rest.splitn(4, ' ').skip(1);
            let parsed = NaiveDateTime::parse_from_str(date, "%Y-%m-%d %H:%M:%S%.3f").unwrap().and_utc();
            prop_assert_eq!(parsed, time);
            prop_assert_eq!(words.next(), Some(host.as_str()));
            prop_assert_eq!(words.next().and_then(|word| word.strip_suffix(':')), Some(table.as_str()));
            prop_assert_eq!(words.next(), Some(body.as_str()));
        }
    }
}
