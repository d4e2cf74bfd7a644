//! One alert: what it is known by, when it happened, and the event that it becomes.

use alert_records::json::{self, Pointer};
use alert_records::key::Key;
use alert_records::record::{Places, Record};
use alert_records::timestamp;
use chrono::{DateTime, Utc};

use crate::settings::Settings;

/// An alert as the API sent it, and what was found in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert<'a> {
    /// The record's text, as it came.
    pub text: &'a [u8],
    /// What it is known by. Two records with the same key are the same alert.
    pub key: Key<'a>,
    /// When the incident happened; `None` if the record doesn't say so in a way that can be read.
    pub time: Option<DateTime<Utc>>,
    /// Whether the text can be copied as it is.
    compact: bool,
}

impl<'a> Alert<'a> {
    /// Finds id and time in a record.
    pub fn read(text: &'a [u8], id: &Pointer, time: &Pointer) -> Self {
        Self::of(&Record::of(text, &Places { id, time }))
    }

    /// Makes sense of what was found in a record.
    pub fn of(record: &Record<'a>) -> Self {
        let Record { text, time, compact, .. } = *record;
        let key = Key::of(record);
        let time =
            time.filter(|value| matches!(value.first(), Some(b'"' | b'0'..=b'9'))).and_then(timestamp::parse_value);
        Self { text, key, time, compact }
    }

    /// The event's text: the record on one line, masked, with the members that the collector adds at its end.
    pub fn format(&self, settings: &Settings, pulling_id: &str) -> Vec<u8> {
        let mut text = Vec::new();
        self.append(settings, &Tail::new(settings, pulling_id), &mut text);
        text
    }

    /// Appends the event's text to `out`, with a tail that was made before.
    pub fn append(&self, settings: &Settings, tail: &Tail, out: &mut Vec<u8>) {
        let start = out.len();
        match settings.obfuscation.apply(self.text) {
            Some(masked) => json::append_compact(&masked, out),
            None if self.compact => out.extend_from_slice(self.text),
            None => json::append_compact(self.text, out),
        }
        if out.get(start) == Some(&b'{') {
            out.pop();
        } else {
            // Not an object, so it has no members to add to: it becomes the one member of an object.
            out.splice(start..start, *b"{\"value\":");
        }
        let members = if out.last() == Some(&b'{') { &tail.0[1..] } else { &tail.0 };
        out.extend_from_slice(members);
    }
}

/// What every event of a pull ends with: the members that the collector adds, and the end of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail(Vec<u8>);

impl Tail {
    /// For the events of one pull.
    pub fn new(settings: &Settings, pulling_id: &str) -> Self {
        let mut tail = String::new();
        let mut member = |name: &str, value: &str| {
            tail.push_str(&format!(",\"{name}\":{}", serde_json::Value::from(value)));
        };
        if let Some(environment) = &settings.environment {
            member("@devo_environment", environment);
        }
        member("@devo_pulling_id", pulling_id);
        tail.push('}');
        Self(tail.into_bytes())
    }

    /// The most bytes that an event has beyond those of its record, but for what masks add.
    pub fn room(&self) -> usize {
        self.0.len() + b"{\"value\":".len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn settings(environment: Option<&str>) -> Settings {
        let mut values = vec![("base_url".to_owned(), "https://a".to_owned())];
        values.extend(environment.map(|environment| ("environment".to_owned(), environment.to_owned())));
        Settings::read(values, timestamp::parse("2024-01-01").unwrap()).unwrap()
    }

    fn read(text: &str) -> Alert<'_> {
        Alert::read(text.as_bytes(), &Pointer::parse("/id").unwrap(), &Pointer::parse("/incident_time").unwrap())
    }

    fn formatted(text: &str) -> String {
        String::from_utf8(read(text).format(&settings(None), "1234")).unwrap()
    }

