//! The memory of everything delivered: eight bytes for each alert, up to a million of them.
//!
//! It is kept in segments, each a value of its own: a hash table with open addressing that is stored as it is
//! used, so that loading builds nothing and a chunk writes the youngest segment alone. A segment grows by
//! doubling up to its full size; then the next one begins. Where there would be too many, the oldest is
//! forgotten.

/// What a segment's value begins with: the form, slots as a power of two, words per slot, the sequence
/// number, the number of digests, and a mark of the key that the digests were made with.
const HEADER: usize = 32;
const MAGIC: &[u8; 4] = b"DCD1";

/// Slots of a segment that begins.
const FIRST_SLOTS: usize = 64;

/// The most that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Segments at the most.
    pub segments: usize,
    /// Slots of a full segment with one word each; with two there are half as many. A power of two.
    pub slots: usize,
}

impl Capacity {
    /// A million digests. A full segment has half a mebibyte, for stores that take no more than one in a
    /// value.
    pub const MILLION: Self = Self { segments: 18, slots: 1 << 16 };
}

/// Digests, each once, and the digest of its content with each where that is asked for.
#[derive(Debug, Clone)]
pub struct Digests {
    capacity: Capacity,
    /// A mark of the key that they were made with: those made with another key mean nothing.
    mark: u64,
    /// Whether the digest of a content stands beside each.
    wide: bool,
    segments: Vec<Segment>,
    /// The sequence number of the first segment that is to come.
    next: u64,
}

/// What happened to what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It is not there.
    No,
    /// It is there, with the digest of its content: 0 where that was not known.
    Yes(u64),
}

#[derive(Debug, Clone)]
struct Segment {
    sequence: u64,
    /// The stored value: the header and the slots.
    value: Vec<u8>,
    slots: usize,
    words: usize,
    count: usize,
    changed: bool,
}

impl Digests {
    /// None so far.
    pub fn new(capacity: Capacity, mark: u64, wide: bool) -> Self {
        Self { capacity, mark, wide, segments: Vec::new(), next: 0 }
    }

    /// How many values they are stored in at the most; a segment's place among them follows from its sequence
    /// number.
    pub fn places(&self) -> u64 {
        self.capacity.segments as u64
    }

    /// Adds what was stored before. What is no segment made with this key is none: `false`.
    pub fn add_stored(&mut self, value: Vec<u8>) -> bool {
        let Some(segment) = Segment::read(value, self.mark) else { return false };
        if self.segments.iter().any(|known| known.sequence == segment.sequence) {
            return false;
        }
        self.next = self.next.max(segment.sequence + 1);
        let at = self.segments.partition_point(|known| known.sequence < segment.sequence);
        self.segments.insert(at, segment);
        true
    }

