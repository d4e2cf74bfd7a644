//! What alerts are known by, as many as a service remembers: tens of thousands, read and written at every call. All of
//! their text is in one buffer, and the table to look them up in is made when somebody asks for the first time.

use std::fmt;

use chrono::{DateTime, Utc};
use hashbrown::HashTable;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::key::{Key, digest};
use crate::timestamp;

/// Keys in the order in which they came, each once, and the time of each; `None` for one without.
///
/// Stored as a JSON object: the keys are its members' names, the times their values, `null` for none.
#[derive(Clone, Default)]
pub struct Keys {
    entries: Vec<Entry>,
    /// The text of all keys, one after the other.
    text: String,
    /// The positions of the first `indexed` entries, by the digests of their keys.
    index: HashTable<usize>,
    indexed: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    /// Where in the buffer its key ends. It begins where the one before ends.
    end: usize,
    time: Option<DateTime<Utc>>,
}

impl Keys {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether `key` is among them.
    pub fn contains(&mut self, key: &Key<'_>) -> bool {
        self.position(key).is_some()
    }

    /// Adds `key`, or gives it another time if it is there.
    pub fn insert(&mut self, key: &Key<'_>, time: Option<DateTime<Utc>>) {
        match self.position(key) {
            Some(position) => self.entries[position].time = time,
            None => {
                self.push(key.as_str(), time);
                self.index_next(key.digest());
            }
        }
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<DateTime<Utc>>)> {
        (0..self.len()).map(|position| (self.key(position), self.entries[position].time))
    }

    /// Takes out those for which `is_taken` says so, which is asked in their order, and hands them over.
    pub fn take(&mut self, mut is_taken: impl FnMut(Option<DateTime<Utc>>) -> bool) -> Self {
        let (mut taken, mut left) = (Self::default(), Self::default());
        for (key, time) in self.iter() {
            if is_taken(time) { &mut taken } else { &mut left }.push(key, time);
        }
        if !taken.is_empty() {
            *self = left;
        }
        taken
    }

    fn push(&mut self, key: &str, time: Option<DateTime<Utc>>) {
        self.text.push_str(key);
        self.entries.push(Entry { end: self.text.len(), time });
    }

    fn key(&self, position: usize) -> &str {
        let start = position.checked_sub(1).map_or(0, |before| self.entries[before].end);
        &self.text[start..self.entries[position].end]
    }

    fn position(&mut self, key: &Key<'_>) -> Option<usize> {
        self.index_all();
        self.index.find(key.digest(), |&position| self.key(position) == key.as_str()).copied()
    }

    fn index_all(&mut self) {
        while self.indexed < self.len() {
            self.index_next(digest(self.key(self.indexed)));
        }
    }

    /// Takes the first entry that is not in the index into it.
    fn index_next(&mut self, key_digest: u64) {
        let mut index = std::mem::take(&mut self.index);
        index.reserve(self.len() - self.indexed, |&position| digest(self.key(position)));
        index.insert_unique(key_digest, self.indexed, |&position| digest(self.key(position)));
        self.index = index;
        self.indexed += 1;
    }
}

impl PartialEq for Keys {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Keys {}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Keys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        let mut text = String::new();
        for (key, time) in self.iter() {
            text.clear();
            let time = time.map(|time| {
                timestamp::append(time, &mut text);
                text.as_str()
            });
            map.serialize_entry(key, &time)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadKeys)
    }
}

struct ReadKeys;

impl<'de> Visitor<'de> for ReadKeys {
    type Value = Keys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("keys, with their times or alone")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let mut keys = Keys::default();
        while map.next_key_seed(AppendTo(&mut keys.text))?.is_some() {
            let time = map.next_value_seed(ReadTime)?;
            keys.entries.push(Entry { end: keys.text.len(), time });
        }
        Ok(keys)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Keys, A::Error> {
        let mut keys = Keys::default();
        while sequence.next_element_seed(AppendTo(&mut keys.text))?.is_some() {
            keys.entries.push(Entry { end: keys.text.len(), time: None });
        }
        Ok(keys)
    }
}

/// The keys that came last, so many at the most. Stored as a JSON array of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latest(Keys);

impl Latest {
    /// Whether `key` is among them.
    pub fn contains(&mut self, key: &Key<'_>) -> bool {
        self.0.contains(key)
    }

    /// Adds later ones, none of which is among them, and drops the first ones if there are more than `bound` then.
    pub fn add(&mut self, later: &Keys, bound: usize) {
        let mut excess = (self.0.len() + later.len()).saturating_sub(bound);
        let all = std::mem::take(self);
        for (key, _) in all.0.iter().chain(later.iter()) {
            match excess {
                0 => self.0.push(key, None),
                _ => excess -= 1,
            }
        }
    }
}

impl Serialize for Latest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(key, _)| key))
    }
}

impl<'de> Deserialize<'de> for Latest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ReadKeys).map(Self)
    }
}

/// Reads a key to the end of a buffer.
struct AppendTo<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for AppendTo<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for AppendTo<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<(), E> {
        self.0.push_str(key);
        Ok(())
    }
}

/// Reads a time, or that there is none.
struct ReadTime;

impl<'de> DeserializeSeed<'de> for ReadTime {
    type Value = Option<DateTime<Utc>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for ReadTime {
    type Value = Option<DateTime<Utc>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time or null")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        timestamp::parse_text(text).map(Some).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn of_what_is_added_the_latest_stay(lists in prop::collection::vec(0_usize..9, 0..6), bound in 0_usize..20) {
            let (mut latest, mut count) = (Latest::default(), 0);
            for length in lists {
                let mut later = Keys::default();
                (count..count + length).for_each(|number| later.insert(&Key::stored(&number.to_string()), None));
                latest.add(&later, bound);
                count += length;
                for number in 0..count {
                    let is_known = latest.contains(&Key::stored(&number.to_string()));
                    prop_assert_eq!(is_known, number + bound >= count, "{} of {}", number, count);
                }
            }
            let text = serde_json::to_vec(&latest).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Latest>(&text).unwrap(), latest);
        }
    }
}
