//! What lasts between calls: one value, with the original collector's names where it had them. The digests of
//! what was delivered lie beside it: see [`crate::memory`].
//!
//! It is two lines of JSON. The first has everything but the keys of the alerts in the overlap; those follow
//! on the second. There may be fifty thousand of them, read and written at every call that delivers: what
//! does that is made for it, and the general parser never sees them.

use std::fmt;

use alert_records::json::{self, Pass, Pointer, Scanner, SyntaxError};
use alert_records::key::{NUMBER, TEXT};
use alert_records::keys::Keys;
use alert_records::timestamp;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize};

use crate::failure::Failure;
use crate::ledger::Ledger;
use crate::memory::{Head, Memory};
use crate::progress::Progress;
use crate::settings::Settings;
use crate::statistics::Statistics;
use crate::walk::{Walk, Window};

mod earlier;
#[cfg(test)]
pub mod recent;

/// The version that is written.
const VERSION: u64 = 4;

/// What the first line seldom exceeds.
const HEAD_IN_BYTES: usize = 4 * 1024;

/// Everything that a service remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Alerts from before this time are not wanted. `None`: all are.
    pub initial_start_time_in_utc: Option<DateTime<Utc>>,
    /// The newest `incident_time` delivered, but never one in the future: a single wrong date must not hide
    /// what follows. It may be none but not missing: a value that lost it is not the state of a service that
    /// has never pulled.
    #[serde(deserialize_with = "Option::deserialize")]
    pub last_event_time_in_utc: Option<DateTime<Utc>>,
    /// The ids delivered with that time.
    #[serde(deserialize_with = "keys")]
    pub last_ids: Vec<String>,
    #[serde(rename = "@persistence_version")]
    version: u64,
    /// The operator's word that was in force when this persistence began.
    pub reset_persistence_auth: Option<String>,
    /// What was delivered within the overlap.
    pub ledger: Ledger,
    /// The memory of everything delivered.
    pub memory: Head,
    /// The newest time delivered when a pass ended last. The overlap reaches back from there: what live alone
    /// has found moves nothing.
    pub settled: Option<DateTime<Utc>>,
    /// Where live and backfill stand.
    pub walk: Walk,
    /// The cycle that is not finished yet.
    pub cycle: Option<Cycle>,
}

/// From one due time to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cycle {
    /// When it began, in milliseconds since 1970: the events' `@devo_pulling_id`.
    pub pulling_id: i64,
    /// What its calls have done by now.
    pub statistics: Statistics,
}

impl Cycle {
    /// The specification's line of what it has done by now.
    pub fn line(&self, now: DateTime<Utc>) -> String {
        let milliseconds = now.timestamp_millis().saturating_sub(self.pulling_id);
        self.statistics.line(&self.pulling_id.to_string(), u64::try_from(milliseconds).unwrap_or(0))
    }
}

impl State {
    /// The state of a service that has never pulled. `seed`: something that nobody outside can foresee.
    pub fn new(settings: &Settings, seed: &[u8]) -> Self {
        Self {
            initial_start_time_in_utc: settings.initial_start_time,
            last_event_time_in_utc: None,
            last_ids: Vec::new(),
            version: VERSION,
            reset_persistence_auth: settings.reset_persistence_auth.clone(),
            ledger: Ledger::default(),
            memory: Head::new(seed),
            settled: None,
            walk: Walk::default(),
            cycle: None,
        }
    }

    /// Reads a stored state of the version that is written.
    pub fn read(text: &[u8]) -> Result<Self, Failure> {
        #[cfg(test)]
        if let Some(state) = recent::state_of(text) {
            return Ok(state);
        }
        Self::parse(text)
    }

    fn parse(text: &[u8]) -> Result<Self, Failure> {
        let mut values = serde_json::Deserializer::from_slice(text).into_iter::<Self>();
        let head = values.next();
        let rest = text.get(values.byte_offset()..).unwrap_or_default();
        let mut state = head.ok_or_else(|| unreadable(&"it is empty"))?.map_err(|error| unreadable(&error))?;
        if state.version != VERSION {
            return Err(unreadable(&"it is of another version than it seemed to be"));
        }
        state.read_keys(rest).map_err(|error| unreadable(&error))?;
        Ok(state)
    }

    /// What is remembered with it, apart.
    pub fn with_memory(mut self, settings: &Settings) -> (Self, Memory) {
        let ledger = std::mem::take(&mut self.ledger);
        let memory = Memory::new(self.memory.clone(), ledger, settings.deliver_changes);
        (self, memory)
    }

    /// Reads the line behind the first one.
    fn read_keys(&mut self, rest: &[u8]) -> Pass {
        let (keys, rest) = Keys::read(next_line(rest)?)?;
        self.ledger.ids = keys;
        Scanner::new(rest).end()
    }

    /// The text that is stored.
    pub fn write(&self) -> Result<Vec<u8>, Failure> {
        #[cfg(test)]
        if let Some(text) = recent::text_of(self) {
            return Ok(text);
        }
        self.to_text()
    }

