//! A record that can't become an event, written as JSON so that nothing of it is lost: JSON as it is, other
//! text as a text, and bytes that are no text in base64. The host writes it to a file, the adapters for other
//! platforms to the log.

use serde::Serialize;
use serde_json::value::RawValue;

/// The bytes of a record as a member of a JSON object.
#[derive(Debug, Serialize)]
pub enum Content<'a> {
    /// JSON on one line.
    #[serde(rename = "event")]
    Json(&'a RawValue),
    /// Any other text, and JSON on several lines: it would break the line that it stands in.
    #[serde(rename = "event")]
    Text(&'a str),
    /// Bytes that are not UTF-8, in base64.
    #[serde(rename = "content_base64")]
    Bytes(String),
}

impl<'a> Content<'a> {
    /// The form that keeps all of these bytes.
    pub fn of(bytes: &'a [u8]) -> Self {
        let Ok(text) = std::str::from_utf8(bytes) else { return Self::Bytes(base64(bytes)) };
        match serde_json::from_str(text) {
            Ok(json) if !text.contains(['\n', '\r']) => Self::Json(json),
            _ => Self::Text(text),
        }
    }
}

#[derive(Serialize)]
struct Letter<'a> {
    dead_letter: Labels<'a>,
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Serialize)]
struct Labels<'a> {
    table: &'a str,
    reason: &'a str,
}

/// One line for a log.
pub fn line(table: &str, reason: &str, content: &[u8]) -> String {
    let letter = Letter { dead_letter: Labels { table, reason }, content: Content::of(content) };
    // Texts and JSON are always JSON.
    serde_json::to_string(&letter).unwrap_or_default()
}

/// The standard alphabet, padded (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) as usize & 63;
            text.push(if digit <= group.len() { char::from(DIGITS[index]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_as_it_is_written() {
        assert_eq!(
            line("my.app.t", "no id", b"{\"a\":1.00}"),
            r#"{"dead_letter":{"table":"my.app.t","reason":"no id"},"event":{"a":1.00}}"#
        );
    }

    #[test]
    fn what_is_not_json_or_not_one_line_is_a_text() {
        assert!(line("t", "r", b"<html>\"").ends_with(r#""event":"<html>\""}"#));
        assert!(line("t", "r", b"{\n}").ends_with(r#""event":"{\n}"}"#));
        assert!(line("t", "r", b"").ends_with(r#""event":""}"#));
    }

    #[test]
    fn bytes_that_are_no_text_are_kept_in_base64() {
        assert!(line("t", "r", &[0xff, 0xfe, b'{']).ends_with(r#""content_base64":"//57"}"#));
        for (bytes, expected) in [(&b"f"[..], "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v"), (b"foob", "Zm9vYg==")] {
            assert_eq!(base64(bytes), expected);
        }
    }
}
