//! The queue's bound: how many bytes of an output's events may wait or be sent and not confirmed. The one
//! bound of a sender's memory, for all of its connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A semaphore with a permit for each byte, and a count of the events that hold them. Clones share both.
#[derive(Clone)]
pub(super) struct Queue {
    bound: usize,
    free: Arc<Semaphore>,
    events: Arc<AtomicUsize>,
}

/// Events and the bytes of their frames, in the queue until this is dropped.
pub(super) struct QueuePermit {
    bytes: OwnedSemaphorePermit,
    events: CountedEvents,
}

struct CountedEvents {
    count: usize,
    total: Arc<AtomicUsize>,
}

impl Queue {
    /// Bounded to so many bytes, within what a semaphore can count.
    pub(super) fn new(bytes: usize) -> Self {
        let bound = bytes.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self { bound, free: Arc::new(Semaphore::new(bound)), events: Arc::default() }
    }

    pub(super) fn bound(&self) -> usize {
        self.bound
    }

    /// How many bytes are in it.
    pub(super) fn bytes(&self) -> usize {
        self.bound.saturating_sub(self.free.available_permits())
    }

    /// How many events are in it: taken, and neither confirmed nor given up.
    pub(super) fn events(&self) -> usize {
        self.events.load(Ordering::Relaxed)
    }

    /// How full it is, from 0 to 1.
    pub(super) fn fill(&self) -> f64 {
        self.bytes() as f64 / self.bound as f64
    }

    /// Whether nobody waits for a permit: while somebody does, the semaphore keeps every free one for them.
    pub(super) fn has_free_permits(&self) -> bool {
        self.free.available_permits() > 0
    }

    /// A permit for so many events of so many bytes, if it is free. A single event that is larger than the
    /// bound passes alone.
    pub(super) fn try_reserve(&self, bytes: usize, events: usize) -> Option<QueuePermit> {
        let permits = Arc::clone(&self.free).try_acquire_many_owned(self.permits(bytes)).ok()?;
        Some(self.permit(permits, events))
    }

    /// As [`Queue::try_reserve`], and waits for it. None where the queue is closed, which it never is.
    pub(super) async fn reserve(&self, bytes: usize, events: usize) -> Option<QueuePermit> {
        let permits = Arc::clone(&self.free).acquire_many_owned(self.permits(bytes)).await.ok()?;
        Some(self.permit(permits, events))
    }

    fn permits(&self, bytes: usize) -> u32 {
        bytes.min(self.bound) as u32
    }

    fn permit(&self, bytes: OwnedSemaphorePermit, events: usize) -> QueuePermit {
        self.events.fetch_add(events, Ordering::Relaxed);
        QueuePermit { bytes, events: CountedEvents { count: events, total: Arc::clone(&self.events) } }
    }
}

impl QueuePermit {
    pub(super) fn events(&self) -> usize {
        self.events.count
    }

    /// Takes over another one of the same queue.
    pub(super) fn merge(&mut self, mut other: Self) {
        self.bytes.merge(other.bytes);
        self.events.count += std::mem::take(&mut other.events.count);
    }
}

impl Drop for CountedEvents {
    fn drop(&mut self) {
        self.total.fetch_sub(self.count, Ordering::Relaxed);
    }
}
