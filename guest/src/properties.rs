//! What holds for every input of the decoders of untrusted bytes, whatever the bytes are: an answer of the
//! API, a time, a state, settings, and a record under the operator's masks. Each property is one function,
//! which the targets in `fuzz/` and the replay of their corpus below both call. It panics where the property
//! is broken.

#![allow(clippy::unwrap_used, reason = "a property may fail by panicking")]

use alert_records::json::{self, Pointer};
use alert_records::page::{self, Odd, Page, Unreadable};
use alert_records::timestamp;
use chrono::{DateTime, Datelike, Utc};
use serde_json::{Value, json};

use crate::alert::Alert;
use crate::api;
use crate::obfuscation::Rules;
use crate::obfuscation::tree::{self, Member, Tree};
use crate::settings::Settings;
use crate::state::State;

/// An answer: what is found in it is a part of it, is what serde finds, and comes out as it came in.
pub fn answer(body: &[u8]) {
    let tree = serde_json::from_slice::<Value>(body).ok();
    assert!(tree.is_none() || json::document(body).is_ok(), "what serde takes is taken");
    for place in [None, Some("/result/alerts"), Some("/0/a~1b"), Some("/é"), Some("")] {
        let pointer = place.map(|place| Pointer::parse(place).unwrap());
        match page::read(body, pointer.as_ref()) {
            Ok(page) => {
                if let (Some(tree), Some(place)) = (&tree, place) {
                    let list = tree.pointer(place).filter(|list| !list.is_null()).cloned().unwrap_or(json!([]));
                    let records: Vec<Value> =
                        page.records.iter().map(|text| serde_json::from_slice(text).unwrap()).collect();
                    assert_eq!(Value::from(records), list, "the records are those at {place}");
                }
                assert!(tree.is_none() || page.odd.is_empty(), "what serde takes is not odd");
                page.records.iter().for_each(|text| record(body, text));
                in_order(body, &page);
                different_ids_are_different_keys(&page.records);
            }
            Err(error) => {
                let is_list = |place| tree.as_ref()?.pointer(place)?.as_array();
                let is_missed = error == Unreadable::NoRecords && place.and_then(is_list).is_some();
                assert!(!is_missed, "there are records at {place:?}");
                let failure = api::unreadable(body, &error).to_string();
                assert!(!failure.contains(char::is_control) && failure.chars().count() < 800, "{failure}");
            }
        }
    }
}

/// Records and what is odd among them are parts of the body, each kind in its order, and no byte belongs to
/// two of them.
fn in_order<'a>(body: &'a [u8], page: &Page<'a, &'a [u8]>) {
    let range = |text: &[u8]| {
        let start = (text.as_ptr() as usize).checked_sub(body.as_ptr() as usize).unwrap();
        assert!(start + text.len() <= body.len(), "a record is a part of the body");
        start..start + text.len()
    };
    let odd = |odd: &Odd<'_>| {
        assert_eq!(range(odd.text).start, odd.offset);
        assert!(!odd.text.is_empty() && odd.error.offset <= odd.text.len());
        range(odd.text)
    };
    let records: Vec<_> = page.records.iter().map(|text| range(text)).collect();
    let odd: Vec<_> = page.odd.iter().map(odd).collect();
    assert!(records.is_sorted_by_key(|range| range.start) && odd.is_sorted_by_key(|range| range.start));
    let mut all = [records, odd].concat();
    all.sort_by_key(|range| range.start);
    assert!(all.is_sorted_by(|before, after| before.end < after.start), "a comma stands between two records");
}

fn record(body: &[u8], text: &[u8]) {
    let range = body.as_ptr_range();
    assert!(range.start <= text.as_ptr() && text.as_ptr_range().end <= range.end, "a record is a part of the body");

    let mut compact = Vec::new();
    json::append_compact(text, &mut compact);
    one_line(&compact);
    assert_eq!(json::document(&compact), Ok(&compact[..]), "a compact record is one value");
    let mut again = Vec::new();
    json::append_compact(&compact, &mut again);
    assert_eq!(again, compact, "a compact record is as compact as it gets");

    let tree = serde_json::from_slice::<Value>(text).ok();
    for environment in [None, Some("prod \"1\"\n")] {
        let settings = settings_with(environment);
        let alert = Alert::read(text, &settings.id, &settings.time);
        let event = alert.format(&settings, "1234");
        one_line(&event);
        assert_eq!(json::document(&event), Ok(&event[..]), "an event is one value");
        if let Some(tree) = &tree {
            assert_eq!(serde_json::from_slice::<Value>(&compact).unwrap(), *tree);
            assert_eq!(serde_json::from_slice::<Value>(&event).unwrap(), expected_event(tree, environment));
            assert_eq!(alert.key, Alert::read(&compact, &settings.id, &settings.time).key);
            match tree.get("id") {
                Some(Value::String(id)) if !id.is_empty() => assert!(!alert.key.is_content(), "{id}"),
                Some(Value::Number(_)) => assert!(alert.key.as_str().starts_with("number:")),
                _ => assert!(alert.key.is_content()),
            }
        }
        if let Some(time) = alert.time {
            lasting(time);
        }
    }
}

