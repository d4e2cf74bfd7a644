//! Masks in an alert what the operator does not want to leave.
//!
//! It fails closed. Each rule applies on its own; what a path leads to is hidden whatever its type; what
//! can't be read is hidden whole. Only a `null` stays, having nothing to hide. A record is never written
//! anew: masks are put in the places that the scanner finds, and every other byte is forwarded as it came.

mod rule;

#[cfg(test)]
mod properties;

#[cfg(any(test, fuzzing))]
pub(crate) mod tree;

use std::borrow::Cow;
use std::iter;
use std::ops::Range;

use alert_records::json;
use serde::Deserializer as _;
use serde_json::Value;

pub use self::rule::RuleError;
use self::rule::{Rule, Step};

/// Stands in for a string, or for the matches within it, and for an array or object.
const MASK: &str = "****SANITIZED****";

/// What is to be masked: the setting `obfuscation_data`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Reads the rules from their JSON text. A rule that can't work is an error, not a rule that is left out.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        rule::parse(text).map(Self)
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The record with its masks, or `None` if the rules change nothing in it.
    ///
    /// A text that is not one JSON value can't be searched, so all of it is masked.
    pub fn apply(&self, record: &[u8]) -> Option<Vec<u8>> {
        if self.is_empty() {
            return None;
        }
        let Ok(value) = json::document(record) else {
            return Some(Value::from(MASK).to_string().into_bytes());
        };
        let paths: Vec<_> = self.0.iter().map(|rule| Path { rule, steps: &rule.path }).collect();
        let mut masks = Vec::new();
        find(value, &paths, &mut masks);
        if masks.is_empty() { None } else { Some(splice(record, &masks)) }
    }
}

/// A rule on its way through a record, and the steps that are still to be taken.
#[derive(Clone, Copy)]
struct Path<'r> {
    rule: &'r Rule,
    steps: &'r [Step],
}

/// A value in the record, and what takes its place.
type Mask<'a> = (&'a [u8], String);

/// Takes all paths through `value` at once, and collects the masks in the order of the text. Where a path
/// ends the others are not followed any further: a mask covers all that is inside it.
fn find<'a>(value: &'a [u8], paths: &[Path<'_>], masks: &mut Vec<Mask<'a>>) {
    let ending: Vec<&Rule> = paths.iter().filter(|path| path.steps.is_empty()).map(|path| path.rule).collect();
    if !ending.is_empty() {
        if let Some(mask) = mask(value, &ending).filter(|mask| mask.as_bytes() != value) {
            masks.push((value, mask));
        }
        return;
    }
    json::members(value, |key, member| {
        let key = resolved(key);
        follow(member, paths, |step| step.is_key(key.as_deref()), masks);
    });
    let mut position = 0;
    json::elements(value, |element| {
        follow(element, paths, |step| step.is_index(position), masks);
        position += 1;
    });
}

fn follow<'a>(value: &'a [u8], paths: &[Path<'_>], is_next: impl Fn(&Step) -> bool, masks: &mut Vec<Mask<'a>>) {
    let onward: Vec<_> = paths
        .iter()
        .filter_map(|path| {
            let (step, steps) = path.steps.split_first()?;
            is_next(step).then_some(Path { rule: path.rule, steps })
        })
        .collect();
    if !onward.is_empty() {
        find(value, &onward, masks);
    }
}

/// What takes the place of `value`, to which all of `rules` lead; `None` if it stays.
fn mask(value: &[u8], rules: &[&Rule]) -> Option<String> {
    if value == b"null" {
        return None;
    }
    let text = decoded(value).and_then(|text| String::from_utf8(text).ok());
    // As if the rules were applied one after the other: the last one that masks the whole counts.
    match (text, rules.iter().rev().find(|rule| rule.patterns.is_empty())) {
        (Some(text), None) => matches_masked(&text, rules).map(|text| Value::from(text).to_string()),
        (_, Some(rule)) => Some(whole_mask(value, rule)),
        (None, None) => rules.last().map(|rule| whole_mask(value, rule)),
    }
}

