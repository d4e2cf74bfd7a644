//! The events that are taken and not acknowledged, as the bytes of their frames, and how much of them the
//! present connection has been given.
//!
//! They are kept until the receiver has acknowledged them, since only then is it known that they need not be
//! sent again. Each chunk holds its queue permit, so that forgetting a chunk is what lets the next event in.

use std::collections::VecDeque;

use super::queue::QueuePermit;

/// About as many bytes as go into a chunk: four TLS records, so that a chunk costs little to write and little
/// to hold.
pub(super) const CHUNK: usize = 64 * 1024;

/// Whole frames of one or more events.
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    /// What they take of the queue.
    pub(super) permit: QueuePermit,
}

/// All chunks that are not acknowledged, in order, and the place up to which they are written.
#[derive(Default)]
pub(super) struct UnackedBuffer {
    chunks: VecDeque<Chunk>,
    events: u64,
    bytes: usize,
    chunk: usize,
    offset: usize,
}

impl UnackedBuffer {
    /// Adds a chunk at the end. A small one is joined to the one before, so that single events don't become
    /// single writes.
    pub(super) fn push(&mut self, chunk: Chunk) {
        self.events += chunk.permit.events() as u64;
        self.bytes += chunk.bytes.len();
        match self.chunks.back_mut() {
            Some(last) if last.bytes.len() + chunk.bytes.len() <= CHUNK => {
                last.bytes.extend_from_slice(&chunk.bytes);
                last.permit.merge(chunk.permit);
            }
            _ => self.chunks.push_back(chunk),
        }
        self.advance(0);
    }

    /// The next bytes to write, or none when all are written. They end where an event does.
    pub(super) fn unwritten(&self) -> Option<&[u8]> {
        let rest = &self.chunks.get(self.chunk)?.bytes[self.offset..];
        (!rest.is_empty()).then_some(rest)
    }

    /// The next whole events to write, in pieces: as many as it takes to have more than `size` bytes. If
    /// there are not so many, all of them with `rest`, and none without. To be called where an event begins.
    pub(super) fn unwritten_events(&self, size: usize, rest: bool) -> Vec<&[u8]> {
        let mut missing = size;
        let mut pieces = Vec::new();
        let unwritten = self.chunks.iter().skip(self.chunk).enumerate();
        for (index, chunk) in unwritten {
            let piece = if index == 0 { &chunk.bytes[self.offset..] } else { &chunk.bytes[..] };
            // A frame has one line break, at its end.
            if let Some(end) = piece.iter().skip(missing).position(|&byte| byte == b'\n') {
                pieces.push(&piece[..=missing + end]);
                return pieces;
            }
            missing = missing.saturating_sub(piece.len());
            pieces.extend((!piece.is_empty()).then_some(piece));
        }
        if rest { pieces } else { Vec::new() }
    }

    /// Marks the next `count` unwritten bytes as written.
    pub(super) fn advance(&mut self, count: usize) {
        self.offset += count;
        // The place stays at the end of the last chunk, which may yet grow.
        while self.chunk + 1 < self.chunks.len() && self.offset >= self.chunks[self.chunk].bytes.len() {
            self.offset -= self.chunks[self.chunk].bytes.len();
            self.chunk += 1;
        }
    }

    /// Starts over: a new connection gets everything from the first event on, and never begins within an
    /// event.
    pub(super) fn resend_all(&mut self) {
        self.chunk = 0;
        self.offset = 0;
    }

    /// Forgets everything and gives its permits back.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn events(&self) -> u64 {
        self.events
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::queue::Queue;
    use super::*;

    fn chunk(queue: &Queue, bytes: &[u8]) -> Chunk {
        Chunk { bytes: bytes.to_vec(), permit: queue.try_reserve(bytes.len(), 1).unwrap() }
    }

    /// Writes at most `most` bytes, in pieces of at most `piece`.
    fn write(unacked: &mut UnackedBuffer, piece: usize, most: usize) -> Vec<u8> {
        let mut written = Vec::new();
        while written.len() < most {
            let Some(rest) = unacked.unwritten() else { break };
            let count = rest.len().min(piece).min(most - written.len());
            written.extend_from_slice(&rest[..count]);
            unacked.advance(count);
        }
        written
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_was_taken_in_order_and_again_when_all_is_sent_again(
            sizes in prop::collection::vec(1_usize..100_000, 1..12),
            piece in 1_usize..70_000,
            cut in 0_usize..600_000,
        ) {
            let queue = Queue::new(2_000_000);
            let mut unacked = UnackedBuffer::default();
            let mut all = Vec::new();
            let mut written = Vec::new();
            for (index, size) in sizes.iter().enumerate() {
                let bytes = vec![index as u8; *size];
                all.extend_from_slice(&bytes);
                unacked.push(chunk(&queue, &bytes));
                if index % 2 == 0 {
                    written.extend(write(&mut unacked, piece, usize::MAX));
                }
            }
            written.extend(write(&mut unacked, piece, usize::MAX));
            prop_assert_eq!(&written, &all);
            prop_assert_eq!(unacked.bytes(), all.len());
            prop_assert_eq!(unacked.events(), sizes.len() as u64);

            unacked.resend_all();
            write(&mut unacked, piece, cut);
            unacked.resend_all();
            prop_assert_eq!(&write(&mut unacked, piece, usize::MAX), &all);

            prop_assert_eq!((queue.bytes(), queue.events()), (all.len(), sizes.len()));
            unacked.clear();
            prop_assert_eq!((queue.bytes(), queue.events()), (0, 0));
        }

        #[test]
        fn events_are_gathered_whole_until_they_exceed_the_size(
            events in prop::collection::vec(0_usize..40_000, 1..30),
            size in 0_usize..200_000,
        ) {
            let queue = Queue::new(2_000_000);
            let mut unacked = UnackedBuffer::default();
            // The rule as Devo's SDK has it: an event is added, and the buffer is flushed when it is larger
            // than the size.
            let (mut expected, mut buffer) = (Vec::new(), Vec::new());
            for (index, length) in events.iter().enumerate() {
                let mut event = vec![index as u8 + b'0'; *length];
                event.push(b'\n');
                unacked.push(chunk(&queue, &event));
                buffer.extend(event);
                if buffer.len() > size {
                    expected.push(std::mem::take(&mut buffer));
                }
            }
            for whole in expected {
                let gathered = unacked.unwritten_events(size, false).concat();
                prop_assert_eq!(&gathered, &whole);
                unacked.advance(gathered.len());
            }
            prop_assert!(unacked.unwritten_events(size, false).is_empty());
            prop_assert_eq!(unacked.unwritten_events(size, true).concat(), buffer);
        }
    }
}
