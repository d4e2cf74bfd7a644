//! States of earlier versions: the original collector's (1), and those in which one walk did what live and
//! passes do now (2 and 3). Version 2 is one object, version 3 has the keys on lines of their own.

use alert_records::json::{self, Pass, Pointer};
use alert_records::key::Key;
use alert_records::keys::Keys;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{State, VERSION, keys, next_line, unreadable, version};
use crate::failure::Failure;
use crate::ledger::Ledger;
use crate::memory::Memory;
use crate::settings::Settings;
use crate::walk::pass::Pass as SourcePass;

/// The original collector's version.
const ORIGINAL: u64 = 1;

/// The last one of those that are read here.
const LAST: u64 = 3;

/// What the first value of such a state has.
#[derive(Debug, Deserialize)]
struct Earlier {
    initial_start_time_in_utc: Option<DateTime<Utc>>,
    #[serde(deserialize_with = "Option::deserialize")]
    last_event_time_in_utc: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "keys")]
    last_ids: Vec<String>,
    #[serde(default)]
    reset_persistence_auth: Option<String>,
    #[serde(default)]
    ledger: Ledger,
    #[serde(default)]
    source: Source,
    #[serde(default)]
    cycle: Option<Cycle>,
}

#[derive(Debug, Default, Deserialize)]
struct Source {
    settled: Option<DateTime<Utc>>,
}

/// A walk that was not finished.
#[derive(Debug, Deserialize)]
struct Cycle {
    walk: Walk,
    newest: Option<DateTime<Utc>>,
    ledger: Ledger,
    /// The keys that the ledger had forgotten.
    #[serde(skip)]
    latest: Keys,
}

#[derive(Debug, Deserialize)]
struct Walk {
    start: u64,
    next: u64,
    direction: Direction,
    limit: u32,
    window_start: Option<DateTime<Utc>>,
    #[serde(default)]
    largest: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Direction {
    On,
    Back,
    Aside,
}

impl State {
    /// Reads a stored state of any version, and what is remembered with it. `seed` is as for [`State::new`].
    pub fn open(text: &[u8], settings: &Settings, seed: &[u8]) -> Result<(Self, Memory), Failure> {
        // Nearly every time it is of the version that is written, and need not be scanned for that first.
        let unread = match Self::read(text) {
            Ok(state) => return Ok(state.with_memory(settings)),
            Err(failure) => failure,
        };
        match version(text) {
            Some(VERSION) => Err(unread),
            Some(version @ ORIGINAL..=LAST) => Ok(Earlier::read(text, version)?.upgraded(version, settings, seed)),
            Some(version) => Err(Failure::state(
                201,
                format!("The persisted state has version {version}; this collector knows versions up to {VERSION}."),
                "Run the version of the collector that wrote it, or a newer one.",
            )),
            None => Err(unreadable(&"it has no version")),
        }
    }
}

impl Earlier {
    fn read(text: &[u8], version: u64) -> Result<Self, Failure> {
        let mut values = serde_json::Deserializer::from_slice(text).into_iter::<Self>();
        let head = values.next();
        let rest = text.get(values.byte_offset()..).unwrap_or_default();
        let mut earlier = head.ok_or_else(|| unreadable(&"it is empty"))?.map_err(|error| unreadable(&error))?;
        let keys = if version < LAST { earlier.read_members(text) } else { earlier.read_lines(rest) };
        keys.map_err(|error| unreadable(&error))?;
        Ok(earlier)
    }

    /// Reads the lines behind the first one.
    fn read_lines(&mut self, mut rest: &[u8]) -> Pass {
        (self.ledger.ids, rest) = Keys::read(next_line(rest)?)?;
        if let Some(cycle) = &mut self.cycle {
            (cycle.ledger.ids, rest) = Keys::read(next_line(rest)?)?;
            (cycle.latest, rest) = Keys::read(next_line(rest)?)?;
        }
        json::Scanner::new(rest).end()
    }

