//! JSON text without insignificant white space: what "the same record, byte for byte" is measured in.

/// The text without the white space that stands outside strings. Every other byte stays: escapes, forms of
/// numbers, order and repetition of keys.
pub fn compact(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let outside = memchr::memchr(b'"', rest).unwrap_or(rest.len());
        out.extend(rest[..outside].iter().filter(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')));
        rest = &rest[outside..];
        let string = string_length(rest);
        out.extend_from_slice(&rest[..string]);
        rest = &rest[string..];
    }
    out
}

/// Length of the string at the start of `text`, with both quotes; all of `text` if it does not end.
fn string_length(text: &[u8]) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::compact;

    #[test]
    fn white_space_goes_only_outside_strings() {
        assert_eq!(compact(b" { \"a b\" :\t[ 1.0 ,\r\n2e5 ] } "), br#"{"a b":[1.0,2e5]}"#);
        assert_eq!(compact(br#"{"a":"x \" y \\" , "b" : " "}"#), br#"{"a":"x \" y \\","b":" "}"#);
    }

    #[test]
    fn broken_text_does_not_break_it() {
        assert_eq!(compact(br#"{"a": "no end \"#), br#"{"a":"no end \"#);
        assert_eq!(compact(b""), b"");
    }
}
