//! What alerts are known by, as many as a service remembers: tens of thousands, read and written at every
//! call. They stay in memory as they are stored, so that reading is one look at each and writing is a copy;
//! the table to look them up in is made when somebody asks for the first time.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use chrono::{DateTime, Utc};
use hashbrown::HashTable;

use crate::bytes::equal;
use crate::json::{self, Pass, Scanner};
use crate::key::{Key, digest};
use crate::timestamp;

/// Keys for which an index has room from the beginning: those of a few pages.
const FIRST_KEYS: usize = 4_000;

/// Keys in the order in which they came, each once, and the time of each; `None` for one without.
///
/// Stored as a JSON object on one line: the keys are its members' names, the times their values, `null` for
/// none.
#[derive(Default)]
pub struct Keys {
    /// The object, but for a comma in place of its closing brace; empty as long as there are no keys.
    text: Vec<u8>,
    entries: Vec<Entry>,
    /// The positions of the first `indexed` entries, by the digests of their keys.
    index: HashTable<usize>,
    indexed: usize,
}

/// A member of the object. It begins where the one before ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    /// Where in the text the quote behind its key is.
    key_end: usize,
    /// Where it ends, its comma included.
    end: usize,
    time: Option<DateTime<Utc>>,
}

impl Keys {
    /// Reads what [`Keys::append_to`] has written, and gives what follows it too.
    ///
    /// # Errors
    /// The text begins with anything else.
    pub fn read(text: &[u8]) -> Pass<(Self, &[u8])> {
        let mut scanner = Scanner::new(text);
        if scanner.peek() != Some(b'{') {
            return Err(scanner.expected("an object"));
        }
        let mut entries = Vec::new();
        scanner.object(0, |scanner, _| {
            // Behind the quote is the colon, for there is no white space.
            let key_end = scanner.at - 2;
            let value = scanner.value(1)?;
            let time = if value == b"null" { None } else { timestamp::parse_value(value) };
            if time.is_none() && value != b"null" {
                return Err(scanner.expected("a time or null"));
            }
            entries.push(Entry { key_end, end: scanner.at + 1, time });
            Ok(())
        })?;
        if scanner.loose {
            return Err(scanner.expected("one line without white space"));
        }
        let mut keys = Self { entries, ..Self::default() };
        let (object, rest) = text.split_at(scanner.at);
        if let (Some((_, members)), false) = (object.split_last(), keys.is_empty()) {
            keys.text = [members, b","].concat();
        }
        Ok((keys, rest))
    }

