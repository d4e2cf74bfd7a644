//! What an alert is known by.

use std::borrow::Cow;
use std::hash::Hasher;

use siphasher::{sip, sip128};

use crate::json;
use crate::record::Record;

/// What the key of an id begins with that is a text, and looks like the key of something else.
pub const TEXT: &str = "text:";

/// What the key of an id that is a number begins with.
pub const NUMBER: &str = "number:";

/// What an alert is known by: the text of its id, or a digest of its content where it has no id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key<'a> {
    text: Cow<'a, str>,
    /// What stands for it within the quotes of a JSON string, if that is another text.
    escaped: Option<Vec<u8>>,
    digest: u64,
    /// Whether it stands for the content.
    is_content: bool,
}

impl<'a> Key<'a> {
    fn new(text: Cow<'a, str>, is_content: bool) -> Self {
        let escaped = escaped(&text);
        let digest = digest(escaped.as_deref().unwrap_or(text.as_bytes()));
        Self { text, escaped, digest, is_content }
    }

    /// The key of a record.
    pub fn of(record: &Record<'a>) -> Self {
        match record.id.and_then(id_key) {
            Some(id) => Self::new(id, false),
            None => Self::new(Cow::Owned(content_digest(record.text)), true),
        }
    }

    /// The key of a record that is not JSON: it stands for the bytes as they came.
    pub fn of_bytes(record: &[u8]) -> Self {
        Self::new(Cow::Owned(long_digest(ODD, record)), false)
    }

    /// A key as it stands in the persisted state.
    pub fn stored(text: &'a str) -> Self {
        Self::new(Cow::Borrowed(text), text.starts_with(CONTENT))
    }

    /// The key as it stands in the persisted state, different for different keys.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The key as it is written within the quotes of a JSON string.
    pub fn written(&self) -> &[u8] {
        self.escaped.as_deref().unwrap_or(self.text.as_bytes())
    }

    /// The [`digest`] of the key as it is written.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Whether the alert has no id, and is known by its content.
    pub fn is_content(&self) -> bool {
        self.is_content
    }
}

/// 64 bits of a key as it is written.
pub fn digest(key: &[u8]) -> u64 {
    let mut hasher = sip::SipHasher13::new();
    hasher.write(key);
    hasher.finish()
}

/// 64 bits of a key as it is written, which nobody can foresee who doesn't have the two numbers of `key`: a
/// source can't make up records whose digests meet. Never 0, which stands for none.
pub fn keyed_digest(key: (u64, u64), written: &[u8]) -> u64 {
    let mut hasher = sip::SipHasher13::new_with_keys(key.0, key.1);
    hasher.write(written);
    hasher.finish().max(1)
}

/// The text within the quotes of a JSON string, if it has to be another one there.
fn escaped(text: &str) -> Option<Vec<u8>> {
    if json::is_plain(text.as_bytes()) {
        return None;
    }
    let string = serde_json::Value::from(text).to_string();
    Some(string.as_bytes()[1..string.len() - 1].to_vec())
}

/// What the key of a content begins with.
const CONTENT: &str = "content:";

/// What the key of a record begins with that is not JSON.
const ODD: &str = "odd:";

/// What keys of all other kinds begin with.
const KINDS: [&str; 5] = [NUMBER, CONTENT, ODD, "written:", TEXT];

/// The key of an id: a string's text, a number as it is written. A number and a string of the same text
/// differ, and so do an id and the digest of a content: whoever mixes them up loses an alert. A string that
/// has no text (invalid UTF-8, lone surrogates) is known by its bytes, as others have the same ones replaced.
fn id_key(value: &[u8]) -> Option<Cow<'_, str>> {
    match value.first()? {
        b'"' if value.len() > 2 => Some(match json::text(value) {
            Some(text) => text_key(text),
            None => Cow::Owned(format!("written:{}", value.escape_ascii())),
        }),
        b'-' | b'0'..=b'9' => Some(Cow::Owned(format!("{NUMBER}{}", json::scalar_text(value)))),
        _ => None,
    }
}

/// The key of an id that is a text: the text itself, but never like the key of something else.
fn text_key(text: Cow<'_, str>) -> Cow<'_, str> {
    if KINDS.iter().any(|kind| text.starts_with(kind)) { Cow::Owned(format!("{TEXT}{text}")) } else { text }
}

/// 128 bits of the record's compact text: enough that two records of one tenant don't meet by chance.
fn content_digest(text: &[u8]) -> String {
    let mut compact = Vec::with_capacity(text.len());
    json::append_compact(text, &mut compact);
    long_digest(CONTENT, &compact)
}

fn long_digest(kind: &str, bytes: &[u8]) -> String {
    let mut hasher = sip128::SipHasher13::new();
    hasher.write(bytes);
    format!("{kind}{:032x}", sip128::Hasher128::finish128(&hasher).as_u128())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with_id(id: &[u8]) -> String {
        Key::of(&Record { text: id, id: Some(id), ..Record::default() }).as_str().to_owned()
    }

    #[test]
    fn a_record_that_is_not_json_is_known_by_its_bytes() {
        let key = Key::of_bytes(b"{\"id\":NaN}");
        assert_eq!(key, Key::of_bytes(b"{\"id\":NaN}"));
        assert_ne!(key, Key::of_bytes(b"{\"id\": NaN}"));
        assert_eq!(Key::stored(key.as_str()), key);
        assert!(!key.is_content());
    }

    #[test]
    fn the_key_of_bytes_is_never_the_key_of_something_else() {
        let key = Key::of_bytes(b"1");
        let content = Key::of(&Record { text: b"1", ..Record::default() });
        assert_ne!(key.as_str(), content.as_str());
        assert_ne!(key.as_str(), with_id(b"1"));
        assert_ne!(key.as_str(), with_id(format!("\"{}\"", key.as_str()).as_bytes()));
    }

    proptest! {
        #[test]
        fn a_keyed_digest_depends_on_both_numbers_and_the_text(key: (u64, u64), other: (u64, u64), text: Vec<u8>) {
            let digest = keyed_digest(key, &text);
            prop_assert_eq!(digest, keyed_digest(key, &text));
            prop_assert_ne!(digest, 0);
            prop_assert_ne!(digest, keyed_digest((key.0 ^ 1, key.1), &text));
            prop_assert_ne!(digest, keyed_digest((key.0, key.1 ^ 1), &text));
            prop_assert_ne!(digest, keyed_digest(key, &[&text[..], b"x"].concat()));
            prop_assert!(key == other || digest != keyed_digest(other, &text));
        }
    }
}
