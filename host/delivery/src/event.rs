//! One event, as the output interface hands it to the senders.

use bytes::Bytes;
use chrono::{DateTime, Utc};

/// One event of a Devo table. Its body is of the sender's own, or borrowed from whoever sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<B = Bytes> {
    /// When it happened. Devo's `eventdate` becomes this time, to the millisecond.
    pub time: DateTime<Utc>,
    /// One line of JSON in UTF-8, sent as it is. Never with a line break: see [`Event::is_one_line`].
    pub body: B,
}

impl<B: AsRef<[u8]>> Event<B> {
    /// Whether the body has no line break (`\n` or `\r`). On the wire a line break ends the event, so the
    /// rest of the body would arrive as a broken event of its own: such a body is refused, never sent.
    pub fn is_one_line(&self) -> bool {
        memchr::memchr2(b'\n', b'\r', self.body.as_ref()).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(body: &'static str) -> Event {
        Event { time: DateTime::UNIX_EPOCH, body: Bytes::from_static(body.as_bytes()) }
    }

    #[test]
    fn a_body_with_a_line_break_is_not_one_line() {
        assert!(event("{\"a\":\"\\n\"}").is_one_line());
        assert!(event("").is_one_line());
        assert!(!event("{\"a\":1}\n").is_one_line());
        assert!(!event("\r{}").is_one_line());
    }
}
