//! Events that are sent together: their text in a few large buffers, handed out sorted by time.

use std::ops::Range;

use chrono::{DateTime, Utc};

use crate::platform::Event;

/// Events that are collected until they are sent.
#[derive(Debug, Default)]
pub struct Batch {
    /// The text of the events of one page each. They are not joined: what grows is copied.
    pages: Vec<Vec<u8>>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    time: DateTime<Utc>,
    page: usize,
    range: Range<usize>,
}

impl Batch {
    /// Begins with the events of one more page, for whose text so many bytes are made ready.
    pub fn begin_page(&mut self, bytes: usize) {
        self.pages.push(Vec::with_capacity(bytes));
    }

    /// Adds an event to the page that was begun last. `append` appends its text to a buffer.
    pub fn add(&mut self, time: DateTime<Utc>, append: impl FnOnce(&mut Vec<u8>)) {
        if self.pages.is_empty() {
            self.begin_page(0);
        }
        if let Some(buffer) = self.pages.last_mut() {
            let start = buffer.len();
            append(buffer);
            let range = start..buffer.len();
            self.entries.push(Entry { time, page: self.pages.len() - 1, range });
        }
    }

    /// How much text they have.
    pub fn bytes(&self) -> usize {
        self.pages.iter().map(Vec::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All of them by time; those of one time in the order in which they were added.
    pub fn sorted(&mut self) -> Vec<Event<'_>> {
        // Texts follow each other in the order in which they came, so no two entries are alike.
        self.entries.sort_unstable_by_key(|entry| (entry.time, entry.page, entry.range.start));
        let event = |entry: &Entry| Event { time: entry.time, body: &self.pages[entry.page][entry.range.clone()] };
        self.entries.iter().map(event).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn events_come_out_as_a_stable_sort_has_them(pages in prop::collection::vec(prop::collection::vec(0i64..5, 0..9), 0..5)) {
            let (mut batch, mut expected) = (Batch::default(), Vec::new());
            for page in &pages {
                batch.begin_page(3);
                for second in page {
                    let (time, text) = (DateTime::from_timestamp(*second, 0).unwrap(), expected.len().to_string());
                    batch.add(time, |out| out.extend_from_slice(text.as_bytes()));
                    expected.push((time, text));
                }
            }
            expected.sort_by_key(|(time, _)| *time);
            prop_assert_eq!(batch.is_empty(), expected.is_empty());
            let events = batch.sorted();
            let events: Vec<_> = events.iter().map(|event| (event.time, String::from_utf8_lossy(event.body).into_owned())).collect();
            prop_assert_eq!(events, expected);
        }
    }
}
