//! Compares what arrived at Devo with what the source has.

use std::collections::HashMap;
use std::fmt;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ALERTS_TABLE;
use crate::alerts::Alert;
use crate::compact::compact;
use crate::receiver::Frame;

/// A running comparison: it takes events as they arrive, so that nobody needs to look at the first ones
/// again.
#[derive(Debug)]
pub struct Check<'a> {
    source: &'a [Alert],
    by_id: HashMap<&'a str, usize>,
    arrived: Vec<u32>,
    missing: usize,
    wrong: Vec<Wrong>,
}

/// One event that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// The body differs from the record.
    Changed {
        /// The record as it should have come, without white space.
        expected: String,
        /// What came.
        arrived: String,
    },
    /// The date in front of it is not `incident_time`.
    Misdated {
        /// The alert's id.
        id: String,
        /// The date as it should have been.
        expected: String,
        /// What came.
        arrived: String,
    },
    /// The source has nothing of the kind.
    Unknown {
        /// The line.
        line: String,
    },
}

/// The result of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Alerts at the source.
    pub expected: usize,
    /// Events that arrived and are what they should be, repeats included.
    pub arrived: usize,
    /// The ids of alerts that did not arrive.
    pub missing: Vec<String>,
    /// The ids of alerts that arrived more than once.
    pub doubled: Vec<String>,
    /// Events that are not what they should be.
    pub wrong: Vec<Wrong>,
}

impl<'a> Check<'a> {
    /// Against these alerts. No two of them may have the same id.
    pub fn new(source: &'a [Alert]) -> Self {
        let by_id: HashMap<_, _> = source.iter().enumerate().map(|(index, alert)| (alert.id.as_str(), index)).collect();
        assert_eq!(by_id.len(), source.len(), "an id is there twice: nothing could be told apart");
        Self { source, by_id, arrived: vec![0; source.len()], missing: source.len(), wrong: Vec::new() }
    }

    /// Takes an event. Those of other tables are left alone: the collector sends its own log to Devo too.
    pub fn take(&mut self, frame: &Frame) {
        let Some(parts) = frame.parts() else {
            return self.wrong.push(Wrong::Unknown { line: lossy(&frame.line) });
        };
        if parts.tag != ALERTS_TABLE {
            return;
        }
        let Some(&index) = id(parts.message).and_then(|id| self.by_id.get(id)) else {
            return self.wrong.push(Wrong::Unknown { line: lossy(&frame.line) });
        };
        let alert = &self.source[index];
        if without_pulling_id(parts.message).is_none_or(|body| compact(&body) != compact(&alert.text)) {
            let expected = lossy(&compact(&alert.text));
            return self.wrong.push(Wrong::Changed { expected, arrived: lossy(parts.message) });
        }
        let expected = date(alert.incident_time);
        if parts.priority != "14" || parts.date != expected {
            let arrived = format!("<{}>{}", parts.priority, parts.date);
            return self.wrong.push(Wrong::Misdated {
                id: alert.id.clone(),
                expected: format!("<14>{expected}"),
                arrived,
            });
        }
        self.missing -= usize::from(self.arrived[index] == 0);
        self.arrived[index] += 1;
    }

    /// How many alerts have not arrived so far.
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// The result so far.
    pub fn report(&self) -> Report {
        let ids = |wanted: fn(u32) -> bool| {
            let chosen = self.source.iter().zip(&self.arrived).filter(|(_, times)| wanted(**times));
            chosen.map(|(alert, _)| alert.id.clone()).collect()
        };
        Report {
            expected: self.source.len(),
            arrived: self.arrived.iter().map(|&times| times as usize).sum(),
            missing: ids(|times| times == 0),
            doubled: ids(|times| times > 1),
            wrong: self.wrong.clone(),
        }
    }
}

/// Compares all at once.
pub fn compare(source: &[Alert], arrived: &[Frame]) -> Report {
    let mut check = Check::new(source);
    arrived.iter().for_each(|frame| check.take(frame));
    check.report()
}

impl Report {
    /// Alerts that did not arrive as they were.
    pub fn lost(&self) -> usize {
        self.missing.len() + self.wrong.len()
    }

    /// Events that had arrived before.
    pub fn repeated(&self) -> usize {
        self.arrived - (self.expected - self.missing.len())
    }

    /// Every alert arrived once, as it was.
    pub fn exactly_once(&self) -> Result<()> {
        if !self.doubled.is_empty() {
            bail!("{self}");
        }
        self.at_least_once()
    }

    /// Every alert arrived as it was; some may have come again.
    pub fn at_least_once(&self) -> Result<()> {
        if !self.missing.is_empty() || !self.wrong.is_empty() {
            bail!("{self}");
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, arrived, missing, doubled, wrong } = self;
        write!(
            formatter,
            "of {expected} alerts {} are missing and {} came more than once; {} events are wrong and {arrived} right",
            missing.len(),
            doubled.len(),
            wrong.len(),
        )?;
        // The first ones tell what is wrong; a thousand of them would hide it.
        missing.iter().take(3).try_for_each(|id| write!(formatter, "\n  missing: {id}"))?;
        doubled.iter().take(3).try_for_each(|id| write!(formatter, "\n  more than once: {id}"))?;
        wrong.iter().take(3).try_for_each(|wrong| write!(formatter, "\n  {wrong:#?}"))
    }
}

