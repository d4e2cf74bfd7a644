//! What lasts between calls: one value, with the original collector's names where it had them.
//!
//! It is lines of JSON. The first has everything but the keys of delivered alerts; those of the ledger follow on the second, and
//! on two more lines those of a cycle that is not finished. There may be fifty thousand of them, read and written at every
//! call: what does that is made for it, and the general parser never sees them. Up to version 2 all was one object.

use std::fmt;
use std::ops::RangeInclusive;

use alert_records::json::{self, Pass, Pointer, Scanner, SyntaxError};
use alert_records::key::{Key, NUMBER, TEXT};
use alert_records::keys::{Keys, Latest};
use alert_records::timestamp;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize};

use crate::failure::Failure;
use crate::ledger::Ledger;
use crate::settings::Settings;
use crate::statistics::Statistics;
use crate::walk::Walk;

/// The version that is written.
const VERSION: u64 = 3;

/// The original collector's version.
const ORIGINAL: u64 = 1;

/// How often a walk looks at the whole window although the source's total gives no reason to.
const FULL_WALK_EVERY: TimeDelta = TimeDelta::hours(1);

/// Keys of a cycle kept beyond its ledger, for records that move by a few pages during a walk: those of this many pages, but
/// within these bounds. The upper one is two of the largest pages that an API is likely to have.
const LATEST_PAGES: usize = 8;
const LATEST_KEYS: RangeInclusive<usize> = 2_000..=20_000;

/// Everything that a service remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Alerts from before this time are not wanted. `None`: all are.
    pub initial_start_time_in_utc: Option<DateTime<Utc>>,
    /// The newest `incident_time` delivered, but never one in the future: a single wrong date must not hide what follows.
    /// It may be none but not missing: a value that lost it is not the state of a service that has never pulled.
    #[serde(deserialize_with = "Option::deserialize")]
    pub last_event_time_in_utc: Option<DateTime<Utc>>,
    /// The ids delivered with that time.
    #[serde(default, deserialize_with = "keys")]
    pub last_ids: Vec<String>,
    #[serde(rename = "@persistence_version")]
    version: u64,
    /// The operator's word that was in force when this persistence began.
    #[serde(default)]
    pub reset_persistence_auth: Option<String>,
    /// From version 2 on: what was delivered, as far back as pulls look.
    #[serde(default)]
    pub ledger: Ledger,
    /// From version 2 on: what walks have learned about the source.
    #[serde(default)]
    pub source: Source,
    /// From version 2 on: the pull cycle that is not finished yet.
    #[serde(default)]
    pub cycle: Option<Cycle>,
}

/// What walks have learned about the source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The page that the next walk should begin with.
    pub start: Option<u64>,
    /// How many records it had when all of them had been delivered.
    pub total: Option<u64>,
    /// When a walk last looked at the whole window.
    pub full_walk_at: Option<DateTime<Utc>>,
    /// The newest time delivered by then. The window moves with it and not with what walks that stopped early delivered:
    /// what these did not look at stays in the window.
    pub settled: Option<DateTime<Utc>>,
}

/// A pull cycle that takes more than one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cycle {
    /// When it started, in milliseconds since 1970: the events' `@devo_pulling_id`.
    pub pulling_id: i64,
    pub walk: Walk,
    /// The newest time delivered so far.
    pub newest: Option<DateTime<Utc>>,
    /// What this cycle delivered, as far back as later ones look. The state's own ledger stays as it was until the walk is
    /// over: a walk that comes from far ahead needs it at its end.
    pub ledger: Ledger,
    /// What it delivered last of that which its ledger has forgotten, for records that move by a few pages during the walk.
    /// Stored apart, on a line of the state.
    #[serde(skip)]
    pub latest: Latest,
    pub statistics: Statistics,
}

impl State {
    /// The state of a service that has never pulled.
    pub fn new(settings: &Settings) -> Self {
        Self {
            initial_start_time_in_utc: settings.initial_start_time,
            last_event_time_in_utc: None,
            last_ids: Vec::new(),
            version: VERSION,
            reset_persistence_auth: settings.reset_persistence_auth.clone(),
            ledger: Ledger::default(),
            source: Source::default(),
            cycle: None,
        }
    }