fn whole_mask(value: &[u8], rule: &Rule) -> String {
    match (&rule.value, value.first()) {
        (Some(mask), _) => mask.to_string(),
        (None, Some(b't' | b'f')) => "false".to_owned(),
        (None, Some(b'-' | b'0'..=b'9')) if value.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) => {
            "-1.0".to_owned()
        }
        (None, Some(b'-' | b'0'..=b'9')) => "-1".to_owned(),
        (None, _) => Value::from(MASK).to_string(),
    }
}

/// `text` without what the rules' patterns match; `None` if they match nothing.
///
/// Each pattern looks at the original text: after another one's mask it might not find what it is meant to
/// hide. Matches that overlap become one mask, that of the first rule among them. Python's `$` also matches
/// before a line break that ends the text, so a text with one is searched without it too.
fn matches_masked(text: &str, rules: &[&Rule]) -> Option<String> {
    let mut matches: Vec<(Range<usize>, usize)> = Vec::new();
    for (order, rule) in rules.iter().enumerate() {
        for pattern in &rule.patterns {
            for text in iter::once(text).chain(text.strip_suffix('\n')) {
                matches.extend(pattern.matches(text).into_iter().map(|range| (range, order)));
            }
        }
    }
    matches.sort_unstable_by_key(|(range, order)| (range.start, *order));
    matches.dedup_by(|(next, next_order), (range, order)| {
        let overlap = next.start < range.end;
        if overlap {
            range.end = range.end.max(next.end);
            *order = (*order).min(*next_order);
        }
        overlap
    });
    if matches.is_empty() {
        return None;
    }
    let mut masked = String::with_capacity(text.len());
    let mut copied = 0;
    for (range, order) in matches {
        masked.push_str(&text[copied..range.start]);
        masked.push_str(rules[order].value.as_ref().and_then(Value::as_str).unwrap_or(MASK));
        copied = range.end;
    }
    masked.push_str(&text[copied..]);
    Some(masked)
}

/// Puts each mask in the place of its value, which is a part of `record`.
fn splice(record: &[u8], masks: &[Mask<'_>]) -> Vec<u8> {
    let mut masked = Vec::with_capacity(record.len());
    let mut copied = 0;
    for (value, mask) in masks {
        let start = value.as_ptr().addr() - record.as_ptr().addr();
        masked.extend_from_slice(&record[copied..start]);
        masked.extend_from_slice(mask.as_bytes());
        copied = start + value.len();
    }
    masked.extend_from_slice(&record[copied..]);
    masked
}

/// A key without its escapes; `None` if it has one that JSON doesn't know.
fn resolved(key: &[u8]) -> Option<Cow<'_, [u8]>> {
    if key.contains(&b'\\') { decoded(&[b"\"", key, b"\""].concat()).map(Cow::Owned) } else { Some(Cow::Borrowed(key)) }
}

/// What a string holds, as bytes: neither invalid UTF-8 nor a lone surrogate is in the way. `None` if `value`
/// is no string, or has an escape that JSON doesn't know.
fn decoded(value: &[u8]) -> Option<Vec<u8>> {
    serde_json::Deserializer::from_slice(value).deserialize_bytes(Bytes).ok()
}

struct Bytes;

