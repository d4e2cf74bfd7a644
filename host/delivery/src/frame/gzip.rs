//! Events compressed on their way, as Devo's SDK does it: events with their line ends are gathered, and what
//! is gathered travels as one whole gzip member, without a length before it. Members follow each other on the
//! same connection, and stand between plain events as well.

use std::io::{self, Write};

use flate2::GzBuilder;

/// When and how an output compresses. The names of the settings are
/// `threshold_for_using_gzip_in_transport_layer`, `compression_level` and `compression_buffer_in_bytes`.
#[derive(Clone, Debug, PartialEq)]
pub struct Compression {
    /// How full the queue must be for events to be compressed, from 0 (empty) to 1 (full). Negative: always;
    /// above 1: never. What counts is how full it is when a batch of events is about to be written. (The
    /// original takes the mean of the last 1,000 events, and doesn't compress before it has seen so many.)
    /// Events that are written and not yet confirmed count as well, so that a value above 0.5, where a queue
    /// is confirmed by itself, is met by bursts only.
    pub threshold: f64,
    /// From 1 (fast) to 9 (small). More is taken as 9.
    pub level: u32,
    /// Events are gathered until they have more bytes than this. At most 10 MiB, as in the original:
    /// compressing takes its time at one go.
    pub buffer_in_bytes: usize,
}

impl Compression {
    /// The original's level and buffer: 6 and 51,200 bytes.
    pub fn from(threshold: f64) -> Self {
        Self { threshold, level: 6, buffer_in_bytes: 51_200 }
    }

    /// How many bytes of events a member has at least, but for the last one before a flush.
    pub(crate) fn buffer(&self) -> usize {
        self.buffer_in_bytes.min(10 * 1024 * 1024)
    }

    /// Whether to compress when the queue is filled to this part.
    pub(crate) fn applies_at(&self, fill: f64) -> bool {
        fill >= self.threshold
    }
}

/// One whole gzip member of these pieces. The header is what zlib writes, which Devo's SDK uses: no time, and
/// Unix as the system.
pub(crate) fn member(pieces: &[&[u8]], level: u32) -> io::Result<Vec<u8>> {
    const UNIX: u8 = 3;
    let level = flate2::Compression::new(level.clamp(1, 9));
    let mut encoder = GzBuilder::new().operating_system(UNIX).write(Vec::new(), level);
    pieces.iter().try_for_each(|piece| encoder.write_all(piece))?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_never_met_above_one_and_always_when_negative() {
        let at = |threshold: f64, fill: f64| Compression::from(threshold).applies_at(fill);
        assert!(!at(1.1, 1.0));
        assert!(at(-1.0, 0.0) && at(-0.1, 1.0));
        assert!(at(0.0, 0.0));
        assert!(!at(0.5, 0.49) && at(0.5, 0.5));
    }

    #[test]
    fn the_header_is_that_of_zlib() {
        // Magic number, deflate, no flags, no time, how hard it was tried, Unix.
        for (level, extra) in [(1, 4), (2, 0), (6, 0), (8, 0), (9, 2), (12, 2)] {
            assert_eq!(member(&[b"a", b"b"], level).unwrap()[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, extra, 3]);
        }
    }
}
