//! How an answer's body is encoded. Gzip or nothing is asked for; whatever else a server or something in
//! front of it does has to be named, since its bytes would look like a broken answer.

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// How much of an encoding's name is repeated in an error.
const LONGEST_NAME: usize = 40;

/// What is to be undone before a body can be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    None,
    Gzip,
    /// Nothing that can be undone here: its name, or several where one was put on another.
    Other(String),
}

impl Encoding {
    /// Reads it out of an answer's headers.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let values: Vec<_> =
            headers.get_all(CONTENT_ENCODING).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let names = values.iter().flat_map(|value| value.split(',')).map(str::trim);
        let names: Vec<_> = names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity")).collect();
        match names[..] {
            [] => Self::None,
            [name] if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => Self::Gzip,
            _ => {
                let name = names.join(", ");
                Self::Other(name.chars().filter(|character| !character.is_control()).take(LONGEST_NAME).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&[u8]]) -> Encoding {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, http::HeaderValue::from_bytes(value).unwrap());
        }
        Encoding::of(&headers)
    }

    #[test]
    fn gzip_and_nothing_are_known_in_any_case() {
        for values in [&[][..], &[&b""[..]], &[b"identity"], &[b"Identity, "], &[b"identity", b"IDENTITY"]] {
            assert_eq!(of(values), Encoding::None, "{values:?}");
        }
        for values in [&[&b"gzip"[..]][..], &[b" GZip "], &[b"X-GZIP"], &[b"gzip,"], &[b"identity", b"gzip"]] {
            assert_eq!(of(values), Encoding::Gzip, "{values:?}");
        }
    }

    #[test]
    fn anything_else_is_named() {
        for (values, name) in [
            (&[&b"br"[..]][..], "br"),
            (&[b"Zstd"], "Zstd"),
            (&[b"compress"], "compress"),
            (&[b"deflate"], "deflate"),
            (&[b"gzip, gzip"], "gzip, gzip"),
            (&[b"gzip", b"br"], "gzip, br"),
            (&[b"g\xffzip"], "g\u{fffd}zip"),
        ] {
            assert_eq!(of(values), Encoding::Other(name.to_owned()));
        }
        assert_eq!(of(&[&[b'x'; 1000]]), Encoding::Other("x".repeat(40)));
    }
}
