//! A scanner that finds values in JSON text without building a tree, so that what is found can be forwarded
//! byte for byte.
//!
//! It checks structure strictly and leaves the inside of strings and the spelling of numbers alone: ids that
//! look like numbers, integers beyond 2^53, duplicate keys, lone surrogates and invalid UTF-8 all pass
//! through as they came. Whoever needs a value's meaning takes its text from here and parses that one value.

use std::borrow::Cow;

mod block;
mod scanner;

pub(crate) use block::next_special;
pub use scanner::{Key, Pass, Scanner};

/// Why a text is not JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where in the text, in bytes from its start.
    pub offset: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl std::fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "expected {} at byte {}", self.expected, self.offset)
    }
}

impl std::error::Error for SyntaxError {}

/// Checks that `text` is exactly one JSON value and returns it without the white space around it.
pub fn document(text: &[u8]) -> Pass<&[u8]> {
    let mut scanner = Scanner::document(text);
    let value = scanner.value(0)?;
    scanner.end()?;
    Ok(value)
}

/// Calls `visit` with every member of the object that `text` holds: the key as it is written, without its
/// quotes, and the value's text. Returns whether `text` is an object.
///
/// `text` is a value that [`document`] or a visitor has handed out.
pub fn members<'a>(text: &'a [u8], mut visit: impl FnMut(&'a [u8], &'a [u8])) -> bool {
    let mut scanner = Scanner::new(text);
    let member = |scanner: &mut Scanner<'a>, key: Key<'a>| {
        visit(key.text, scanner.value(1)?);
        Ok(())
    };
    scanner.peek() == Some(b'{') && scanner.object(0, member).is_ok()
}

/// Calls `visit` with every element of the array that `text` holds. Returns whether `text` is an array.
///
/// `text` is a value that [`document`] or a visitor has handed out.
pub fn elements<'a>(text: &'a [u8], mut visit: impl FnMut(&'a [u8])) -> bool {
    let mut scanner = Scanner::new(text);
    let element = |scanner: &mut Scanner<'a>| {
        visit(scanner.value(1)?);
        Ok(())
    };
    scanner.peek() == Some(b'[') && scanner.array(0, element).is_ok()
}

/// The value to which `pointer` leads, if there is one. Where a key stands more than once the last one
/// counts, as in nearly every parser.
pub fn find<'a>(text: &'a [u8], pointer: &Pointer) -> Option<&'a [u8]> {
    follow(text, &pointer.0)
}

/// The value to which the steps of a pointer lead from here.
pub fn follow<'a>(text: &'a [u8], steps: &[String]) -> Option<&'a [u8]> {
    steps.iter().try_fold(text, |value, step| {
        let mut found = None;
        match value.first() {
            Some(b'{') => {
                members(value, |key, member| {
                    if is_key(key, step) {
                        found = Some(member);
                    }
                });
            }
            Some(b'[') => {
                let index: usize = step.parse().ok()?;
                let mut position = 0;
                elements(value, |element| {
                    if position == index {
                        found = Some(element);
                    }
                    position += 1;
                });
            }
            _ => {}
        }
        found
    })
}

/// Whether a key, as it is written, is `name`: many servers write letters beyond ASCII as escapes.
pub fn is_key(key: &[u8], name: &str) -> bool {
    key == name.as_bytes()
        || (key.contains(&b'\\')
            && serde_json::from_slice::<String>(&[b"\"", key, b"\""].concat()).is_ok_and(|key| key == name))
}

/// Where a value sits in a document: a JSON pointer (RFC 6901), `/data` or `/event_details/id`; empty for the
/// whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Reads the text of a JSON pointer. `None` if it is neither empty nor starts with a slash.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(Vec::new()));
        }
        let steps = text.strip_prefix('/')?;
        Some(Self(steps.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect()))
    }

    /// All of its steps; none if it leads to the whole.
    pub(crate) fn all_steps(&self) -> &[String] {
        &self.0
    }

    /// Its first step and those behind it; `None` if it leads to the whole.
    pub fn steps(&self) -> Option<(&str, &[String])> {
        self.0.split_first().map(|(first, rest)| (first.as_str(), rest))
    }
}

/// Appends `value` to `out` on one line, without the white space between its tokens.
///
/// Line breaks that stand raw inside a string, which JSON forbids but servers send, become `\n` and `\r`: a
/// raw one would end the event on the wire. Everything else inside strings is copied as it is.
pub fn append_compact(value: &[u8], out: &mut Vec<u8>) {
    out.reserve(value.len());
    let mut at = 0;
    while at < value.len() {
        let start = at;
        if value[at] == b'"' {
            at += string_length(&value[at..]);
            append_string(&value[start..at], out);
        } else if is_white_space(value[at]) {
            at += 1;
        } else {
            at += value[at..].iter().take_while(|&&byte| byte != b'"' && !is_white_space(byte)).count();
            out.extend_from_slice(&value[start..at]);
        }
    }
}