    /// Appends the text that is stored, which has no line break.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        match self.text.split_last() {
            Some((_, members)) => out.extend_from_slice(members),
            None => out.push(b'{'),
        }
        out.push(b'}');
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether `key` is among them.
    pub fn contains(&mut self, key: &Key<'_>) -> bool {
        self.has(key.written(), key.digest())
    }

    /// Adds `key`, unless it is there.
    pub fn insert(&mut self, key: &Key<'_>, time: Option<DateTime<Utc>>) {
        self.add(key.written(), key.digest(), time);
    }

    /// Adds `key`, which is not there.
    pub fn insert_new(&mut self, key: &Key<'_>, time: Option<DateTime<Utc>>) {
        self.push(key.written(), time);
    }

    /// All of them, as they are written.
    pub fn written(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|position| self.key(position))
    }

    /// Adds those of `later` that are not there.
    pub fn absorb(&mut self, later: &Self) {
        for (position, entry) in later.entries.iter().enumerate() {
            let written = later.key(position);
            self.add(written, digest(written), entry.time);
        }
    }

    /// Their times, in their order.
    pub fn times(&self) -> impl Iterator<Item = Option<DateTime<Utc>>> {
        self.entries.iter().map(|entry| entry.time)
    }

    /// Those with exactly this time, in their order.
    pub fn at(&self, moment: DateTime<Utc>) -> impl Iterator<Item = Cow<'_, str>> {
        let is_at = move |&position: &usize| self.entries[position].time == Some(moment);
        // The key with its quotes.
        let string = |position| &self.text[self.start(position)..=self.entries[position].key_end];
        (0..self.len()).filter(is_at).map(move |position| json::scalar_text(string(position)))
    }

    /// Takes out those for which `is_taken` says so, which is asked once for each in their order, and hands
    /// them over.
    pub fn take(&mut self, is_taken: impl FnMut(Option<DateTime<Utc>>) -> bool) -> Self {
        let fates: Vec<bool> = self.times().map(is_taken).collect();
        let (mut taken, mut left) = (Self::default(), Self::default());
        if !fates.contains(&true) {
            return taken;
        }
        let mut start = 0;
        for run in fates.chunk_by(PartialEq::eq) {
            let end = start + run.len();
            if fates[start] { &mut taken } else { &mut left }.append(self, start..end);
            start = end;
        }
        *self = left;
        taken
    }

    /// Adds a key, as it is written, unless it is there.
    fn add(&mut self, written: &[u8], digest: u64, time: Option<DateTime<Utc>>) {
        if !self.has(written, digest) {
            self.push(written, time);
            self.index_next(digest);
        }
    }

    /// Adds these of `others`, none of which is there.
    fn append(&mut self, others: &Self, positions: Range<usize>) {
        if positions.is_empty() {
            return;
        }
        self.open();
        let (source, target) = (others.start(positions.start), self.text.len());
        self.text.extend_from_slice(&others.text[source..others.start(positions.end)]);
        let moved = |place: usize| place - source + target;
        self.entries.extend(others.entries[positions].iter().map(|&Entry { key_end, end, time }| Entry {
            key_end: moved(key_end),
            end: moved(end),
            time,
        }));
    }

    /// Adds a key, as it is written, that is not there.
    fn push(&mut self, written: &[u8], time: Option<DateTime<Utc>>) {
        self.open();
        self.text.push(b'"');
        self.text.extend_from_slice(written);
        let key_end = self.text.len();
        match time {
            Some(time) => {
                self.text.extend_from_slice(b"\":\"");
                timestamp::append(time, &mut self.text);
                self.text.extend_from_slice(b"\",");
            }
            None => self.text.extend_from_slice(b"\":null,"),
        }
        self.entries.push(Entry { key_end, end: self.text.len(), time });
    }

    fn open(&mut self) {
        if self.text.is_empty() {
            self.text.push(b'{');
        }
    }

    /// Where the member at this position begins, with the quote before its key.
    fn start(&self, position: usize) -> usize {
        position.checked_sub(1).map_or(1, |before| self.entries[before].end)
    }

    /// A key, as it is written.
    fn key(&self, position: usize) -> &[u8] {
        &self.text[self.start(position) + 1..self.entries[position].key_end]
    }

    fn has(&mut self, written: &[u8], digest: u64) -> bool {
        self.index_all();
        self.index.find(digest, |&position| equal(self.key(position), written)).is_some()
    }

    fn index_all(&mut self) {
        while self.indexed < self.len() {
            self.index_next(digest(self.key(self.indexed)));
        }
    }

    /// Takes the first entry that is not in the index into it.
    fn index_next(&mut self, key_digest: u64) {
        let mut index = std::mem::take(&mut self.index);
        // As many again are likely to follow: a table that grows digests all of its keys anew.
        if index.is_empty() {
            index.reserve((2 * self.len()).max(FIRST_KEYS), |&position| digest(self.key(position)));
        }
        index.insert_unique(key_digest, self.indexed, |&position| digest(self.key(position)));
        self.index = index;
        self.indexed += 1;
    }
}

/// A copy has no index before a key is looked up in it.
impl Clone for Keys {
    fn clone(&self) -> Self {
        Self { text: self.text.clone(), entries: self.entries.clone(), index: HashTable::new(), indexed: 0 }
    }
}

impl PartialEq for Keys {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Keys {}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn what_was_not_written_here_is_refused() {
        for text in ["", "[]", "{", r#"{"a":1e99}"#, r#"{"a":null, "b":null}"#, r#"{"a":"soon"}"#, r#"{"a":null"#] {
            assert!(Keys::read(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_one_line_of_json_and_is_read_as_it_was(
            members in prop::collection::vec((any::<String>(), prop::option::of(0_i64..9)), 0..20), is_taken in any::<[bool; 10]>(),
        ) {
            let mut keys = Keys::default();
            members.iter().for_each(|(key, time)| keys.insert(&Key::stored(key), time.map(at)));
            let fate = |time: Option<DateTime<Utc>>| is_taken[time.map_or(9, |time| time.timestamp() as usize)];
            let mut left = keys.clone();
            let taken = left.take(fate);
            let expected: Map<String, Value> =
                members.iter().rev().map(|(key, time)| (key.clone(), time.map(at).map(timestamp::format).into())).collect();
            let mut found = Map::new();
            for keys in [taken, left] {
                let mut text = Vec::new();
                keys.append_to(&mut text);
                prop_assert!(!text.contains(&b'\n'));
                found.append(&mut serde_json::from_slice(&text).unwrap());
                text.extend_from_slice(b"\nmore");
                let (mut read, rest) = Keys::read(&text).unwrap();
                prop_assert_eq!(rest, b"\nmore");
                prop_assert_eq!(&read, &keys);
                for (key, _) in &members {
                    prop_assert_eq!(read.contains(&Key::stored(key)), keys.clone().contains(&Key::stored(key)));
                }
                for moment in 0..9 {
                    let ids: Vec<_> = keys.at(at(moment)).map(Cow::into_owned).collect();
                    prop_assert!(ids.iter().all(|id| expected[id] == timestamp::format(at(moment))));
                    prop_assert_eq!(ids.is_empty(), !keys.times().any(|time| time == Some(at(moment))));
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}