    fn to_text(&self) -> Result<Vec<u8>, Failure> {
        let mut text = Vec::with_capacity(HEAD_IN_BYTES);
        serde_json::to_writer(&mut text, self).map_err(|error| {
            Failure::state(202, format!("The state can't be written: {error}."), "Contact support.")
        })?;
        text.push(b'\n');
        self.ledger.ids.append_to(&mut text);
        Ok(text)
    }

    /// From when on alerts are wanted.
    pub fn window(&self, settings: &Settings) -> Window {
        let overlap = minus(self.settled, settings);
        Window { floor: self.memory.since.max(self.initial_start_time_in_utc), overlap }
    }

    /// The time before which the overlap's keys need not be known.
    pub fn overlap_start(&self, settings: &Settings) -> Option<DateTime<Utc>> {
        // In the first history it follows what is delivered, for nothing is settled as long as that lasts.
        let settled = self.settled.filter(|_| self.walk.schedule.passes > 0);
        let newest = settled.or(self.last_event_time_in_utc);
        minus(newest, settings)
    }

    /// Takes note of the newest time delivered.
    pub fn note_delivered(&mut self, newest: Option<DateTime<Utc>>) {
        self.last_event_time_in_utc = self.last_event_time_in_utc.max(newest);
    }

    /// Takes back what is remembered with it.
    pub fn take_back(&mut self, memory: Memory) {
        (self.memory, self.ledger) = (memory.head, memory.ledger);
        self.last_ids = self.last_event_time_in_utc.map(|last| self.ledger.ids_at(last)).unwrap_or_default();
    }

    /// How things stand.
    pub fn progress(&self) -> Progress {
        Progress {
            backfill: self.walk.backfill(),
            gaps: u32::try_from(self.walk.gaps.pages()).unwrap_or(u32::MAX),
            account: self.walk.accounting.told,
            account_time: self.walk.accounting.at,
            newest_event: self.last_event_time_in_utc,
        }
    }

    /// The state as Python prints it, for the operator's log: the original's keys and nothing more.
    pub fn as_python(&self) -> String {
        self.as_python_of(self.version)
    }

    /// The same, as it was stored with this version.
    pub fn as_python_of(&self, version: u64) -> String {
        let time = |time: Option<DateTime<Utc>>| {
            time.map_or("None".to_owned(), |time| format!("'{}'", timestamp::format(time)))
        };
        let id = |key: &String| match key.strip_prefix(NUMBER) {
            Some(number) => number.to_owned(),
            None => format!("'{}'", key.strip_prefix(TEXT).unwrap_or(key).replace('\\', "\\\\").replace('\'', "\\'")),
        };
        let ids: Vec<String> = self.last_ids.iter().map(id).collect();
        format!(
            "{{'initial_start_time_in_utc': {}, 'last_event_time_in_utc': {}, 'last_ids': [{}], '@persistence_version': {}}}",
            time(self.initial_start_time_in_utc),
            time(self.last_event_time_in_utc),
            ids.join(", "),
            version
        )
    }
}

/// What stands behind a line break.
fn next_line(rest: &[u8]) -> Pass<&[u8]> {
    rest.strip_prefix(b"\n").ok_or_else(|| Box::new(SyntaxError { offset: 0, expected: "one more line" }))
}

/// The version of a stored state, which every version of it has.
pub fn version(text: &[u8]) -> Option<u64> {
    let version = json::find(Scanner::document(text).value(0).ok()?, &Pointer::parse("/@persistence_version")?)?;
    json::scalar_text(version).parse().ok()
}

/// A text that is no state.
fn unreadable(error: &dyn fmt::Display) -> Failure {
    Failure::state(
        200,
        format!("The persisted state can't be read: {error}."),
        "Restore it from its previous version, or remove it to start anew.",
    )
}

fn minus(time: Option<DateTime<Utc>>, settings: &Settings) -> Option<DateTime<Utc>> {
    time?.checked_sub_signed(TimeDelta::from_std(settings.overlap).ok()?)
}