    /// Reads the keys of version 2, which stood where the others of their kind stand.
    fn read_members(&mut self, text: &[u8]) -> Pass {
        let object = json::document(text)?;
        let at = |place| json::find(object, &Pointer::parse(place)?);
        let keys = |place| -> Pass<Keys> { at(place).map_or(Ok(Keys::default()), |text| Ok(Keys::read(text)?.0)) };
        self.ledger.ids = keys("/ledger/ids")?;
        if let Some(cycle) = &mut self.cycle {
            cycle.ledger.ids = keys("/cycle/ledger/ids")?;
            at("/cycle/latest").map(|list| {
                json::elements(list, |key| cycle.latest.insert(&Key::stored(&json::scalar_text(key)), None))
            });
        }
        Ok(())
    }

    fn upgraded(mut self, version: u64, settings: &Settings, seed: &[u8]) -> (State, Memory) {
        let mut state = State::new(settings, seed);
        state.initial_start_time_in_utc = self.initial_start_time_in_utc;
        state.reset_persistence_auth = self.reset_persistence_auth.take();
        state.last_event_time_in_utc = self.last_event_time_in_utc;
        state.settled = self.source.settled;
        if version == ORIGINAL {
            // The original knew the ids of its newest moment alone, and not which word to reset the
            // persistence was in force: that is the one that is set.
            state.reset_persistence_auth =
                state.reset_persistence_auth.or_else(|| settings.reset_persistence_auth.clone());
            state.settled = self.last_event_time_in_utc;
            if let Some(time) = self.last_event_time_in_utc {
                self.ledger = Ledger::from_last_ids(time, &self.last_ids);
            }
        }
        let mut latest = Keys::default();
        if let Some(cycle) = self.cycle.take() {
            state.last_event_time_in_utc = state.last_event_time_in_utc.max(cycle.newest);
            self.ledger.absorb(&cycle.ledger);
            state.walk.source.limit = cycle.walk.limit;
            state.walk.source.largest = cycle.walk.largest;
            let onward = cycle.walk.start == 1 && cycle.walk.direction == Direction::On;
            // From the page before: records may have moved to it.
            let from = if onward { cycle.walk.next.saturating_sub(1).max(1) } else { 1 };
            state.walk.pass = Some(SourcePass::resumed(from, cycle.walk.window_start, &mut state.walk.source));
            latest = cycle.latest;
        }
        state.last_ids = state.last_event_time_in_utc.map(|last| self.ledger.ids_at(last)).unwrap_or_default();
        // What came before the ledger's time was delivered, and is not known any more.
        state.memory.since = self.ledger.since();
        state.ledger = self.ledger;
        let (state, mut memory) = state.with_memory(settings);
        memory.take_over(&latest);
        (state, memory)
    }
}

#[cfg(test)]
mod tests {
    use alert_records::timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::progress::BackfillProgress;

    fn settings() -> Settings {
        let values = [("base_url", "https://a"), ("reset_persistence_auth", "now")];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Settings::read(values, timestamp::parse("2024-06-01").unwrap()).unwrap()
    }

    fn open(text: &str) -> (State, Memory) {
        State::open(text.as_bytes(), &settings(), b"seed").unwrap()
    }

    fn at(text: &str) -> Option<DateTime<Utc>> {
        Some(timestamp::parse(text).unwrap())
    }

    /// Whether an alert is known by its key in the overlap and by its digest.
    fn knows((state, memory): &mut (State, Memory), id: &str) -> (bool, bool) {
        let key = Key::stored(id);
        let digest = state.memory.digest(key.written());
        let mut alone = Memory::new(memory.head.clone(), memory.ledger.clone(), false);
        let in_overlap = alone.find(digest, &key) != alert_records::digests::Found::No;
        let mut without_ledger = std::mem::take(&mut memory.ledger);
        let by_digest = memory.find(digest, &key) != alert_records::digests::Found::No;
        std::mem::swap(&mut memory.ledger, &mut without_ledger);
        (in_overlap, by_digest)
    }

    const VERSION_1: &str = r#"{"initial_start_time_in_utc":"2022-01-01T00:00:00Z","last_event_time_in_utc":"2022-01-02T00:00:00Z",
        "last_ids":["1a2b3c",7],"@persistence_version":1}"#;