    /// Reads a stored state of any version up to the one that is written.
    pub fn read(text: &[u8]) -> Result<Self, Failure> {
        let mut values = serde_json::Deserializer::from_slice(text).into_iter::<Self>();
        let head = values.next();
        let rest = text.get(values.byte_offset()..).unwrap_or_default();
        // What else a newer version has is not known: it may be no such state at all.
        let version = match &head {
            Some(Ok(state)) => Some(state.version),
            _ => version(text),
        };
        if let Some(version) = version.filter(|version| !(ORIGINAL..=VERSION).contains(version)) {
            return Err(Failure::state(
                201,
                format!("The persisted state has version {version}; this collector knows versions up to {VERSION}."),
                "Run the version of the collector that wrote it, or a newer one.",
            ));
        }
        let unreadable = |error: &dyn fmt::Display| {
            Failure::state(
                200,
                format!("The persisted state can't be read: {error}."),
                "Restore it from its previous version, or remove it to start anew.",
            )
        };
        let mut state = head.ok_or_else(|| unreadable(&"it is empty"))?.map_err(|error| unreadable(&error))?;
        let keys = if state.version < VERSION { state.read_members(text) } else { state.read_lines(rest) };
        keys.map_err(|error| unreadable(&error))?;
        Ok(state)
    }

    /// Reads the lines behind the first one.
    fn read_lines(&mut self, mut rest: &[u8]) -> Pass {
        (self.ledger.ids, rest) = Keys::read(next_line(rest)?)?;
        if let Some(cycle) = &mut self.cycle {
            (cycle.ledger.ids, rest) = Keys::read(next_line(rest)?)?;
            (cycle.latest, rest) = Latest::read(next_line(rest)?)?;
        }
        Scanner::new(rest).end()
    }

    /// Reads the keys of version 2, which stood where the others of their kind stand.
    fn read_members(&mut self, text: &[u8]) -> Pass {
        let object = json::document(text)?;
        let at = |place| json::find(object, &Pointer::parse(place)?);
        let keys = |place| -> Pass<Keys> { at(place).map_or(Ok(Keys::default()), |text| Ok(Keys::read(text)?.0)) };
        self.ledger.ids = keys("/ledger/ids")?;
        if let Some(cycle) = &mut self.cycle {
            cycle.ledger.ids = keys("/cycle/ledger/ids")?;
            let mut latest = Keys::default();
            at("/cycle/latest")
                .map(|list| json::elements(list, |key| latest.insert(&Key::stored(&json::scalar_text(key)), None)));
            cycle.latest.add(&latest, latest.len());
        }
        Ok(())
    }

    /// This state in the version that is written. The original knew only the ids of its newest moment, and not which word
    /// to reset the persistence was in force: that is the one that is set.
    pub fn upgraded(mut self, settings: &Settings) -> Self {
        let version = std::mem::replace(&mut self.version, VERSION);
        if version == ORIGINAL {
            self.reset_persistence_auth =
                self.reset_persistence_auth.or_else(|| settings.reset_persistence_auth.clone());
            self.source.settled = self.last_event_time_in_utc;
            if let Some(time) = self.last_event_time_in_utc {
                self.ledger = Ledger::from_last_ids(time, &self.last_ids);
            }
        }
        self
    }

    /// The text that is stored, of a state in the version that is written.
    pub fn write(&self) -> Result<Vec<u8>, Failure> {
        let mut text = serde_json::to_vec(self).map_err(|error| {
            Failure::state(202, format!("The state can't be written: {error}."), "Contact support.")
        })?;
        text.push(b'\n');
        self.ledger.ids.append_to(&mut text);
        if let Some(cycle) = &self.cycle {
            text.push(b'\n');
            cycle.ledger.ids.append_to(&mut text);
            text.push(b'\n');
            cycle.latest.append_to(&mut text);
        }
        Ok(text)
    }

    /// The time from which on the next walk looks: the newest settled time less the overlap, but not where deliveries aren't
    /// known.
    pub fn window_start(&self, settings: &Settings) -> Option<DateTime<Utc>> {
        minus(self.source.settled, settings).max(self.ledger.since()).max(self.initial_start_time_in_utc)
    }

    /// The total that lets a walk stop early; `None` when it is time to look at the whole window.
    pub fn expected_total(&self, now: DateTime<Utc>) -> Option<u64> {
        let recent = self.source.full_walk_at.is_some_and(|at| at <= now && now - at < FULL_WALK_EVERY);
        self.source.total.filter(|_| recent)
    }