impl serde::de::Visitor<'_> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn masked(rules: &Value, record: &str) -> String {
        let masked = Rules::parse(&rules.to_string()).unwrap().apply(record.as_bytes());
        masked.map_or(record.to_owned(), |masked| String::from_utf8(masked).unwrap())
    }

    fn masked_bytes(rules: &Value, record: &[u8]) -> Vec<u8> {
        Rules::parse(&rules.to_string()).unwrap().apply(record).unwrap_or(record.to_vec())
    }

    #[test]
    fn each_type_has_its_mask() {
        let record = r#"{"s":"x","i":7,"n":-7,"f":1.50,"e":3e7,"t":true,"b":false,"z":null}"#;
        assert_eq!(
            masked(&json!([{"name": "*"}]), record),
            r#"{"s":"****SANITIZED****","i":-1,"n":-1,"f":-1.0,"e":-1.0,"t":false,"b":false,"z":null}"#
        );
    }

    #[test]
    fn a_path_that_leads_to_a_list_is_masked_whole() {
        assert_eq!(masked(&json!([{"name": ["a"]}]), r#"{"a":["x",1]}"#), r#"{"a":"****SANITIZED****"}"#);
    }

    #[test]
    fn a_path_that_leads_to_an_object_is_masked_whole() {
        assert_eq!(masked(&json!([{"name": ["a"], "value": 0}]), r#"{"a":{"b":"x"}}"#), r#"{"a":0}"#);
    }

    #[test]
    fn zero_and_the_empty_string_are_values() {
        for value in [json!(0), json!(""), json!(false), json!(null), json!(1.5)] {
            assert_eq!(masked(&json!([{"name": "a", "value": value}]), r#"{"a":"x"}"#), format!(r#"{{"a":{value}}}"#));
        }
    }

    #[test]
    fn a_path_that_leads_nowhere_does_not_stop_the_other_rules() {
        let rules = json!([{"name": "none"}, {"name": ["a", "b"]}, {"name": ["z", "0"]}, {"name": "a"}]);
        assert_eq!(masked(&rules, r#"{"z":null,"a":1}"#), r#"{"z":null,"a":-1}"#);
    }

    #[test]
    fn a_record_that_no_rule_touches_is_not_written_anew() {
        let rules = json!([{"name": "b"}, {"name": "z"}, {"name": "a", "string_patterns": ["x"]}]);
        let rules = Rules::parse(&rules.to_string()).unwrap();
        assert_eq!(rules.apply(br#"{"a":"y","z":null}"#), None);
        assert_eq!(Rules::default().apply(b"no JSON"), None);
    }

    #[test]
    fn the_text_around_a_mask_keeps_its_spelling() {
        let record = b" { \"n\" : 1.0,\"n\":00 ,\t\"s\":\"\\u0041\xff\n\", \"a\" : 7 , \"n\" : 1E400 } ";
        let expected = b" { \"n\" : 1.0,\"n\":00 ,\t\"s\":\"\\u0041\xff\n\", \"a\" : -1 , \"n\" : 1E400 } ";
        assert_eq!(masked_bytes(&json!([{"name": "a"}]), record), expected);
    }

    #[test]
    fn every_member_with_the_key_is_masked() {
        assert_eq!(masked(&json!([{"name": "a"}]), r#"{"a":1,"b":2,"a":3}"#), r#"{"a":-1,"b":2,"a":-1}"#);
    }

    #[test]
    fn a_key_written_with_escapes_is_the_same_key() {
        let rules = json!([{"name": "email"}, {"name": "\u{1f600}\""}]);
        let record = r#"{"\u0065mail":1,"e\u006D\u0061il":2,"\ud83d\uDE00\"":3,"\u0045mail":4}"#;
        assert_eq!(
            masked(&rules, record),
            r#"{"\u0065mail":-1,"e\u006D\u0061il":-1,"\ud83d\uDE00\"":-1,"\u0045mail":4}"#
        );
    }

    #[test]
    fn a_key_that_can_not_be_read_might_be_any() {
        let record = r#"{"\email":1,"\u00zz":2,"\ud800":3}"#;
        assert_eq!(masked(&json!([{"name": "email"}]), record), r#"{"\email":-1,"\u00zz":-1,"\ud800":3}"#);
    }

    #[test]
    fn a_path_goes_through_arrays_by_star_and_by_index() {
        let record = r#"{"p":[{"e":1,"f":2},{"e":3}],"q":[[4,5],6]}"#;
        let rules = json!([{"name": ["p", "*", "e"]}, {"name": ["q", "0", 1]}, {"name": ["q", 9]}]);
        assert_eq!(masked(&rules, record), r#"{"p":[{"e":-1,"f":2},{"e":-1}],"q":[[4,-1],6]}"#);
    }

    #[test]
    fn only_digits_are_an_index() {
        assert_eq!(masked(&json!([{"name": "+1"}]), "[7,7]"), "[7,7]");
        assert_eq!(masked(&json!([{"name": "99999999999999999999999"}]), "[7,7]"), "[7,7]");
    }

    #[test]
    fn a_number_is_also_a_key() {
        assert_eq!(
            masked(&json!([{"name": [0]}, {"name": "1"}]), r#"{"0":7,"1":7,"00":7}"#),
            r#"{"0":-1,"1":-1,"00":7}"#
        );
    }

    #[test]
    fn the_outermost_mask_wins() {
        let rules = [json!({"name": ["a", "b"], "value": "inner"}), json!({"name": ["a"], "value": "outer"})];
        for rules in [json!([rules[0], rules[1]]), json!([rules[1], rules[0]])] {
            assert_eq!(masked(&rules, r#"{"a":{"b":1}}"#), r#"{"a":"outer"}"#);
        }
    }

    #[test]
    fn of_two_values_for_one_place_the_last_counts() {
        assert_eq!(masked(&json!([{"name": "*"}, {"name": "a", "value": 0}]), r#"{"a":"x"}"#), r#"{"a":0}"#);
    }

    #[test]
    fn only_what_a_pattern_matches_is_replaced() {
        let rules = json!([{"name": ["people", "*", "email"], "string_patterns": ["^[^@]+"]}]);
        assert_eq!(
            masked(&rules, r#"{"people":[{"email":"bob@example.com"},{"email":"@"}]}"#),
            r#"{"people":[{"email":"****SANITIZED****@example.com"},{"email":"@"}]}"#
        );
    }

    #[test]
    fn patterns_look_behind_escapes() {
        let rules = json!([{"name": "a", "value": "\"X", "string_patterns": ["bob"]}]);
        assert_eq!(masked(&rules, r#"{"a":"\u0062ob\n\"é\""}"#), r#"{"a":"\"X\n\"é\""}"#);
    }

    #[test]
    fn a_value_that_is_no_string_takes_its_default_mask_into_a_pattern() {
        let rules = json!([{"name": "a", "value": 0, "string_patterns": ["b"]}]);
        assert_eq!(masked(&rules, r#"{"a":"abc"}"#), r#"{"a":"a****SANITIZED****c"}"#);
    }

    #[test]
    fn where_patterns_meet_another_type_it_is_masked_whole() {
        let rules = json!([{"name": "*", "string_patterns": ["x"]}]);
        assert_eq!(
            masked(&rules, r#"{"a":7,"b":["y"],"c":{},"d":true,"e":null}"#),
            r#"{"a":-1,"b":"****SANITIZED****","c":"****SANITIZED****","d":false,"e":null}"#
        );
    }

    #[test]
    fn a_string_that_can_not_be_read_is_masked_whole() {
        let rules = json!([{"name": "a", "value": "#", "string_patterns": ["x"]}]);
        for text in [&b"\xff"[..], b"\\ud800", b"\\udc00\\ud800", b"\\q", b"\\u12"] {
            let record = [b"{\"a\":\"".as_slice(), text, b"\"}"].concat();
            assert_eq!(masked_bytes(&rules, &record), br##"{"a":"#"}"##, "{record:?}");
        }
    }

    #[test]
    fn a_raw_line_break_is_no_reason_to_mask_the_whole() {
        let rules = json!([{"name": "a", "value": "#", "string_patterns": ["x"]}]);
        assert_eq!(masked(&rules, "{\"a\":\"x\ny\"}"), r##"{"a":"#\ny"}"##);
    }

    #[test]
    fn patterns_of_two_rules_apply_both() {
        let rules = json!([
            {"name": "a", "value": "1", "string_patterns": ["bo"]},
            {"name": "*", "value": "2", "string_patterns": ["com", "bob@"]},
        ]);
        assert_eq!(masked(&rules, r#"{"a":"x bob@y.com"}"#), r#"{"a":"x 1y.2"}"#);
    }

    #[test]
    fn matches_that_overlap_become_the_mask_of_the_first_rule() {
        let rules = json!([
            {"name": "a", "value": "1", "string_patterns": ["bc", "e"]},
            {"name": "a", "value": "2", "string_patterns": ["abcd", "f"]},
        ]);
        assert_eq!(masked(&rules, r#"{"a":"xabcdef"}"#), r#"{"a":"x112"}"#);
    }

    #[test]
    fn a_rule_without_patterns_hides_what_patterns_leave() {
        let rules = [json!({"name": "a", "string_patterns": ["b"]}), json!({"name": "a", "value": "#"})];
        for rules in [json!([rules[0], rules[1]]), json!([rules[1], rules[0]])] {
            assert_eq!(masked(&rules, r#"{"a":"abc"}"#), r##"{"a":"#"}"##);
        }
    }

    #[test]
    fn an_empty_match_hides_nothing() {
        assert_eq!(
            masked(&json!([{"name": "a", "string_patterns": ["x*", "^", ""]}]), r#"{"a":"by"}"#),
            r#"{"a":"by"}"#
        );
    }

    #[test]
    fn patterns_mean_what_they_mean_in_python() {
        for (pattern, text, expected) in [
            (r"^\w+", "Jose@x", "#@x"),
            (r"(?i)garcia", "GARCIA x", "# x"),
            (r"\d{4}", "a 1234 5678", "a # #"),
            (r"^b.*?b$", "bob\n", "#\n"),
            (r"<[^>]+>|[]x]", "<a>] y", "## y"),
            (r"(?P<user>\w+)@", "bob@x", "#x"),
            (r"(?:a|ab)(?:c|bcd)", "abcd", "#"),
            (r"(?s)a.+?c", "a\ncc", "#c"),
            (r"\be\b", "e ee", "# ee"),
            (r"^[^@]+", "José@x", "#@x"),
            ("\\u00e9", "é", "#"),
        ] {
            let rules = json!([{"name": "a", "value": "#", "string_patterns": [pattern]}]);
            let record = json!({"a": text}).to_string();
            assert_eq!(masked(&rules, &record), json!({"a": expected}).to_string(), "{pattern}");
        }
    }

    #[test]
    fn where_a_pattern_knows_ascii_alone_another_text_is_masked_whole() {
        for (pattern, text) in [
            (r"^\w+", "José@x"),
            (r"(?i)garcía", "GARCÍA x"),
            (r"(?:a)(?mi)b", "é"),
            (r"\d{4}", "a 1234 ४५६७"),
            (r"(a|\bé\b)", "é ée"),
            (r"[\s]x", "\u{a0}x"),
        ] {
            let rules = json!([{"name": "a", "value": "#", "string_patterns": [pattern]}]);
            assert_eq!(masked(&rules, &json!({"a": text}).to_string()), r##"{"a":"#"}"##, "{pattern}");
        }
    }

    #[test]
    fn a_record_that_is_no_json_is_masked_whole() {
        for record in [&b""[..], b"{\"a\":1", b"{\"a\":1} x", b"\xff"] {
            assert_eq!(masked_bytes(&json!([{"name": "b"}]), record), br#""****SANITIZED****""#, "{record:?}");
        }
    }

    #[test]
    fn a_record_that_is_a_scalar_has_no_paths() {
        assert_eq!(masked(&json!([{"name": "*"}]), "\"text\""), "\"text\"");
    }
}
