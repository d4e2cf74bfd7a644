//! What was delivered already: the digests of all, in values of their own beside the state, and the keys of
//! the overlap in it.
//!
//! The values are read for a pass or a record that the overlap does not know, and written after the events
//! are confirmed and before the state. A crash between the two leaves digests of what was delivered: nothing
//! is sent again, and nothing is lost.

use alert_records::digests::{Capacity, Digests, Found};
use alert_records::key::{Key, keyed_digest};
use alert_records::keys::Keys;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::ledger::Ledger;
use crate::platform::{Level, Platform, StoreError};

#[cfg(test)]
thread_local! {
    /// How much this thread's memory holds, where it is to be less than usual.
    pub static CAPACITY: std::cell::Cell<Option<Capacity>> = const { std::cell::Cell::new(None) };
}

/// What the state has of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The key of the digests. Values that were stored with another one are of an earlier persistence.
    key: (u64, u64),
    /// The sequence numbers of the segments that are stored: the first one, and the one that is to come.
    first: u64,
    next: u64,
    /// How many digests they have.
    count: u64,
    /// Whether digests were ever forgotten for new ones. Then the ids of the overlap alone tell.
    forgot: bool,
    /// Alerts from before this time may have been delivered without being known. `None`: every delivered one
    /// is known.
    pub since: Option<DateTime<Utc>>,
}

impl Head {
    /// Nothing delivered yet. `seed` is something that nobody outside can foresee.
    pub fn new(seed: &[u8]) -> Self {
        let half = |number| keyed_digest((number, !number), seed);
        Self { key: (half(1), half(2)), first: 0, next: 0, count: 0, forgot: false, since: None }
    }

    /// The digest of a key.
    pub fn digest(&self, written: &[u8]) -> u64 {
        keyed_digest(self.key, written)
    }

    /// Stands for the key, and tells nothing of it.
    fn mark(&self) -> u64 {
        keyed_digest(self.key, b"mark")
    }
}

/// The memory in the course of a call.
#[derive(Debug)]
pub struct Memory {
    pub head: Head,
    pub ledger: Ledger,
    /// Whether changes of an alert's content are to be noticed.
    wide: bool,
    digests: Option<Digests>,
    /// Whether more is remembered than the state knows of: a crash came between the two.
    ahead: bool,
}

impl Memory {
    pub fn new(head: Head, ledger: Ledger, wide: bool) -> Self {
        Self { head, ledger, wide, digests: None, ahead: false }
    }

    /// Reads the digests, if they have not been read yet.
    pub fn load<P: Platform>(&mut self, platform: &P) -> Result<(), Failure> {
        if self.digests.is_some() {
            return Ok(());
        }
        let mut digests = Digests::new(capacity(), self.head.mark(), self.wide);
        let places = digests.places();
        // One more than the state knows of: a crash may have come between the two.
        for sequence in self.head.first..=self.head.next {
            let value = platform.load(&name(sequence, places)).map_err(|error| {
                Failure::pull(
                    302,
                    format!("The memory of delivered alerts can't be loaded: {error}"),
                    "It is retried by itself.",
                )
            })?;
            if let Some(value) = value {
                digests.add_stored(value);
            }
        }
        // A crash came before the state was stored that knows of them.
        let stored = digests.range();
        self.head.forgot |= stored.start > self.head.first && stored.end > self.head.next;
        if (digests.len() as u64) < self.head.count {
            // To deliver again is better than to lose.
            let (is, was) = (digests.len(), self.head.count);
            platform.log(
                Level::Warning,
                &format!(
                    "Only {is} of {was} delivered alerts are remembered: values are missing from the store. The others are delivered \
                     again if the source still has them and they are older than the overlap"
                ),
            );
            for written in self.ledger.ids.written() {
                let digest = self.head.digest(written);
                if digests.find(digest) == Found::No {
                    self.head.forgot |= digests.insert(digest, 0);
                }
            }
        }
        self.head.forgot |= digests.settle();
        self.ahead = digests.len() as u64 > self.head.count;
        self.digests = Some(digests);
        Ok(())
    }

    /// Whether the digests are there. Otherwise what [`Memory::find`] does not find may be known all the
    /// same.
    pub fn is_loaded(&self) -> bool {
        self.digests.is_some()
    }

    /// Whether more is remembered than the state knows of.
    pub fn is_ahead(&self) -> bool {
        self.ahead
    }

    /// How many alerts are known to have been delivered.
    pub fn count(&self) -> u64 {
        self.digests.as_ref().map_or(self.head.count, |digests| digests.len() as u64)
    }

    /// Whether the alert of this key was delivered, and the digest of its content then, or 0.
    pub fn find(&mut self, digest: u64, key: &Key<'_>) -> Found {
        if let Some(digests) = &self.digests {
            let found = digests.find(digest);
            // Where every delivered one has its digest, the others need not be looked up.
            if found != Found::No || self.head.since.is_none() && !self.head.forgot {
                return found;
            }
        }
        if self.ledger.contains(key) { Found::Yes(0) } else { Found::No }
    }

    /// Notes that the alert of this key, which was not known, was delivered. The digests are loaded.
    pub fn insert(&mut self, digest: u64, content: u64, key: &Key<'_>, time: Option<DateTime<Utc>>) {
        if let Some(digests) = &mut self.digests {
            self.head.forgot |= digests.insert(digest, content);
        }
        self.ledger.insert_new(key, time);
    }

    /// Notes the content with which an alert was delivered.
    pub fn set_content(&mut self, digest: u64, content: u64) {
        if let Some(digests) = &mut self.digests {
            digests.set_content(digest, content);
        }
    }

    /// Takes over what an earlier version has stored: the keys of the ledger, and these.
    pub fn take_over(&mut self, more: &Keys) {
        let mut digests = Digests::new(capacity(), self.head.mark(), self.wide);
        for written in self.ledger.ids.written().chain(more.written()) {
            let digest = self.head.digest(written);
            if digests.find(digest) == Found::No {
                self.head.forgot |= digests.insert(digest, 0);
            }
        }
        self.digests = Some(digests);
    }

    /// Forgets the keys of what is older than `floor`. What has no digest any more is then not known.
    pub fn forget_before(&mut self, floor: Option<DateTime<Utc>>) {
        self.ledger.forget_before(floor);
        if self.head.forgot {
            self.head.since = self.head.since.max(self.ledger.since());
        }
    }

    /// Stores what has changed. To be called once all of it is confirmed, and before the state is stored.
    pub fn store<P: Platform>(&mut self, platform: &P) -> Result<(), StoreError> {
        let Some(digests) = &mut self.digests else { return Ok(()) };
        let places = digests.places();
        for (sequence, value) in digests.changed() {
            platform.store(&name(sequence, places), value)?;
        }
        digests.stored();
        let range = digests.range();
        (self.head.first, self.head.next, self.head.count) = (range.start, range.end, digests.len() as u64);
        Ok(())
    }
}

/// The key of the value that a segment is stored in. Segments take the places of those that were forgotten.
fn name(sequence: u64, places: u64) -> String {
    format!("digests.{}", sequence % places)
}

fn capacity() -> Capacity {
    #[cfg(test)]
    if let Some(capacity) = CAPACITY.get() {
        return capacity;
    }
    Capacity::MILLION
}
