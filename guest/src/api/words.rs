//! The API's own words in an answer that is no page: the best diagnosis there is, cut to what fits on a line
//! of the log.

use alert_records::json::{self, Pointer};

use super::mask::masked;

/// Of an answer, this much is shown to the operator.
const SHOWN_CHARACTERS: usize = 200;

/// Of an answer, this much is looked at: a page of 64 MiB that can't be read is not worth a copy.
const READ_IN_BYTES: usize = 64 * 1024;

/// The beginning of a body on one line, with dots where it goes on, without credentials.
pub(super) fn beginning(body: &[u8]) -> String {
    let read = &body[..body.len().min(READ_IN_BYTES)];
    cut(&masked(&one_line(&String::from_utf8_lossy(read))), read.len() < body.len())
}

/// What the body of an error says, as a sentence to go on with; empty where it says nothing. `secrets` are
/// left out of it.
pub(super) fn said(body: &[u8], secrets: &[&str]) -> String {
    let words = if body.len() <= READ_IN_BYTES { envelope(body, secrets) } else { None };
    let words = words.unwrap_or_else(|| {
        let read = String::from_utf8_lossy(&body[..body.len().min(READ_IN_BYTES)]);
        masked(&without(one_line(&read), secrets))
    });
    if words.is_empty() { String::new() } else { format!(" The API says: \"{}\".", cut(&words, false)) }
}

/// What the documented envelope of an error says: `code: message`, and the details where there are any.
fn envelope(body: &[u8], secrets: &[&str]) -> Option<String> {
    let body = json::document(body).ok()?;
    let find = |place| json::find(body, &Pointer::parse(place)?).filter(|value| *value != b"null");
    // Each by itself: behind "INVALID_TOKEN: " no credential follows.
    let shown = |text: &str| masked(&without(one_line(text), secrets));
    let scalar = |place| {
        let value = find(place).filter(|value| !matches!(value.first(), Some(b'{' | b'[')))?;
        Some(shown(&json::scalar_text(value))).filter(|text| !text.is_empty())
    };
    let mut words = match (scalar("/error/code"), scalar("/error/message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (code, message) => code.or(message)?,
    };
    if let Some(details) = find("/error/details").map(details).filter(|text| !text.is_empty()) {
        words.push_str(&format!(" ({})", shown(&details)));
    }
    Some(words)
}

fn details(value: &[u8]) -> String {
    let mut compact = Vec::new();
    json::append_compact(value, &mut compact);
    match &compact[..] {
        b"{}" | b"[]" => String::new(),
        compact => json::scalar_text(compact).into_owned(),
    }
}

fn without(text: String, secrets: &[&str]) -> String {
    let secrets = secrets.iter().filter(|secret| !secret.is_empty());
    secrets.fold(text, |text, secret| text.replace(secret, "***"))
}

/// Runs of white space and of what can't be seen become one blank.
fn one_line(text: &str) -> String {
    let words = text.split(|character: char| character.is_whitespace() || is_unseen(character));
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Control characters, and those that turn a line around or have no width: they could make a log show what is
/// not there.
fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn cut(text: &str, goes_on: bool) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None if goes_on => format!("{text}.."),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(body: &str) -> String {
        said(body.as_bytes(), &[])
    }

    #[test]
    fn an_error_in_the_documented_form_is_its_code_and_message() {
        for (body, shown) in [
            (
                r#"{"success":false,"error":{"code":"BAD_REQUEST","message":"limit must not be greater than 50","details":null}}"#,
                "BAD_REQUEST: limit must not be greater than 50",
            ),
            (r#"{"error":{"message":"no\tsuch\n\npage"}}"#, "no such page"),
            (r#"{"error":{"code":4001,"message":""}}"#, "4001"),
            (r#"{"error":{"code":"X","message":"y","details":{}}}"#, "X: y"),
            (
                r#"{"error":{"code":"X","message":"y","details":{"limit": ["too large"]}}}"#,
                r#"X: y ({"limit":["too large"]})"#,
            ),
            (r#"{"error":{"code":"INVALID_TOKEN","message":"a1 expired"}}"#, "INVALID_TOKEN: a1 expired"),
        ] {
            assert_eq!(words(body), format!(" The API says: \"{shown}\"."));
        }
    }

    #[test]
    fn anything_else_is_shown_as_it_begins() {
        for (body, shown) in [
            ("<html>\r\n <h1>403</h1>\u{202e}\u{1b}[31m</html>", "<html> <h1>403</h1> [31m</html>"),
            (r#"{"error":"invalid_request"}"#, r#"{"error":"invalid_request"}"#),
            (r#"{"error":{"code":{"a":1}}}"#, r#"{"error":{"code":{"a":1}}}"#),
            (r#"{"error":{"code":"cut"#, r#"{"error":{"code":"cut"#),
        ] {
            assert_eq!(words(body), format!(" The API says: \"{shown}\"."));
        }
        assert_eq!(words(" \r\n\0"), "");
        assert_eq!(said(b"\xff\xfe", &[]), " The API says: \"\u{fffd}\u{fffd}\".");
    }

    #[test]
    fn no_more_than_200_characters_are_shown() {
        let long = "é".repeat(201);
        let envelope = format!(r#"{{"error":{{"code":"X","message":"{long}"}}}}"#);
        assert_eq!(words(&long), format!(" The API says: \"{}..\".", "é".repeat(200)));
        assert_eq!(words(&envelope), format!(" The API says: \"X: {}..\".", "é".repeat(197)));
        assert_eq!(beginning(&vec![b'x'; 1 << 20]), format!("{}..", "x".repeat(200)));
        assert_eq!(beginning(&vec![b' '; 1 << 20]), "..");
        assert_eq!(beginning("é".repeat(200).as_bytes()), "é".repeat(200));
    }

    #[test]
    fn a_credential_is_never_shown() {
        let secrets = ["key=sesame", "sesame"];
        for body in [
            r#"{"error":{"code":"X","message":"you sent sesame and key=sesame","details":["Bearer s3cret"]}}"#,
            r#"{"error":{"message":"you sent \u0073esame","details":{"token":"s3cret"}}}"#,
            "GET / sesame Bearer s3cret",
        ] {
            let words = said(body.as_bytes(), &secrets);
            assert!(!words.contains("sesame") && !words.contains("s3cret") && words.contains("***"), "{words}");
        }
        assert!(!beginning(b"{\"headers\":{\"Authorization\":\"Bearer s3cret\"}}").contains("s3cret"));
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_one_short_line(body in prop::collection::vec(any::<u8>(), 0..600), text in any::<String>()) {
            for body in [&body[..], text.as_bytes()] {
                for shown in [said(body, &["secret"]), beginning(body)] {
                    prop_assert!(!shown.contains(is_unseen) && shown.chars().count() <= 222, "{}", shown);
                }
            }
        }
    }
}