fn append_string(string: &[u8], out: &mut Vec<u8>) {
    let mut rest = string;
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(if rest[at] == b'\n' { b"\\n" } else { b"\\r" });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// The text of a string or of any other scalar: what stands between the quotes, escapes resolved, or the
/// token itself. A string that can't be resolved (invalid UTF-8, lone surrogates) is given as it is written.
pub fn scalar_text(value: &[u8]) -> Cow<'_, str> {
    if value.first() == Some(&b'"') {
        text(value).unwrap_or_else(|| String::from_utf8_lossy(&value[1..value.len() - 1]))
    } else {
        String::from_utf8_lossy(value)
    }
}

/// What a string says, if it is a text: valid UTF-8 without half surrogate pairs and raw control characters.
pub fn text(string: &[u8]) -> Option<Cow<'_, str>> {
    let inside = string.get(1..string.len().checked_sub(1)?)?;
    if !is_plain(inside) {
        return serde_json::from_slice(string).ok().map(Cow::Owned);
    }
    std::str::from_utf8(inside).ok().map(Cow::Borrowed)
}

/// Whether a text is the same within the quotes of a string as without them.
pub(crate) fn is_plain(text: &[u8]) -> bool {
    // All of them are looked at, whatever is found: so it is done for many at once.
    text.iter().fold(true, |all, &byte| all & (byte >= b' ' && byte != b'\\' && byte != b'"'))
}

fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The length of the string that starts `text`, both quotes included; all of `text` where the closing one is
/// missing.
fn string_length(text: &[u8]) -> usize {
    let mut scanner = Scanner::new(text);
    // Where the end is missing, all of the text has been passed.
    let _ = scanner.string();
    scanner.at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(|number| serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number)),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn compact(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        append_compact(text, &mut out);
        out
    }

    proptest! {
        #[test]
        fn pretty_printed_json_comes_out_as_its_compact_form(value in json()) {
            let pretty = serde_json::to_vec_pretty(&value).unwrap();
            let value_text = document(&pretty).unwrap();
            prop_assert_eq!(compact(value_text), serde_json::to_vec(&value).unwrap());
        }

        #[test]
        fn every_document_that_serde_takes_is_taken(value in json()) {
            let text = serde_json::to_vec(&value).unwrap();
            prop_assert_eq!(document(&text).unwrap(), &text[..]);
        }

        #[test]
        fn a_truncated_array_is_never_taken(value in json(), cut in any::<prop::sample::Index>()) {
            let text = serde_json::to_vec(&serde_json::json!([value])).unwrap();
            prop_assert!(document(&text[..cut.index(text.len())]).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(value) = document(&bytes) {
                find(value, &Pointer::parse("/a/0").unwrap());
                compact(value);
            }
        }

        #[test]
        fn a_member_is_found_where_serde_finds_it(value in json(), key in "[a-c]", other in "[a-c]") {
            let text = serde_json::to_vec(&serde_json::json!({"x": {(key.clone()): value}})).unwrap();
            let pointer = format!("/x/{other}");
            let found = find(&text, &Pointer::parse(&pointer).unwrap()).map(|found| serde_json::from_slice::<Value>(found).unwrap());
            let tree: Value = serde_json::from_slice(&text).unwrap();
            prop_assert_eq!(found.as_ref(), tree.pointer(&pointer));
        }
    }

    #[test]
    fn numbers_and_duplicate_keys_keep_their_spelling() {
        let text = br#" { "a" : 1.0 , "a" : 00000000000000000000000000000000000000000 , "b" : 3e7 , "c":12345678901234567890123456789012345678901234567890 } "#;
        let value = document(text).unwrap();
        assert_eq!(
            compact(value),
            br#"{"a":1.0,"a":00000000000000000000000000000000000000000,"b":3e7,"c":12345678901234567890123456789012345678901234567890}"#
        );
    }

    #[test]
    fn a_raw_line_break_in_a_string_stays_on_one_line() {
        let value = document(b"{\"a\":\"one\ntwo\r\"}").unwrap();
        assert_eq!(compact(value), br#"{"a":"one\ntwo\r"}"#);
    }

    #[test]
    fn invalid_utf8_and_lone_surrogates_pass_through() {
        let text = b"{\"a\":\"\xff\\ud800\\u0000\"}";
        assert_eq!(compact(document(text).unwrap()), text);
    }

    #[test]
    fn a_key_that_is_written_with_escapes_is_found() {
        let pointer = Pointer::parse("/événement/id").unwrap();
        assert_eq!(find(br#"{"\u00e9v\u00e9nement":{"i\u0064":1}}"#, &pointer), Some(&b"1"[..]));
    }

    #[test]
    fn nesting_without_end_is_refused_and_not_followed() {
        let text = vec![b'['; 100_000];
        assert_eq!(document(&text).unwrap_err().expected, "fewer nested arrays and objects");
    }

    #[test]
    fn a_string_that_ends_in_an_escaped_quote_is_not_closed() {
        assert!(document(br#""abc\""#).is_err());
        assert!(document(br#""abc\\""#).is_ok());
        assert!(document(br#"""#).is_err());
    }
}
