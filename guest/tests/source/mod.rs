//! A source of alerts in memory, and a platform on which the collector pulls from it.
//!
//! The source answers as servers are known to, and as some might; the platform has its own time, fails where
//! a test wants it to, and checks at every store that nothing is recorded as delivered that was not
//! confirmed.

#![allow(dead_code, unused_imports, reason = "each test file uses its own part")]

mod answer;
mod platform;
mod record;
mod shape;
mod world;

use chrono::{DateTime, TimeDelta, Utc};

pub use platform::{Fault, Reply, Step};
pub use record::{Kind, Record};
pub use shape::{Order, PLAIN, PastEnd, Shape, Totals};
pub use world::World;

/// When the tests begin.
pub fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_717_200_000, 0).unwrap()
}

pub fn minutes(count: i64) -> TimeDelta {
    TimeDelta::minutes(count)
}

/// Whether everything is to be tried, as `just test` does, or a sample will do for somebody who edits a file.
pub fn is_thorough() -> bool {
    std::env::var_os("THOROUGH").is_some()
}

/// All of the combinations, or every seventh: no number of choices divides by 7, so each choice is among
/// them.
pub fn sample<T>(combinations: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    combinations.step_by(if is_thorough() { 1 } else { 7 })
}

/// How many random cases a property is tried with.
pub fn cases(thorough: u32) -> u32 {
    if is_thorough() { thorough } else { thorough / 10 }
}

pub struct Source {
    pub shape: Shape,
    pub records: Vec<Record>,
    /// Whether `since` in the query is respected.
    pub filters: bool,
    made: u64,
    /// The records in the shape's order, until something changes.
    view: Option<Vec<usize>>,
}

impl Source {
    fn new(shape: Shape) -> Self {
        Self { shape, records: Vec::new(), filters: false, made: 0, view: None }
    }

    pub fn add(&mut self, time: DateTime<Utc>, kind: Kind) {
        self.push(Record::made(self.made, time, kind));
    }

    /// Adds a record that is written as it stands.
    pub fn add_text(&mut self, text: impl AsRef<[u8]>, time: DateTime<Utc>) {
        self.push(Record::written(self.made, time, text.as_ref()));
    }

    /// Adds `count` alerts, `apart` from each other, the last one at `end`.
    pub fn add_history(&mut self, count: u64, end: DateTime<Utc>, apart: TimeDelta) {
        for back in (0..count).rev() {
            self.add(end - apart * i32::try_from(back).unwrap(), Kind::Plain);
        }
    }

    fn push(&mut self, record: Record) {
        self.made += 1;
        self.records.push(record);
        self.view = None;
    }

    /// A record once more: the same alert.
    pub fn repeat(&mut self, index: usize) {
        self.records.push(self.records[index].clone());
        self.view = None;
    }

    /// Writes a record anew, where it stands: the same alert with another content.
    pub fn rewrite(&mut self, index: usize, text: &str) {
        let Record { number, time, .. } = self.records[index];
        self.records[index] = Record::written(number, time, text.as_bytes());
        self.view = None;
    }

    pub fn remove(&mut self, index: usize) -> Record {
        self.view = None;
        self.records.remove(index)
    }

    /// Takes away all but the first so many.
    pub fn truncate(&mut self, count: u64) {
        self.records.truncate(usize::try_from(count).unwrap());
        self.view = None;
    }

    pub fn change(&mut self, shape: Shape) {
        self.shape = shape;
        self.view = None;
    }

    fn sorted(&self) -> Vec<usize> {
        let mut view: Vec<_> = (0..self.records.len()).collect();
        let age = |at: &usize| (self.records[*at].time, self.records[*at].number);
        match self.shape.order {
            Order::NewestFirst => view.sort_by_key(|at| std::cmp::Reverse(age(at))),
            Order::OldestFirst => view.sort_by_key(age),
            Order::LatestArrivalFirst => view.reverse(),
            Order::FirstArrivalFirst => {}
            Order::Shuffled(seed) => view.sort_by_key(|at| scatter(seed, self.records[*at].number)),
        }
        view
    }
}

fn scatter(seed: u64, number: u64) -> u64 {
    let mut mixed = (number ^ seed.rotate_left(32)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
