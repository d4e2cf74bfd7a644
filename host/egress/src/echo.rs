//! Takes our credentials out of what a server repeats of our request. Some answer a request that they refuse
//! with its headers, and what a component reads of an error ends up in logs.

use http::HeaderValue;

/// What stands in place of a credential.
const MASK: &[u8] = b"***";

/// The longest way to write one character: `\u0041` or `&#x41;`.
const LONGEST_ESCAPE: usize = 6;

/// The credentials of one request.
#[derive(Default)]
pub(super) struct Secrets(Vec<(HeaderValue, usize)>);

impl Secrets {
    /// Adds the credential that stands in a header's value behind a prefix of this length.
    pub(super) fn add(&mut self, value: &HeaderValue, prefix: usize) {
        if value.len() > prefix {
            self.0.push((value.clone(), prefix));
        }
    }

    /// The text without them, however their characters are escaped. Of a text that `is_cut`, the end may be
    /// the beginning of one, and then goes too.
    pub(super) fn mask(&self, text: &[u8], is_cut: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut at = 0;
        while let Some(byte) = text.get(at) {
            match self.spelled(&text[at..]) {
                Spelled::Whole(length) => {
                    out.extend_from_slice(MASK);
                    at += length;
                }
                Spelled::Beginning if is_cut => break,
                Spelled::Beginning | Spelled::Not => {
                    out.push(*byte);
                    at += 1;
                }
            }
        }
        out
    }

    fn spelled(&self, text: &[u8]) -> Spelled {
        let each = self.0.iter().map(|(value, prefix)| spelled(text, &value.as_bytes()[*prefix..]));
        each.max().unwrap_or(Spelled::Not)
    }
}

/// How much of a secret stands at the beginning of a text.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Spelled {
    Not,
    /// The text ends before the secret does.
    Beginning,
    /// All of it, in so many bytes of the text.
    Whole(usize),
}

fn spelled(text: &[u8], secret: &[u8]) -> Spelled {
    let mut at = 0;
    for byte in secret {
        let rest = &text[at..];
        match character(rest, *byte) {
            Some(length) => at += length,
            None if rest.is_empty() => return Spelled::Beginning,
            None if rest.len() < LONGEST_ESCAPE && matches!(rest[0], b'\\' | b'%' | b'&') => return Spelled::Beginning,
            None => return Spelled::Not,
        }
    }
    Spelled::Whole(at)
}

/// The bytes in which this character is written at the beginning of a text: as it is, or as JSON, URLs and
/// HTML escape it.
fn character(text: &[u8], byte: u8) -> Option<usize> {
    let escaped = |opening: &[u8], digits: usize, closing: &[u8], radix| {
        let rest = text.strip_prefix(opening)?;
        let number = std::str::from_utf8(rest.get(..digits)?).ok()?;
        let is_it = u8::from_str_radix(number, radix) == Ok(byte) && rest[digits..].starts_with(closing);
        is_it.then_some(opening.len() + digits + closing.len())
    };
    match text {
        [first, ..] if *first == byte => Some(1),
        [b'\\', second, ..] if *second == byte => Some(2),
        [b'\\', ..] => escaped(b"\\u00", 2, b"", 16),
        [b'%', ..] => escaped(b"%", 2, b"", 16),
        [b'&', ..] => {
            let hexadecimal = escaped(b"&#x", 2, b";", 16).or_else(|| escaped(b"&#X", 2, b";", 16));
            hexadecimal.or_else(|| escaped(b"&#", 2, b";", 10)).or_else(|| escaped(b"&#", 3, b";", 10))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str, is_cut: bool) -> String {
        let mut secrets = Secrets::default();
        secrets.add(&HeaderValue::from_static("Bearer a/b+c="), 7);
        secrets.add(&HeaderValue::from_static("Basic bWU6"), 6);
        String::from_utf8(secrets.mask(text.as_bytes(), is_cut)).unwrap()
    }

    #[test]
    fn a_credential_is_taken_out_however_it_is_written() {
        for text in ["a/b+c=", r"a\/b+c=", r"a\u002Fb\u002bc\u003d", "a%2fb%2Bc%3D", "a&#x2F;b&#43;c&#61;", "bWU6"] {
            assert_eq!(masked(text, false), "***");
            let (before, after) = ("{\"sent\":\"Bearer ", "\"}\u{fffd} a/b+c");
            assert_eq!(masked(&format!("{before}{text}{text}{after}"), false), format!("{before}******{after}"));
        }
    }

    #[test]
    fn what_is_no_credential_stays() {
        for text in ["", "a/b+c", "a/b+c!", "A/B+C=", r"a\u012fb+c=", "a%+fb+c=", "100 % & more \\ a"] {
            assert_eq!(masked(text, false), text);
        }
    }

    #[test]
    fn the_beginning_of_a_credential_goes_where_the_text_was_cut() {
        for text in ["x a", "x a/b+c", "x a%2", "x a\\", r"x a\u002", "x bWU", "x a&#x2F"] {
            assert_eq!(masked(text, true), "x ");
        }
        assert_eq!(masked("a/b+c= and a/c", true), "*** and a/c");
    }

    #[test]
    fn without_credentials_there_is_nothing_to_take_out() {
        let mut secrets = Secrets::default();
        secrets.add(&HeaderValue::from_static("Bearer "), 7);
        assert_eq!(secrets.mask(b"Bearer ", true), b"Bearer ");
    }
}
