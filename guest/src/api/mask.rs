//! Hides what looks like a credential in a foreign text that is shown to the operator: servers repeat the
//! headers of a request they refuse. The host takes the exact token out of an error's body before it comes
//! here; this is for the rest, and for platforms that don't.

/// What stands in place of a credential.
const MASK: &str = "***";

/// Names of members and headers whose value is a credential, wherever they are part of a longer one.
const NAMES: [&str; 6] = ["token", "authorization", "apikey", "secret", "password", "credential"];

/// What a header may have before its credential.
const SCHEMES: [&str; 4] = ["bearer", "basic", "token", "apikey"];

/// What follows "Bearer" where it is spoken of and not sent.
const WORDS: [&str; 6] = ["token", "auth", "authentication", "authorization", "scheme", "credentials"];

/// The text without credentials, as far as their place tells.
pub(super) fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_of_name) {
        let (before, from_name) = rest.split_at(start);
        let (name, after) = from_name.split_at(length(from_name, is_of_name));
        out.push_str(before);
        out.push_str(name);
        rest = match secret(name, after) {
            Some(Secret { before, after }) => {
                out.push_str(before);
                out.push_str(MASK);
                after
            }
            None => after,
        };
    }
    out + rest
}

/// A credential: what stands between the name and it, and what follows.
struct Secret<'a> {
    before: &'a str,
    after: &'a str,
}

fn secret<'a>(name: &str, after: &'a str) -> Option<Secret<'a>> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    if plain == "bearer" {
        return sent(after);
    }
    if NAMES.iter().any(|known| plain.contains(known)) { value(after) } else { None }
}

/// The credential after the word "Bearer".
fn sent(after: &str) -> Option<Secret<'_>> {
    let blanks = length(after, |character| character == ' ');
    let found = length(&after[blanks..], is_of_value);
    let word = after[blanks..blanks + found].trim_end_matches(['.', ':', '!']).to_ascii_lowercase();
    let is_sent = blanks > 0 && !word.is_empty() && !WORDS.contains(&&*word);
    is_sent.then(|| split(after, blanks, found))
}

/// The value of a member or header whose name says that it is a credential.
fn value(after: &str) -> Option<Secret<'_>> {
    let mut at = length(after, |character| matches!(character, '"' | '\'' | '\\' | ' '));
    let separator = after[at..].chars().next().filter(|character| matches!(character, ':' | '='))?;
    at += separator.len_utf8();
    at += length(&after[at..], |character| matches!(character, '>' | ' '));
    let opening = length(&after[at..], |character| matches!(character, '"' | '\'' | '\\'));
    if opening > 0 {
        let quote = after[at..].chars().find(|character| *character != '\\')?;
        at += opening;
        return Some(split(after, at, quoted(&after[at..], quote)));
    }
    let word = length(&after[at..], is_of_value);
    let value = &after[at..at + word];
    if SCHEMES.contains(&&*value.to_ascii_lowercase()) {
        at += word;
        at += length(&after[at..], |character| character == ' ');
        return Some(split(after, at, length(&after[at..], is_of_value)));
    }
    // "Invalid token: must not be empty" is worth reading.
    let is_word = separator == ':' && value.chars().all(char::is_alphabetic);
    (!is_word && word > 0).then(|| split(after, at, word))
}

/// How long a value is whose opening quote has been passed: up to its closing one, if it has one.
fn quoted(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    let end = text.find(|character| {
        let is_end = character == quote && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        is_end
    });
    end.unwrap_or(text.len())
}

fn split(text: &str, start: usize, length: usize) -> Secret<'_> {
    Secret { before: &text[..start], after: &text[start + length..] }
}

/// How far characters of this kind go.
fn length(text: &str, kind: impl Fn(char) -> bool) -> usize {
    text.find(|character| !kind(character)).unwrap_or(text.len())
}

fn is_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-')
}

fn is_of_value(character: char) -> bool {
    !matches!(character, ' ' | '"' | '\'' | '\\' | '<' | '>' | ',' | ';' | '&' | '(' | ')' | '[' | ']' | '{' | '}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_as_a_bearer_is_hidden() {
        for (text, shown) in [
            ("Authorization: Bearer s3cr.et-/+=~_", "Authorization: Bearer ***"),
            ("authorization: bearer  s3cret, and more", "authorization: bearer  ***, and more"),
            ("you sent 'Bearer s3cret' to us", "you sent 'Bearer ***' to us"),
            ("<p>BEARER s3cret</p>", "<p>BEARER ***</p>"),
            (r#"{"header":"Bearer s3cret"}"#, r#"{"header":"Bearer ***"}"#),
            ("Bearer abcdef", "Bearer ***"),
        ] {
            assert_eq!(masked(text), shown);
        }
    }

    #[test]
    fn a_member_with_the_name_of_a_credential_is_hidden() {
        for (text, shown) in [
            (r#"{"token":"s3cret","page":2}"#, r#"{"token":"***","page":2}"#),
            (r#"{"X-Api-Key" : "s3cret"}"#, r#"{"X-Api-Key" : "***"}"#),
            (r#"{"Authorization":["Bearer s3cret"]}"#, r#"{"Authorization":["Bearer ***"]}"#),
            (r#"{"access_token":"s3\"cret","a":1}"#, r#"{"access_token":"***","a":1}"#),
            (r#"{"text":"{\"apiKey\":\"s3cret\"}"}"#, r#"{"text":"{\"apiKey\":\"***"}"#),
            ("{'api_key': 's3cret'}", "{'api_key': '***'}"),
            ("?token=secretly&page=1", "?token=***&page=1"),
            ("X-Api-Key: s3cret; Accept: */*", "X-Api-Key: ***; Accept: */*"),
            ("Authorization: Token abcdef", "Authorization: Token ***"),
            ("'token' => 's3cret'", "'token' => '***'"),
            (r#"{"token":"cut off he"#, r#"{"token":"***"#),
        ] {
            assert_eq!(masked(text), shown);
        }
    }

    #[test]
    fn what_speaks_of_credentials_is_shown() {
        for text in [
            "Bearer token is missing",
            "Missing Bearer authentication.",
            "Invalid token: must not be empty",
            r#"{"code":"INVALID_TOKEN","message":"The token has expired"}"#,
            r#"{"token":null}"#,
            "forbearer of news",
            "Bearer",
            "token:",
            "?token=&page=1",
            "é token é",
            "",
        ] {
            assert_eq!(masked(text), text);
        }
    }
}
