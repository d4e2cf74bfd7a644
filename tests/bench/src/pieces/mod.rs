//! The hot pieces of the work, one by one, so that a regression is seen where it arises. Each is measured in
//! time, and counted in instructions, which are the same on every run.

mod crossing;

use std::fmt;

use alert_records::key::Key;
use alert_records::page;
use alert_records::record::Places;
use anyhow::{Context, Result, anyhow};
use chrono::{TimeDelta, Utc};
use cloudsek_xvigil::alert::{Alert, Tail};
use cloudsek_xvigil::ledger::Ledger;
use cloudsek_xvigil::settings::Settings;
use cloudsek_xvigil::state::State;
use collector_delivery::Framer;
use collector_model::Table;
use sandbox::alerts::Batch;

/// Events of one repetition.
pub const EVENTS: usize = 100;

/// Keys that are known when new ones are looked up.
const KNOWN: usize = 10_000;

const MASKS: &str = r#"[{"name": ["event_details", "event_summary"]}, {"name": "source_name", "value": "hidden"},
    {"name": ["event_details", "description"], "string_patterns": ["[a-z.]+@[a-z.]+", "[0-9]{3,}"]}]"#;

/// One repetition of a piece.
pub type Repetition = Box<dyn FnMut()>;

/// A piece of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Records, their ids and times are found in an answer.
    Scan,
    /// Records are passed once more and become events.
    Format,
    /// The same under three rules of masking.
    Mask,
    /// Keys are looked up among those that are known, and noted.
    Dedupe,
    /// Known keys are written to the state and read from it.
    State,
    /// Events pass from a component's memory to the host.
    Crossing,
    /// Events become lines on the wire.
    Frame,
}

impl Piece {
    /// All of them, in the order in which an alert meets them.
    pub const ALL: [Self; 7] =
        [Self::Scan, Self::Format, Self::Mask, Self::Dedupe, Self::State, Self::Crossing, Self::Frame];

    /// Makes everything ready for repetitions of it, each for [`EVENTS`] events.
    pub fn prepare(self) -> Result<Repetition> {
        match self {
            Self::Scan => scan(),
            Self::Format => format(""),
            Self::Mask => format(MASKS),
            Self::Dedupe => dedupe(),
            Self::State => state(),
            Self::Crossing => crossing::crossing(&events()).map_err(|error| anyhow!("{error:#}")),
            Self::Frame => frame(),
        }
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scan => "scan",
            Self::Format => "format",
            Self::Mask => "mask",
            Self::Dedupe => "dedupe",
            Self::State => "state",
            Self::Crossing => "crossing",
            Self::Frame => "frame",
        })
    }
}

fn alerts() -> Vec<sandbox::alerts::Alert> {
    Batch { count: EVENTS, first: 0, seed: 1, newest: Utc::now(), spread: TimeDelta::hours(1) }.make()
}

/// What the alerts become, without the members that the collector adds.
fn events() -> Vec<Vec<u8>> {
    alerts().iter().map(|alert| sandbox::compact::compact(&alert.text)).collect()
}

fn settings(masks: &str) -> Result<Settings> {
    let values = [("base_url", "https://api.example.com"), ("obfuscation_data", masks)];
    let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Ok(Settings::read(values, Utc::now())?)
}

fn scan() -> Result<Repetition> {
    let settings = settings("")?;
    let records: Vec<_> = alerts().into_iter().map(|alert| alert.text).collect();
    let body = [&b"{\"data\":["[..], &records.join(&b","[..]), b"]}"].concat();
    Ok(Box::new(move || {
        let places = Places { id: &settings.id, time: &settings.time };
        let found = page::read_records(&body, None, &places).is_ok_and(|page| page.records.len() == EVENTS);
        assert!(found, "all records are found");
    }))
}

fn format(masks: &str) -> Result<Repetition> {
    let settings = settings(masks)?;
    let (alerts, tail, mut out) = (alerts(), Tail::new(&settings, "1700000000000"), Vec::new());
    Ok(Box::new(move || {
        out.clear();
        for alert in &alerts {
            Alert::read(&alert.text, &settings.id, &settings.time).append(&settings, &tail, &mut out);
        }
    }))
}

fn known() -> Ledger {
    let mut ledger = Ledger::default();
    for number in 0..KNOWN {
        ledger.insert(&Key::stored(&format!("{number:024x}")), Some(Utc::now()));
    }
    ledger
}

fn dedupe() -> Result<Repetition> {
    let (mut ledger, mut count) = (known(), 0);
    Ok(Box::new(move || {
        for _ in 0..EVENTS {
            // Every other one is known.
            let id = format!("{:024x}", if count % 2 == 0 { count % KNOWN } else { KNOWN + count });
            let key = Key::stored(&id);
            if !ledger.contains(&key) {
                ledger.insert(&key, Some(Utc::now()));
            }
            count += 1;
        }
    }))
}

fn state() -> Result<Repetition> {
    let mut state = State::new(&settings("")?, b"seed");
    for number in 0..EVENTS {
        state.ledger.insert(&Key::stored(&format!("{number:024x}")), Some(Utc::now()));
    }
    Ok(Box::new(move || {
        let read = state.write().and_then(|text| State::read(&text));
        assert!(read.is_ok_and(|read| read == state), "a state is read as it was written");
    }))
}

fn frame() -> Result<Repetition> {
    let table: Table = sandbox::ALERTS_TABLE.parse().context("the table")?;
    let (framer, events, time, mut out) = (Framer::new("host"), events(), Utc::now(), Vec::new());
    Ok(Box::new(move || {
        out.clear();
        for body in &events {
            framer.append(&mut out, &table, &collector_delivery::Event { time, body });
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_can_be_repeated() {
        for piece in Piece::ALL {
            let mut repetition = piece.prepare().unwrap();
            repetition();
            repetition();
        }
    }
}