    const WALK: &str = r#"{"start":1,"direction":"on","next":5,"again":{"start":0,"end":0},"again_since_new":0,"limit":9,"window_start":null,"expected_total":null,"first_total":50,"last_total":50,"pages":6,"last_page":4,"received":36,"largest":9,"new":36,"digest":1,"repetitions":0,"trend":{"previous":null,"oldest":null,"newest":null,"steps":0,"lows":0,"highs":0,"highest_rise":0},"promised":true,"aside":false,"finished":false,"quick":false}"#;

    /// A state of version 3 in the midst of this walk.
    fn version_3(walk: &str) -> String {
        format!(
            r#"{{"initial_start_time_in_utc":"2022-01-01T00:00:00Z","last_event_time_in_utc":"2024-05-02T00:00:00Z","last_ids":["a"],"@persistence_version":3,"reset_persistence_auth":"before","ledger":{{"since":"2024-05-01T00:00:00Z"}},"source":{{"start":1,"total":50,"full_walk_at":"2024-05-02T01:00:00Z","settled":"2024-05-02T00:00:00Z"}},"cycle":{{"pulling_id":7,"walk":{walk},"newest":"2024-05-03T00:00:00Z","ledger":{{"since":null}},"statistics":{{"requests":4,"received":36,"duplicates":0,"sent":36}}}}}}"#
        ) + "\n"
            + r#"{"a":"2024-05-02T00:00:00Z","undated":null}"#
            + "\n"
            + r#"{"b":"2024-05-03T00:00:00Z"}"#
            + "\n"
            + r#"{"c":null,"number:8":null}"#
    }

    /// The same in version 2: one object, with the keys in it.
    fn version_2() -> String {
        let text = version_3(WALK);
        let head = text.lines().next().unwrap();
        head.replace("\"@persistence_version\":3", "\"@persistence_version\":2")
            .replace(
                r#""ledger":{"since":"2024-05-01T00:00:00Z"}"#,
                r#""ledger":{"since":"2024-05-01T00:00:00Z","ids":{"a":"2024-05-02T00:00:00Z","undated":null}}"#,
            )
            .replace(
                r#""ledger":{"since":null}"#,
                r#""ledger":{"since":null,"ids":{"b":"2024-05-03T00:00:00Z"}},"latest":["c","number:8"]"#,
            )
    }

    /// A state of version 3 at rest.
    fn at_rest() -> String {
        let text = version_3(WALK);
        let head = text.lines().next().unwrap();
        let (before, _) = head.split_once("\"cycle\":").unwrap();
        format!("{before}\"cycle\":null}}\n{{\"a\":\"2024-05-02T00:00:00Z\"}}")
    }

    #[test]
    fn the_originals_state_goes_on_where_it_stood() {
        let mut opened = open(VERSION_1);
        assert_eq!(knows(&mut opened, "1a2b3c"), (true, true));
        assert_eq!(knows(&mut opened, "number:7"), (true, true));
        assert_eq!(knows(&mut opened, "7"), (false, false));
        // What the original delivered before its newest moment isn't known, so that must not be looked at
        // again.
        let (state, _) = opened;
        assert_eq!(state.window(&settings()).floor, at("2022-01-02"));
        assert_eq!(state.last_event_time_in_utc, at("2022-01-02"));
        assert_eq!(state.last_ids, ["1a2b3c", "number:7"]);
        assert_eq!(state.initial_start_time_in_utc, at("2022-01-01"));
        assert_eq!(state.reset_persistence_auth.as_deref(), Some("now"), "the original did not keep it");
    }

    #[test]
    fn the_originals_state_of_a_service_that_never_delivered_wants_everything() {
        let text = VERSION_1.replace("\"2022-01-02T00:00:00Z\"", "null").replace("[\"1a2b3c\",7]", "[]");
        let (state, _) = open(&text);
        assert_eq!(state.window(&settings()).since(), at("2022-01-01"));
        assert_eq!((state.last_event_time_in_utc, state.last_ids.len()), (None, 0));
    }