    /// Keeps a cycle whose walk is not over.
    pub fn interrupt(&mut self, mut cycle: Cycle, settings: &Settings) {
        // Whether the window will move isn't known while the walk may stop early.
        let settled = if cycle.walk.may_stop_early() { self.source.settled } else { self.newest(&cycle) };
        let forgotten = cycle.ledger.forget_before(minus(settled, settings));
        let bound = LATEST_PAGES.saturating_mul(cycle.walk.largest_page());
        cycle.latest.add(&forgotten, bound.clamp(*LATEST_KEYS.start(), *LATEST_KEYS.end()));
        self.cycle = Some(cycle);
    }

    /// Takes note of a cycle whose walk is over.
    pub fn finish(&mut self, cycle: Cycle, settings: &Settings, now: DateTime<Utc>) {
        self.last_event_time_in_utc = self.newest(&cycle);
        if !cycle.walk.was_quick() {
            self.source.full_walk_at = Some(now);
            self.source.settled = self.last_event_time_in_utc;
        }
        self.source.start = Some(cycle.walk.advised_start());
        self.source.total = cycle.walk.total();
        self.ledger.absorb(&cycle.ledger);
        self.ledger.forget_before(minus(self.source.settled, settings));
        self.last_ids = self.last_event_time_in_utc.map(|last| self.ledger.ids_at(last)).unwrap_or_default();
    }

    fn newest(&self, cycle: &Cycle) -> Option<DateTime<Utc>> {
        self.last_event_time_in_utc.max(cycle.newest)
    }

    /// The state as Python prints it, for the operator's log: the original's keys and nothing more.
    pub fn as_python(&self) -> String {
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
            self.version
        )
    }
}

/// What stands behind a line break.
fn next_line(rest: &[u8]) -> Pass<&[u8]> {
    rest.strip_prefix(b"\n").ok_or_else(|| Box::new(SyntaxError { offset: 0, expected: "one more line" }))
}

