//! One event as it stands on the wire.

use bytes::Bytes;

/// A line that a connection brought, without its line break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Which connection, in the order in which they were accepted.
    pub connection: usize,
    /// The bytes.
    pub line: Bytes,
}

/// The parts of `<14>2023-06-02 10:11:12.123 HOST drp.cloudsek.xvigil.alerts: {"a":1}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    /// `14`.
    pub priority: &'a str,
    /// `2023-06-02 10:11:12.123`, or the `Jan  1 00:00:00` of Devo's bare SDK.
    pub date: &'a str,
    /// The sender's host name.
    pub host: &'a str,
    /// The table.
    pub tag: &'a str,
    /// The event itself.
    pub message: &'a [u8],
}

impl Frame {
    /// The parts, or `None` if the line is no event.
    pub fn parts(&self) -> Option<Parts<'_>> {
        parts(&self.line)
    }

    /// Whether it is an event of this table.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.parts().is_some_and(|parts| parts.tag == tag)
    }
}

/// Takes a line apart. Nothing in front of the message may be other than ASCII.
pub(super) fn parts(line: &[u8]) -> Option<Parts<'_>> {
    let line = line.strip_prefix(b"<")?;
    let (priority, rest) = split(line, b'>')?;
    let date_length =
        if rest.first()?.is_ascii_digit() { "2023-06-02 10:11:12.123".len() } else { "Jan  1 00:00:00".len() };
    let (date, rest) = rest.split_at_checked(date_length)?;
    let (host, rest) = split(rest.strip_prefix(b" ")?, b' ')?;
    let (tag, rest) = split(rest, b':')?;
    let message = rest.strip_prefix(b" ")?;
    let text = |bytes| std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii());
    let (priority, date, host, tag) = (text(priority)?, text(date)?, text(host)?, text(tag)?);
    Some(Parts { priority, date, host, tag, message })
}

fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(at, bytes)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn both_forms_of_the_date_are_understood() {
        let ours = parts(b"<14>2023-06-02 10:11:12.123 host a.b.c.d: {\"a\": 1}").unwrap();
        assert_eq!(
            (ours.priority, ours.date, ours.host, ours.tag),
            ("14", "2023-06-02 10:11:12.123", "host", "a.b.c.d")
        );
        assert_eq!(ours.message, br#"{"a": 1}"#);
        let bare = parts(b"<14>Jan  1 00:00:00 host a.b: x").unwrap();
        assert_eq!((bare.date, bare.host, bare.tag, bare.message), ("Jan  1 00:00:00", "host", "a.b", &b"x"[..]));
    }

    #[test]
    fn other_lines_are_no_events() {
        for line in
            [&b""[..], b"<14>", b"<14>2023-06-02 10:11:12 host a.b: x", b"14>Jan  1 00:00:00 h a: x", b"{\"a\":1}"]
        {
            assert_eq!(parts(line), None, "{}", String::from_utf8_lossy(line));
        }
    }
}