    #[test]
    fn the_log_shows_a_number_among_the_ids_as_a_number() {
        let text = VERSION_1.replace(r#"["1a2b3c",7]"#, r#"[7, "7", "it's"]"#);
        let (mut state, memory) = open(&text);
        state.take_back(memory);
        assert!(state.as_python().contains(r"'last_ids': [7, '7', 'it\'s'], "), "{}", state.as_python());
    }

    #[test]
    fn versions_2_and_3_keep_what_was_delivered_and_their_unfinished_walk() {
        for text in [version_2(), version_3(WALK)] {
            let mut opened = open(&text);
            for id in ["a", "undated", "b"] {
                assert_eq!(knows(&mut opened, id), (true, true), "{id}");
            }
            for id in ["c", "number:8"] {
                assert!(knows(&mut opened, id).1, "{id}");
            }
            assert_eq!(knows(&mut opened, "d"), (false, false));
            let (state, _) = opened;
            assert_eq!(state.last_event_time_in_utc, at("2024-05-03"));
            assert_eq!(state.last_ids, ["b"]);
            assert_eq!(state.settled, at("2024-05-02"));
            assert_eq!(
                state.memory.since,
                at("2024-05-01"),
                "what came before was delivered, and is not known any more"
            );
            assert_eq!(state.reset_persistence_auth.as_deref(), Some("before"));
            let pass = state.walk.pass.as_ref().unwrap();
            assert_eq!(
                pass.next_page(),
                Some(4),
                "the page before the one that was next: records may have moved to it"
            );
            assert_eq!((state.walk.source.limit, state.walk.source.largest), (9, 9));
            assert_eq!(state.progress().backfill, Some(BackfillProgress { done: 0, total: None }));
        }
    }

    #[test]
    fn a_walk_that_did_not_go_on_from_the_first_page_begins_anew() {
        for walk in [
            WALK.replace("\"start\":1", "\"start\":3"),
            WALK.replace("\"on\"", "\"back\""),
            WALK.replace("\"on\"", "\"aside\""),
            WALK.replace("\"next\":5", "\"next\":1"),
        ] {
            let (state, _) = open(&version_3(&walk));
            assert_eq!(state.walk.pass.unwrap().next_page(), Some(1), "{walk}");
        }
    }

    #[test]
    fn a_state_at_rest_has_no_pass_under_way() {
        let (state, _) = open(&at_rest());
        assert_eq!(state.walk.pass, None);
        assert_eq!(state.last_event_time_in_utc, at("2024-05-02"));
    }

    #[test]
    fn an_upgraded_state_is_read_as_it_was_written() {
        for text in [VERSION_1.to_owned(), version_2(), version_3(WALK), at_rest()] {
            let (mut state, memory) = open(&text);
            state.take_back(memory);
            let written = state.write().unwrap();
            assert_eq!(State::read(&written).unwrap(), state);
            assert_eq!(version(&written), Some(VERSION));
        }
    }

    #[test]
    fn garbage_is_refused_and_not_taken_for_none() {
        for text in [
            r#"{"@persistence_version":1}"#,
            r#"{"@persistence_version":2}"#,
            r#"{"@persistence_version":3}"#,
            &VERSION_1.replace(":1}", ":3}"),
            &VERSION_1.replace(":1}", ":3}\n[]"),
            &VERSION_1.replace(":1}", ":3}\n{}\n{}"),
            &VERSION_1.replace("\"last_event_time_in_utc\":\"2022-01-02T00:00:00Z\",", ""),
            &version_3(WALK).replace("\n{\"b\"", "\n\n{\"b\""),
            &version_3(WALK).replace("\"direction\":\"on\"", "\"direction\":\"up\""),
            &version_2().replace("\"undated\":null", "\"undated\":true"),
        ] {
            let failure = State::open(text.as_bytes(), &settings(), b"seed").unwrap_err();
            assert_eq!(failure.code, 200, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_state_of_an_earlier_version_that_was_cut_off_anywhere_is_refused(version in 1usize..=4, end in any::<prop::sample::Index>()) {
            let text = [VERSION_1.to_owned(), version_2(), version_3(WALK), at_rest()][version - 1].clone();
            let end = end.index(text.len());
            let failure = State::open(&text.as_bytes()[..end], &settings(), b"seed").map(|_| ()).unwrap_err();
            prop_assert_eq!(failure.code, 200, "{}", &text[..end]);
        }
    }
}
