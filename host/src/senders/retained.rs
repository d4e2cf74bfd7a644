//! The events that are taken and not confirmed, as the bytes of their frames, and how much of them the present
//! connection has been given.
//!
//! They are kept until the receiver has confirmed them, since only then is it known that they need not be sent again.
//! Each chunk holds the room it takes in the queue, so that forgetting a chunk is what lets the next event in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::OwnedSemaphorePermit;

/// About as many bytes as go into a chunk: four TLS records, so that a chunk costs little to write and little to hold.
pub(super) const CHUNK: usize = 64 * 1024;

/// Whole frames of one or more events.
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    pub(super) events: Queued,
    /// The room that the frames take in the queue, given back when the chunk is dropped.
    pub(super) room: OwnedSemaphorePermit,
}

/// A number of events that are in a queue: they are counted in its total until this is dropped.
pub(super) struct Queued {
    events: usize,
    total: Arc<AtomicUsize>,
}

impl Queued {
    pub(super) fn new(events: usize, total: &Arc<AtomicUsize>) -> Self {
        total.fetch_add(events, Ordering::Relaxed);
        Self { events, total: Arc::clone(total) }
    }

    /// Takes over the events of another one of the same queue.
    fn merge(&mut self, mut other: Self) {
        self.events += std::mem::take(&mut other.events);
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.total.fetch_sub(self.events, Ordering::Relaxed);
    }
}

/// All chunks that are not confirmed, in order, and the place up to which they are written.
#[derive(Default)]
pub(super) struct Retained {
    chunks: VecDeque<Chunk>,
    events: u64,
    bytes: usize,
    chunk: usize,
    offset: usize,
}

impl Retained {
    /// Adds a chunk at the end. A small one is joined to the one before, so that single events don't become single
    /// writes.
    pub(super) fn push(&mut self, chunk: Chunk) {
        self.events += chunk.events.events as u64;
        self.bytes += chunk.bytes.len();
        match self.chunks.back_mut() {
            Some(last) if last.bytes.len() + chunk.bytes.len() <= CHUNK => {
                last.bytes.extend_from_slice(&chunk.bytes);
                last.events.merge(chunk.events);
                last.room.merge(chunk.room);
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

    /// The next whole events to write, in pieces: as many as it takes to have more than `size` bytes. If there are not
    /// so many, all of them with `rest`, and none without. To be called where an event begins.
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

    /// Starts over: a new connection gets everything from the first event on, and never begins within an event.
    pub(super) fn rewind(&mut self) {
        self.chunk = 0;
        self.offset = 0;
    }

    /// Forgets everything and gives its room back.
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
    use tokio::sync::Semaphore;

    use super::*;

    fn chunk(room: &Arc<Semaphore>, total: &Arc<AtomicUsize>, bytes: &[u8]) -> Chunk {
        let room = Arc::clone(room).try_acquire_many_owned(bytes.len() as u32).unwrap();
        Chunk { bytes: bytes.to_vec(), events: Queued::new(1, total), room }
    }

    /// Writes at most `most` bytes, in pieces of at most `piece`.
    fn write(retained: &mut Retained, piece: usize, most: usize) -> Vec<u8> {
        let mut written = Vec::new();
        while written.len() < most {
            let Some(rest) = retained.unwritten() else { break };
            let count = rest.len().min(piece).min(most - written.len());
            written.extend_from_slice(&rest[..count]);
            retained.advance(count);
        }
        written
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_was_taken_in_order_and_again_after_a_rewind(
            sizes in prop::collection::vec(1_usize..100_000, 1..12),
            piece in 1_usize..70_000,
            cut in 0_usize..600_000,
        ) {
            let room = Arc::new(Semaphore::new(2_000_000));
            let total = Arc::default();
            let mut retained = Retained::default();
            let mut all = Vec::new();
            let mut written = Vec::new();
            for (index, size) in sizes.iter().enumerate() {
                let bytes = vec![index as u8; *size];
                all.extend_from_slice(&bytes);
                retained.push(chunk(&room, &total, &bytes));
                if index % 2 == 0 {
                    written.extend(write(&mut retained, piece, usize::MAX));
                }
            }
            written.extend(write(&mut retained, piece, usize::MAX));
            prop_assert_eq!(&written, &all);
            prop_assert_eq!(retained.bytes(), all.len());
            prop_assert_eq!(retained.events(), sizes.len() as u64);

            retained.rewind();
            write(&mut retained, piece, cut);
            retained.rewind();
            prop_assert_eq!(&write(&mut retained, piece, usize::MAX), &all);

            prop_assert_eq!(room.available_permits(), 2_000_000 - all.len());
            prop_assert_eq!(total.load(Ordering::Relaxed), sizes.len());
            retained.clear();
            prop_assert_eq!(room.available_permits(), 2_000_000);
            prop_assert_eq!(total.load(Ordering::Relaxed), 0);
        }

        #[test]
        fn events_are_gathered_whole_until_they_exceed_the_size(
            events in prop::collection::vec(0_usize..40_000, 1..30),
            size in 0_usize..200_000,
        ) {
            let room = Arc::new(Semaphore::new(2_000_000));
            let total = Arc::default();
            let mut retained = Retained::default();
            // The rule as Devo's SDK has it: an event is added, and the buffer is flushed when it is larger than the
            // size.
            let (mut expected, mut buffer) = (Vec::new(), Vec::new());
            for (index, length) in events.iter().enumerate() {
                let mut event = vec![index as u8 + b'0'; *length];
                event.push(b'\n');
                retained.push(chunk(&room, &total, &event));
                buffer.extend(event);
                if buffer.len() > size {
                    expected.push(std::mem::take(&mut buffer));
                }
            }
            for whole in expected {
                let gathered = retained.unwritten_events(size, false).concat();
                prop_assert_eq!(&gathered, &whole);
                retained.advance(gathered.len());
            }
            prop_assert!(retained.unwritten_events(size, false).is_empty());
            prop_assert_eq!(retained.unwritten_events(size, true).concat(), buffer);
        }
    }
}