    /// To be called once all that was stored has been added: brings it into the form that is asked for. Tells
    /// whether some were forgotten for it.
    pub fn settle(&mut self) -> bool {
        let words = self.words();
        if self.segments.iter().all(|segment| segment.words == words) {
            return false;
        }
        // From here on all of them are stored anew, under numbers of their own.
        let before = std::mem::take(&mut self.segments);
        for segment in &before {
            segment.entries().for_each(|(digest, content)| self.push(digest, content));
        }
        self.forget_excess()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.segments.iter().map(|segment| segment.count).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sequence numbers of the oldest segment and of the one that is to come.
    pub fn range(&self) -> std::ops::Range<u64> {
        self.segments.first().map_or(self.next, |first| first.sequence)..self.next
    }

    /// Whether this one is there. It is never 0.
    pub fn find(&self, digest: u64) -> Found {
        // The youngest first: what is asked for again was mostly delivered lately.
        for segment in self.segments.iter().rev() {
            if let Some(slot) = segment.find(digest) {
                return Found::Yes(segment.content(slot));
            }
        }
        Found::No
    }

    /// Adds one that is not there; `content` is the digest of its content, or 0. Tells whether others were
    /// forgotten for it.
    pub fn insert(&mut self, digest: u64, content: u64) -> bool {
        self.push(digest, content);
        self.forget_excess()
    }

    fn forget_excess(&mut self) -> bool {
        let excess = self.segments.len().saturating_sub(self.capacity.segments);
        self.segments.drain(..excess);
        excess > 0
    }

    /// Sets the digest of the content of one that is there.
    pub fn set_content(&mut self, digest: u64, content: u64) {
        for segment in self.segments.iter_mut().rev() {
            if let Some(slot) = segment.find(digest) {
                segment.set_content(slot, content);
                return;
            }
        }
    }

    /// The segments that have changed since they were stored: sequence number and value.
    pub fn changed(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.segments.iter().filter(|segment| segment.changed).map(|segment| (segment.sequence, &segment.value[..]))
    }

    /// Notes that all are stored.
    pub fn stored(&mut self) {
        self.segments.iter_mut().for_each(|segment| segment.changed = false);
    }

    fn words(&self) -> usize {
        1 + usize::from(self.wide)
    }

    fn push(&mut self, digest: u64, content: u64) {
        let (words, full) = (self.words(), self.capacity.slots / self.words());
        let has_room = self.segments.last_mut().is_some_and(|last| last.make_room(full, self.mark));
        if !has_room {
            self.segments.push(Segment::new(self.next, FIRST_SLOTS.min(full), words, self.mark));
            self.next += 1;
        }
        if let Some(last) = self.segments.last_mut() {
            last.put(digest, content);
        }
    }
}

impl Segment {
    fn new(sequence: u64, slots: usize, words: usize, mark: u64) -> Self {
        let mut value = vec![0; HEADER + slots * words * 8];
        value[..4].copy_from_slice(MAGIC);
        value[4] = slots.trailing_zeros() as u8;
        value[5] = words as u8;
        value[8..16].copy_from_slice(&sequence.to_le_bytes());
        value[24..32].copy_from_slice(&mark.to_le_bytes());
        Self { sequence, value, slots, words, count: 0, changed: true }
    }