fn expected_event(record: &Value, environment: Option<&str>) -> Value {
    let mut event = if record.is_object() { record.clone() } else { json!({"value": record}) };
    if let Some(environment) = environment {
        event["@devo_environment"] = environment.into();
    }
    event["@devo_pulling_id"] = "1234".into();
    event
}

/// Two alerts under one key are one alert: whoever mixes up ids loses alerts.
fn different_ids_are_different_keys<'a>(records: &[&'a [u8]]) {
    let settings = settings_with(None);
    let with_id = |text: &&'a [u8]| {
        let id = json::find(text, &settings.id)?.to_vec();
        Some((Alert::read(text, &settings.id, &settings.time).key, id))
    };
    let ids: Vec<_> = records.iter().take(8).filter_map(with_id).collect();
    for (key, id) in &ids {
        for (other_key, other) in &ids {
            let same = key.as_str() == other_key.as_str();
            let is_id = !key.is_content() && !other_key.is_content();
            let parsed = |id: &[u8]| serde_json::from_slice::<String>(id).ok();
            let differ = id != other && (parsed(id).is_none() || parsed(id) != parsed(other));
            assert!(!same || key == other_key, "an id and a content are told apart");
            assert!(!(same && is_id && differ), "{} is also {}", id.escape_ascii(), other.escape_ascii());
        }
    }
}

/// A time: read again as it was written, in text and in a state. Also what a server asks to wait.
pub fn time(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let now = timestamp::parse("2024-06-01").unwrap();
    api::retry_after(text, now);
    let Some(time) = timestamp::parse(text) else { return };
    lasting(time);
    if let Some((seconds, fraction)) = text.trim().split_once('.')
        && (1..=3).contains(&fraction.len())
        && let (Ok(seconds), Ok(part)) = (seconds.parse::<u32>(), fraction.parse::<i64>())
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
        && !text.contains('+')
    {
        let milliseconds = i64::from(seconds) * 1000 + part * [100, 10, 1][fraction.len() - 1];
        assert_eq!(time.timestamp_millis(), milliseconds, "a fraction is read exactly");
    }
}

/// A time that the collector has read is kept: in its log, and in its state, which would else be lost with
/// it.
fn lasting(time: DateTime<Utc>) {
    assert!((1..=9999).contains(&time.year()), "{time:?} has four digits for its year");
    assert_eq!(timestamp::parse(&timestamp::format(time)), Some(time), "{}", timestamp::format(time));
    let stored = serde_json::to_vec(&time).unwrap();
    assert_eq!(serde_json::from_slice::<DateTime<Utc>>(&stored).ok(), Some(time), "{time:?}");
}

/// A state: of any version, but never made up; and read as it was written, in the version that it is upgraded
/// to.
pub fn state(text: &[u8]) {
    let settings = settings_with(None);
    let Ok((mut state, memory)) = State::open(text, &settings, b"seed") else { return };
    // Members that are not known may hold what is no text.
    if let Some(Ok(tree)) = serde_json::Deserializer::from_slice(text).into_iter::<Value>().next() {
        assert!(matches!(tree["@persistence_version"].as_u64(), Some(1..=4)), "a state has a version");
        assert!(tree.get("last_event_time_in_utc").is_some(), "what lacks its time is no state");
    }
    state.take_back(memory);
    let written = state.write().unwrap();
    assert_eq!(State::read(&written).unwrap(), state);
    state.as_python();
    state.window(&settings);
    state.progress();
    state.walk.set_source(7, false);
    let now = timestamp::parse("2024-06-01").unwrap();
    state.walk.begin_due(state.window(&settings), None, now);
    assert!(state.walk.pass.is_none_or(|pass| pass.next_page().is_some()), "a pass has a page to begin with");
}

/// Settings, one `name=value` a line: used or refused in one line, without the token.
pub fn settings(text: &[u8]) {
    const SECRET: &str = "s3cr3t-t0ken";
    let Ok(text) = std::str::from_utf8(text) else { return };
    let values = text.lines().filter_map(|line| line.split_once('='));
    let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let values = values.chain([("token".to_owned(), SECRET.to_owned())]).collect();
    match Settings::read(values, timestamp::parse("2024-06-01").unwrap()) {
        Ok(settings) => {
            assert!(!settings.endpoint.authority.is_empty() && settings.endpoint.limit > 0);
            assert!(settings.endpoint.path.is_empty() || settings.endpoint.path.starts_with('/'));
        }
        Err(failure) => {
            let failure = failure.to_string();
            assert!(!failure.contains(char::is_control) && !failure.contains(SECRET), "{failure}");
        }
    }
}