/// The original keeps ids as they came, numbers among them.
fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let ids = Vec::<serde_json::Value>::deserialize(deserializer)?;
    Ok(ids
        .into_iter()
        .map(|id| match id {
            serde_json::Value::String(text) => text,
            other => format!("{NUMBER}{other}"),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::walk::pass::Pass as SourcePass;
    use alert_records::key::Key;

    fn settings() -> Settings {
        let values = [("base_url", "https://a"), ("initial_start_time_in_utc", "2024-01-01")];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Settings::read(values, timestamp::parse("2024-06-01").unwrap()).unwrap()
    }

    fn state(delivered: &[String]) -> State {
        let mut state = State::new(&settings(), b"seed");
        for (second, id) in delivered.iter().enumerate() {
            let time = DateTime::from_timestamp(second as i64, 0).filter(|_| second % 3 > 0);
            state.ledger.insert(&Key::stored(id), time);
            state.note_delivered(time);
        }
        state
    }

    /// Everything that a state may have.
    fn fill(state: &mut State, from: u64, words: &str, now: DateTime<Utc>) {
        state.settled = Some(now);
        state.walk.set_source(9, from.is_multiple_of(2));
        state.walk.source.first = Some(from % 2);
        state.walk.gaps.add(from..from + 3, None, words, now);
        state.walk.pass = Some(SourcePass::resumed(from, Some(now), &mut state.walk.source));
        state.walk.schedule.open = true;
        state.cycle = Some(Cycle { pulling_id: 7, statistics: Statistics { sent: from, ..Statistics::default() } });
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again_and_what_was_cut_off_anywhere_is_refused(
            delivered in prop::collection::btree_set(any::<String>(), 0..9),
            filled in prop::option::of((1u64..1_000, any::<String>())),
        ) {
            let mut state = state(&delivered.into_iter().collect::<Vec<_>>());
            if let Some((from, words)) = filled {
                fill(&mut state, from, &words, timestamp::parse("2024-05-01").unwrap());
            }
            let text = state.write().unwrap();
            prop_assert_eq!(State::read(&text).unwrap(), state);
            prop_assert_eq!(text.split(|&byte| byte == b'\n').count(), 2);
            prop_assert!(text.split(|&byte| byte == b'\n').all(|line| json::document(line).is_ok()));
            for end in 0..text.len() {
                let failure = State::open(&text[..end], &settings(), b"other").unwrap_err();
                prop_assert_eq!(failure.code, 200, "cut off at {}", end);
            }
        }

        #[test]
        fn taking_out_the_memory_and_taking_it_back_changes_nothing(
            delivered in prop::collection::btree_set("[a-z]{1,9}", 0..9),
        ) {
            let mut before = state(&delivered.into_iter().collect::<Vec<_>>());
            before.last_ids = before.last_event_time_in_utc.map(|last| before.ledger.ids_at(last)).unwrap_or_default();
            let (mut after, memory) = before.clone().with_memory(&settings());
            after.take_back(memory);
            prop_assert_eq!(after, before);
        }
    }

    #[test]
    fn what_follows_a_state_is_refused() {
        let text = state(&["a".to_owned()]).write().unwrap();
        for more in ["{}", "\n{}", " x"] {
            let text = [&text, more.as_bytes()].concat();
            assert_eq!(State::read(&text).map(|_| ()).map_err(|failure| failure.code), Err(200), "{more:?}");
        }
    }

    #[test]
    fn garbage_and_newer_versions_are_refused_and_not_taken_for_none() {
        let text = String::from_utf8(state(&[]).write().unwrap()).unwrap();
        let version =
            |number: &str| text.replace("\"@persistence_version\":4", &format!("\"@persistence_version\":{number}"));
        for (text, code) in [
            ("", 200),
            ("garbage", 200),
            ("{}", 200),
            ("null", 200),
            ("[4]", 200),
            (r#"{"@persistence_version":4}"#, 200),
            ("{\"@persistence_version\":5}\nand more", 201),
            (&version("5"), 201),
            (&version("0"), 201),
            (&version("-1"), 200),
            (&version("4.5"), 200),
            (&version("\"four\""), 200),
            (&text.replace("\n{}", ""), 200),
            (&text.replace("\n{}", "\n[]"), 200),
            (&text.replace("\n{}", "\n{\"a\":true}"), 200),
        ] {
            let failure = State::open(text.as_bytes(), &settings(), b"seed").unwrap_err();
            assert_eq!(failure.code, code, "{text}");
        }
    }

    #[test]
    fn no_part_of_a_state_may_be_missing() {
        let text = String::from_utf8(state(&[]).write().unwrap()).unwrap();
        let (head, keys) = text.split_once('\n').unwrap();
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(head).unwrap();
        for name in ["last_event_time_in_utc", "last_ids", "ledger", "memory", "walk"] {
            let mut object = object.clone();
            assert!(object.remove(name).is_some(), "{name}");
            let text = format!("{}\n{keys}", serde_json::to_string(&object).unwrap());
            assert_eq!(State::read(text.as_bytes()).unwrap_err().code, 200, "without {name}");
        }
    }

    #[test]
    fn the_overlap_follows_what_is_delivered_until_something_is_settled() {
        let at = |text| timestamp::parse(text);
        let mut state = State::new(&settings(), b"seed");
        assert_eq!(state.overlap_start(&settings()), None);
        state.note_delivered(at("2024-05-10"));
        assert_eq!(state.overlap_start(&settings()), at("2024-05-09"));
        assert_eq!(state.window(&settings()).overlap, None, "in the first history no pass is over the overlap alone");
        state.walk.schedule.passes = 1;
        state.settled = at("2024-05-03");
        assert_eq!(state.overlap_start(&settings()), at("2024-05-02"));
        assert_eq!(state.window(&settings()).overlap, at("2024-05-02"));
        assert_eq!(state.window(&settings()).floor, at("2024-01-01"));
    }
}