    #[test]
    fn the_pulling_id_is_the_last_member() {
        assert_eq!(formatted("{ \"id\" : 1 }"), r#"{"id":1,"@devo_pulling_id":"1234"}"#);
        assert_eq!(formatted("{ }"), r#"{"@devo_pulling_id":"1234"}"#);
    }

    #[test]
    fn the_environment_comes_before_the_pulling_id() {
        let body = read("{}").format(&settings(Some("pro\"d")), "1");
        assert_eq!(body, br#"{"@devo_environment":"pro\"d","@devo_pulling_id":"1"}"#);
    }

    #[test]
    fn a_record_that_is_no_object_is_still_an_alert() {
        assert_eq!(formatted(r#""text""#), r#"{"value":"text","@devo_pulling_id":"1234"}"#);
        assert_eq!(formatted("[1, 2]"), r#"{"value":[1,2],"@devo_pulling_id":"1234"}"#);
    }

    #[test]
    fn ids_that_look_alike_are_different_alerts() {
        let ids = [r#""00000000000000000000000d""#, r#""0""#, "0", r#""3e7""#, "3e7", "30000000", r#""0x0""#, "0.0"];
        let key = |id: &&str| read(&format!("{{\"id\":{id}}}")).key.as_str().to_owned();
        let keys: std::collections::BTreeSet<_> = ids.iter().map(key).collect();
        assert_eq!(keys.len(), ids.len());
    }

    #[test]
    fn ids_that_differ_in_bytes_that_are_no_text_are_different_alerts() {
        let key = |id: &[u8]| {
            let record = [b"{\"id\":\"", id, b"\"}"].concat();
            let (id, time) = (Pointer::parse("/id").unwrap(), Pointer::parse("/incident_time").unwrap());
            Alert::read(&record, &id, &time).key.as_str().to_owned()
        };
        let ids: [&[u8]; 7] = [b"\xff", b"\xfe", b"\\ufffd", b"\\ud800", b"\\\\ud800", b"a\nb", b"a\\nb"];
        let keys: std::collections::BTreeSet<_> = ids.iter().map(|id| key(id)).collect();
        assert_eq!(keys.len(), ids.len(), "{keys:?}");
    }

    #[test]
    fn an_id_that_looks_like_another_kind_of_key_is_a_different_alert() {
        let key = |record: &str| read(record).key.as_str().to_owned();
        assert_ne!(key(r#"{"id":"number:1"}"#), key(r#"{"id":1}"#));
        let content = key("{}");
        assert_ne!(key(&format!(r#"{{"id":"{content}"}}"#)), content);
        assert_ne!(key(r#"{"id":"text:number:1"}"#), key(r#"{"id":"number:1"}"#));
    }

    #[test]
    fn a_record_without_an_id_is_known_by_its_content() {
        assert_eq!(read(r#"{"a": 1}"#).key, read(r#"{"a":1}"#).key);
        assert_ne!(read(r#"{"a":1}"#).key, read(r#"{"a":2}"#).key);
        for id in ["null", "{}", "[]", "true", "\"\""] {
            assert!(read(&format!("{{\"id\":{id}}}")).key.is_content(), "{id}");
        }
    }

    #[test]
    fn a_time_that_cant_be_read_is_no_time() {
        for time in ["null", "\"soon\"", "{}", "true", "\"\""] {
            assert_eq!(read(&format!("{{\"incident_time\":{time}}}")).time, None, "{time}");
        }
        assert!(read(r#"{"incident_time":1704068199}"#).time.is_some());
    }

    proptest! {
        #[test]
        fn nothing_of_a_record_changes(members in prop::collection::vec(("[a-z]{1,8}", any::<String>()), 0..8)) {
            let object: serde_json::Map<_, _> = members.into_iter().map(|(key, value)| (key, value.into())).collect();
            let text = serde_json::to_string_pretty(&object).unwrap();
            let mut event: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&formatted(&text)).unwrap();
            prop_assert_eq!(event.remove("@devo_pulling_id"), Some("1234".into()));
            prop_assert_eq!(event, object);
        }
    }
}