/// Rules on the first line and a record on the others: what a rule leads to is masked, and nothing else
/// changes.
pub fn obfuscation(text: &[u8]) {
    let Some(end) = text.iter().position(|byte| *byte == b'\n') else { return };
    let (rules_text, record) = (&text[..end], &text[end + 1..]);
    let Some(rules_text) = std::str::from_utf8(rules_text).ok() else { return };
    let Ok(rules) = Rules::parse(rules_text) else { return };
    let masked = rules.apply(record).unwrap_or_else(|| record.to_vec());
    if rules.is_empty() {
        assert_eq!(masked, record);
        return;
    }
    if json::document(record).is_err() {
        assert_eq!(masked, br#""****SANITIZED****""#, "what can't be searched is hidden");
        return;
    }
    assert!(json::document(&masked).is_ok(), "a masked record is one value");
    let Some(tree) = Tree::read(record) else { return };
    let masked_tree = Tree::read(&masked).unwrap();
    let rule_list: Vec<Value> = serde_json::from_str(rules_text).unwrap();

    // What a path leads to is cut out of both, so that what is left must be the same.
    let without_hidden = |mut tree: Tree| {
        for rule in &rule_list {
            tree::replace(&mut tree, &path(rule), &|_| Tree::Scalar("hidden".to_owned()));
        }
        tree
    };
    assert_eq!(without_hidden(masked_tree.clone()), without_hidden(tree.clone()), "nothing else changes");

    let has_patterns = |rule: &Value| rule["string_patterns"].as_array().is_some_and(|patterns| !patterns.is_empty());
    if !rule_list.iter().any(has_patterns) {
        let paths: Vec<_> = rule_list.iter().map(path).collect();
        let rules_and_steps: Vec<_> = rule_list.iter().zip(paths.iter().map(Vec::as_slice)).collect();
        assert_eq!(masked_tree, masked_plainly(tree, &rules_and_steps));
        assert_eq!(rules.apply(&masked), None, "masks are not masked again");
    }
}

/// `tree` with the masks of rules that have still these steps to take. Of two rules for one place the last
/// counts, and an outer mask hides an inner one.
fn masked_plainly(tree: Tree, rules: &[(&Value, &[String])]) -> Tree {
    if let Some((rule, _)) = rules.iter().rev().find(|(_, steps)| steps.is_empty()) {
        return match rule.get("value") {
            _ if tree == Tree::Scalar("null".to_owned()) => tree,
            Some(value) => Tree::Scalar(value.to_string()),
            None => tree::default_mask(&tree),
        };
    }
    let below = |tree: Tree, is_next: &dyn Fn(&str) -> bool| {
        let onward = rules.iter().filter(|(_, steps)| is_next(&steps[0])).map(|(rule, steps)| (*rule, &steps[1..]));
        masked_plainly(tree, &onward.collect::<Vec<_>>())
    };
    match tree {
        Tree::Scalar(_) => tree,
        Tree::List(elements) => {
            let element = |(index, element)| below(element, &|step| tree::is_index(step, index));
            Tree::List(elements.into_iter().enumerate().map(element).collect())
        }
        Tree::Object(members) => {
            let member = |Member { key, escaped, value }| {
                let value = below(value, &|step| tree::is_key(step, &key));
                Member { key, escaped, value }
            };
            Tree::Object(members.into_iter().map(member).collect())
        }
    }
}

fn path(rule: &Value) -> Vec<String> {
    let step = |step: &Value| step.as_str().map_or_else(|| step.to_string(), str::to_owned);
    match &rule["name"] {
        Value::Array(steps) => steps.iter().map(step).collect(),
        name => vec![step(name)],
    }
}

fn one_line(text: &[u8]) {
    assert!(!text.iter().any(|byte| matches!(byte, b'\n' | b'\r')), "{}", text.escape_ascii());
}

fn settings_with(environment: Option<&str>) -> Settings {
    let mut values = vec![("base_url".to_owned(), "https://a".to_owned())];
    values.extend(environment.map(|environment| ("environment".to_owned(), environment.to_owned())));
    Settings::read(values, timestamp::parse("2024-06-01").unwrap()).unwrap()
}

#[cfg(test)]
mod tests {
    use crate::replay::replay;

    #[test]
    fn the_corpus_of_answers_keeps_the_law() {
        replay("answer", super::answer);
    }

    #[test]
    fn the_corpus_of_times_keeps_the_law() {
        replay("time", super::time);
    }

    #[test]
    fn the_corpus_of_states_keeps_the_law() {
        replay("state", super::state);
    }

    #[test]
    fn the_corpus_of_settings_keeps_the_law() {
        replay("settings", super::settings);
    }

    #[test]
    fn the_corpus_of_obfuscation_keeps_the_law() {
        replay("obfuscation", super::obfuscation);
    }
}