/// The event date that belongs to a time: UTC, cut to milliseconds.
pub fn date(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// The text of the member `id` of the object itself, not of one inside it.
pub(crate) fn id(message: &[u8]) -> Option<&str> {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
    }
    serde_json::from_slice::<Head<'_>>(message).ok().map(|head| head.id.get())
}

/// The event without `@devo_pulling_id`, which must be the last member and a string of epoch milliseconds.
fn without_pulling_id(message: &[u8]) -> Option<Vec<u8>> {
    let rest = message.strip_suffix(b"\"}")?;
    let digits = rest.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    // 13 digits: milliseconds of the years 2001 to 2286, so neither seconds nor microseconds.
    let rest = rest[..rest.len() - digits].strip_suffix(br#","@devo_pulling_id":""#).filter(|_| digits == 13)?;
    Some([rest, b"}"].concat())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::alerts::Batch;

    fn source() -> Vec<Alert> {
        let newest = DateTime::UNIX_EPOCH + TimeDelta::milliseconds(1_700_000_000_123);
        Batch { count: 400, first: 0, seed: 3, newest, spread: TimeDelta::days(3) }.make()
    }

    fn line(date: &str, body: &str) -> Frame {
        Frame { connection: 0, line: format!("<14>{date} host {ALERTS_TABLE}: {body}").into() }
    }

    fn body(alert: &Alert) -> String {
        let text = String::from_utf8(compact(&alert.text)).unwrap();
        format!(r#"{},"@devo_pulling_id":"1700000000000"}}"#, text.strip_suffix('}').unwrap())
    }

    fn delivered(alerts: &[Alert]) -> Vec<Frame> {
        alerts.iter().map(|alert| line(&date(alert.incident_time), &body(alert))).collect()
    }

    #[test]
    fn a_faithful_delivery_passes_in_any_order() {
        let source = source();
        let mut frames = delivered(&source);
        frames.reverse();
        frames.push(Frame { connection: 1, line: "<14>Jan  1 00:00:00 h devo.collectors.out.local.info: {}".into() });
        let report = compare(&source, &frames);
        report.exactly_once().unwrap();
        assert_eq!((report.expected, report.arrived), (400, 400));
    }

    #[test]
    fn one_missing_alert_is_noticed() {
        let source = source();
        let mut frames = delivered(&source);
        frames.remove(17);
        let report = compare(&source, &frames);
        assert_eq!(report.missing, [source[17].id.clone()]);
        assert!(report.at_least_once().is_err());
        assert!(compare(&source, &[]).at_least_once().is_err());
    }

    #[test]
    fn one_doubled_alert_is_noticed() {
        let source = source();
        let mut frames = delivered(&source);
        frames.push(frames[5].clone());
        let report = compare(&source, &frames);
        assert_eq!(report.doubled, [source[5].id.clone()]);
        assert!(report.exactly_once().is_err());
        report.at_least_once().unwrap();
    }

    #[test]
    fn every_change_of_a_record_is_noticed() {
        let source = source();
        let alert = &source[17 * 23];
        let good = body(alert);
        compare(&source[17 * 23..17 * 23 + 1], &[line(&date(alert.incident_time), &good)]).exactly_once().unwrap();
        for (what, changed) in [
            ("a float that became an integer", good.replacen(".0,", ",", 1)),
            ("an escape that was resolved", good.replacen("\\u00e9", "é", 1)),
            ("a repeated key that was dropped", good.replacen(r#""tags":["first"],"#, "", 1)),
            ("a slash without its backslash", good.replacen("\\/", "/", 1)),
            ("a rounded integer", good.replacen("9007", "9008", 1)),
            ("white space lost inside a string", good.replacen("The ", "The", 1).replacen("データ", "デー", 1)),
            ("the pulling id not last", good.replacen('{', r#"{"@devo_pulling_id":"1700000000000","#, 1)),
            ("no pulling id", good.replacen(r#","@devo_pulling_id":"1700000000000""#, "", 1)),
            ("a pulling id that is a number", good.replacen(r#""1700000000000""#, "1700000000000", 1)),
            ("a pulling id in seconds", good.replacen("1700000000000", "1700000000", 1)),
        ] {
            assert_ne!(changed, good, "{what}: the alert of this test has no such thing");
            let report = compare(&source, &[line(&date(alert.incident_time), &changed)]);
            assert!(matches!(report.wrong[..], [Wrong::Changed { .. }]), "{what}: {report}");
            assert_eq!(report.arrived, 0);
        }
    }

    #[test]
    fn a_wrong_date_is_noticed() {
        let source = source();
        for wrong in
            [source[3].incident_time + TimeDelta::milliseconds(1), source[3].incident_time + TimeDelta::hours(1)]
        {
            let report = compare(&source, &[line(&date(wrong), &body(&source[3]))]);
            assert!(matches!(report.wrong[..], [Wrong::Misdated { .. }]), "{report}");
        }
    }

    #[test]
    fn what_the_source_never_had_is_noticed() {
        let source = source();
        for strange in
            [line("2023-06-02 10:11:12.123", r#"{"id":"no such id"}"#), Frame { connection: 0, line: "{".into() }]
        {
            let report = compare(&source, &[strange]);
            assert!(matches!(report.wrong[..], [Wrong::Unknown { .. }]), "{report}");
        }
    }

    #[test]
    fn dates_are_utc_and_cut_to_milliseconds() {
        let time = DateTime::parse_from_rfc3339("2024-01-01T05:46:39.999999+05:30").unwrap();
        assert_eq!(date(time.into()), "2024-01-01 00:16:39.999");
    }
}