    fn read(value: Vec<u8>, mark: u64) -> Option<Self> {
        let (head, slots) = (value.first_chunk::<HEADER>()?, value.get(HEADER..)?);
        let number = |at: usize| head[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        let (power, words) = (u32::from(head[4]), usize::from(head[5]));
        let count = usize::try_from(number(16)).ok()?;
        let is_one = head[..4] == *MAGIC && number(24) == mark && (1..=2).contains(&words) && power < 24;
        if !is_one || slots.len() != (8 * words) << power || count >= 1 << power {
            return None;
        }
        let (sequence, slots) = (number(8), 1 << power);
        let segment = Self { sequence, value, slots, words, count, changed: false };
        // A store may have no checksum: what was cut off or mixed up in it would be alerts taken for
        // delivered.
        (segment.entries().count() == count).then_some(segment)
    }

    fn word(&self, slot: usize, word: usize) -> u64 {
        let at = HEADER + (slot * self.words + word) * 8;
        self.value[at..at + 8].try_into().map_or(0, u64::from_le_bytes)
    }

    fn set_word(&mut self, slot: usize, word: usize, number: u64) {
        let at = HEADER + (slot * self.words + word) * 8;
        self.value[at..at + 8].copy_from_slice(&number.to_le_bytes());
        self.changed = true;
    }

    fn entries(&self) -> impl Iterator<Item = (u64, u64)> {
        (0..self.slots).map(|slot| (self.word(slot, 0), self.content(slot))).filter(|(digest, _)| *digest != 0)
    }

    fn content(&self, slot: usize) -> u64 {
        if self.words > 1 { self.word(slot, 1) } else { 0 }
    }

    fn set_content(&mut self, slot: usize, content: u64) {
        if self.words > 1 {
            self.set_word(slot, 1, content);
        }
    }

    /// The slot of this one. One slot in eight at the least is free, so a search comes to its end.
    fn find(&self, digest: u64) -> Option<usize> {
        let mut slot = digest as usize & (self.slots - 1);
        loop {
            match self.word(slot, 0) {
                0 => return None,
                found if found == digest => return Some(slot),
                _ => slot = (slot + 1) & (self.slots - 1),
            }
        }
    }

    fn put(&mut self, digest: u64, content: u64) {
        let mut slot = digest as usize & (self.slots - 1);
        while self.word(slot, 0) != 0 {
            slot = (slot + 1) & (self.slots - 1);
        }
        self.set_word(slot, 0, digest);
        self.set_content(slot, content);
        self.count += 1;
        self.value[16..24].copy_from_slice(&(self.count as u64).to_le_bytes());
    }

    /// Whether there is room for one more, after growing if need be.
    fn make_room(&mut self, full: usize, mark: u64) -> bool {
        if (self.count + 1) * 8 <= self.slots * 7 {
            return true;
        }
        if self.slots >= full {
            return false;
        }
        let mut larger = Self::new(self.sequence, self.slots * 2, self.words, mark);
        self.entries().for_each(|(digest, content)| larger.put(digest, content));
        *self = larger;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const SMALL: Capacity = Capacity { segments: 3, slots: 128 };

    /// What is loaded from what was stored.
    fn reloaded(digests: &Digests, wide: bool) -> Digests {
        let mut loaded = Digests::new(digests.capacity, digests.mark, wide);
        for segment in &digests.segments {
            assert!(loaded.add_stored(segment.value.clone()));
        }
        loaded.settle();
        loaded
    }

    fn spread(number: u64) -> u64 {
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1
    }

    proptest! {
        #[test]
        fn what_was_added_is_found_and_nothing_else(
            numbers in prop::collection::btree_set(0u64..1 << 40, 0..150), wide: bool, same_slot: bool,
        ) {
            let mut digests = Digests::new(SMALL, 7, wide);
            let digest = |number: u64| if same_slot { (number << 8) | 1 } else { spread(number) };
            let all: BTreeMap<u64, u64> = numbers.iter().map(|number| (digest(*number), number + 1)).collect();
            for (digest, content) in &all {
                prop_assert_eq!(digests.find(*digest), Found::No);
                prop_assert!(!digests.insert(*digest, *content));
            }
            for loaded in [digests.clone(), reloaded(&digests, wide)] {
                prop_assert_eq!(loaded.len(), all.len());
                for (digest, content) in &all {
                    prop_assert_eq!(loaded.find(*digest), Found::Yes(if wide { *content } else { 0 }));
                    prop_assert_eq!(loaded.find(digest ^ (1 << 60)), Found::No);
                }
            }
            // Made wide later on, nothing is forgotten.
            let widened = reloaded(&digests, true);
            prop_assert!(all.keys().all(|digest| matches!(widened.find(*digest), Found::Yes(_))));
        }

        #[test]
        fn a_value_that_was_changed_in_its_length_or_count_is_none(cut in 0usize..544, bytes in prop::collection::vec(any::<u8>(), 0..99)) {
            let mut digests = Digests::new(SMALL, 7, false);
            for number in 0..40 {
                digests.insert(spread(number), 0);
            }
            let mut value = digests.segments[0].value.clone();
            value.truncate(cut);
            prop_assert!(Segment::read(value, 7).is_none());
            prop_assert!(Segment::read(bytes, 7).is_none());
        }
    }

    #[test]
    fn the_oldest_are_forgotten_where_there_would_be_too_many() {
        let mut digests = Digests::new(SMALL, 7, false);
        let forgot = (0..500).filter(|number| digests.insert(spread(*number), 0)).count();
        assert_eq!(forgot, 2);
        assert_eq!(digests.find(spread(0)), Found::No);
        assert!((300..500).all(|number| digests.find(spread(number)) == Found::Yes(0)));
        assert_eq!(digests.range(), 2..5);
    }

    #[test]
    fn those_made_with_another_key_are_none() {
        let mut digests = Digests::new(SMALL, 7, false);
        digests.insert(5, 0);
        let value = digests.segments[0].value.clone();
        assert!(!Digests::new(SMALL, 8, false).add_stored(value));
    }

    #[test]
    fn only_what_changed_is_stored() {
        let mut digests = Digests::new(SMALL, 7, true);
        for number in 0..100 {
            digests.insert(spread(number), 1);
        }
        assert_eq!(digests.changed().map(|(sequence, _)| sequence).collect::<Vec<_>>(), [0, 1]);
        digests.stored();
        assert_eq!(digests.changed().count(), 0);
        digests.set_content(spread(3), 9);
        assert_eq!(digests.changed().map(|(sequence, _)| sequence).collect::<Vec<_>>(), [0]);
        assert_eq!(digests.find(spread(3)), Found::Yes(9));
    }

    #[test]
    fn a_full_segment_fits_into_a_mebibyte_and_a_million_fit_in_all() {
        let Capacity { segments, slots } = Capacity::MILLION;
        assert!(HEADER + slots * 8 <= 1 << 20);
        assert!(segments * (slots * 7 / 8) >= 1_000_000);
    }
}