/// The version of a stored state, which every version of it has.
fn version(text: &[u8]) -> Option<u64> {
    let version = json::find(Scanner::document(text).value(0).ok()?, &Pointer::parse("/@persistence_version")?)?;
    json::scalar_text(version).parse().ok()
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
    use crate::walk::Plan;

    fn settings(overlap: &str) -> Settings {
        let values =
            [("base_url", "https://a"), ("overlap_in_seconds", overlap), ("initial_start_time_in_utc", "2024-01-01")];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Settings::read(values, timestamp::parse("2024-06-01").unwrap()).unwrap()
    }

    const ORIGINAL: &str = r#"{"initial_start_time_in_utc":"2022-01-01T00:00:00Z","last_event_time_in_utc":"2022-01-02T00:00:00Z",
        "last_ids":["1a2b3c"],"@persistence_version":1}"#;

    #[test]
    fn the_originals_state_goes_on_where_it_stood() {
        let mut state = State::read(ORIGINAL.as_bytes()).unwrap().upgraded(&settings("86400"));
        assert!(state.ledger.contains(&Key::stored("1a2b3c")));
        // What the original delivered before its newest moment isn't known, so that must not be looked at again.
        assert_eq!(state.window_start(&settings("86400")), timestamp::parse("2022-01-02"));
    }

    #[test]
    fn the_log_shows_the_originals_dict() {
        let state = State::read(ORIGINAL.as_bytes()).unwrap();
        assert_eq!(
            state.as_python(),
            "{'initial_start_time_in_utc': '2022-01-01T00:00:00Z', 'last_event_time_in_utc': '2022-01-02T00:00:00Z', \
             'last_ids': ['1a2b3c'], '@persistence_version': 1}"
        );
    }

    #[test]
    fn the_log_shows_a_number_among_the_ids_as_a_number() {
        let state = State::read(ORIGINAL.replace(r#"["1a2b3c"]"#, r#"[7, "7", "it's"]"#).as_bytes()).unwrap();
        assert!(state.as_python().contains(r"'last_ids': [7, '7', 'it\'s'], "), "{}", state.as_python());
    }

    fn ids(ids: &[String]) -> Keys {
        let mut keys = Keys::default();
        for (second, id) in ids.iter().enumerate() {
            keys.insert(&Key::stored(id), DateTime::from_timestamp(second as i64, 0).filter(|_| second % 3 > 0));
        }
        keys
    }

    fn state(delivered: &[String], walking: Option<(&[String], &[String])>) -> State {
        let mut state = State::new(&settings("60"));
        state.ledger.ids = ids(delivered);
        state.cycle = walking.map(|(delivered, forgotten)| {
            let plan = Plan { window_start: None, start: None, expected_total: None, limit: 9 };
            let mut latest = Latest::default();
            latest.add(&ids(forgotten), forgotten.len());
            let mut ledger = Ledger::default();
            ledger.ids = ids(delivered);
            let statistics = Statistics::default();
            Cycle { pulling_id: 7, walk: Walk::new(plan), newest: None, ledger, latest, statistics }
        });
        state
    }

    /// The text of version 2: one object, with the keys in it.
    fn version_2(state: &State) -> Vec<u8> {
        let mut value = serde_json::to_value(state).unwrap();
        let object = |keys: &Keys| -> serde_json::Value {
            let mut text = Vec::new();
            keys.append_to(&mut text);
            serde_json::from_slice(&text).unwrap()
        };
        value["@persistence_version"] = 2.into();
        value["ledger"]["ids"] = object(&state.ledger.ids);
        if let Some(cycle) = &state.cycle {
            value["cycle"]["ledger"]["ids"] = object(&cycle.ledger.ids);
            let mut latest = Vec::new();
            cycle.latest.append_to(&mut latest);
            let latest: serde_json::Map<_, _> = serde_json::from_slice(&latest).unwrap();
            value["cycle"]["latest"] = latest.keys().cloned().collect();
        }
        serde_json::to_vec(&value).unwrap()
    }

    proptest! {
        #[test]
        fn a_state_is_read_as_it_was_written_in_this_version_and_the_one_before(
            // In the order in which the value of version 2 has them.
            delivered in prop::collection::btree_set(any::<String>(), 0..9),
            walking in prop::option::of((prop::collection::btree_set(any::<String>(), 0..9), prop::collection::btree_set(any::<String>(), 0..9))),
        ) {
            let list = |set: &std::collections::BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
            let walking = walking.map(|(delivered, forgotten)| (list(&delivered), list(&forgotten)));
            let state = state(&list(&delivered), walking.as_ref().map(|(delivered, forgotten)| (&delivered[..], &forgotten[..])));
            let text = state.write().unwrap();
            prop_assert_eq!(State::read(&text).unwrap(), state.clone());
            prop_assert!(text.split(|&byte| byte == b'\n').all(|line| json::document(line).is_ok()));
            prop_assert!((0..text.len()).all(|end| State::read(&text[..end]).is_err()), "a state that was cut off");
            prop_assert_eq!(State::read(&version_2(&state)).unwrap().upgraded(&settings("60")), state);
        }
    }

    #[test]
    fn garbage_and_newer_versions_are_refused_and_not_taken_for_none() {
        for (text, code) in [
            ("", 200),
            ("{}", 200),
            ("null", 200),
            (r#"{"@persistence_version":2}"#, 200),
            (&ORIGINAL.replace(":1}", ":4}"), 201),
            ("{\"@persistence_version\":4}\nand more", 201),
            (&ORIGINAL.replace(":1}", ":1}{}"), 200),
            (&ORIGINAL.replace(":1}", ":3}"), 200),
            (&ORIGINAL.replace(":1}", ":3}\n[]"), 200),
            (&ORIGINAL.replace(":1}", ":3}\n{}\n{}"), 200),
        ] {
            assert_eq!(State::read(text.as_bytes()).unwrap_err().code, code, "{text}");
        }
    }

    #[test]
    fn a_walk_may_stop_early_only_for_an_hour() {
        let now = timestamp::parse("2024-06-01").unwrap();
        let mut state = State::new(&settings("60"));
        state.source = Source { total: Some(5), full_walk_at: Some(now), ..Source::default() };
        assert_eq!(state.expected_total(now + TimeDelta::minutes(59)), Some(5));
        assert_eq!(state.expected_total(now + TimeDelta::minutes(60)), None);
        assert_eq!(state.expected_total(now - TimeDelta::minutes(1)), None, "a clock that was set back");
    }
}
