//! A history: what there is at the beginning, and what happens when. It is plain data, so that a part of it
//! can be left out and the rest run again.

use std::fmt;

use super::random::Random;
use super::source::{FOR_EVER, Hole, Kind, Order, Record, Shape, Totals, Trouble};

mod generate;

/// How the host calls the collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// Seconds from one cycle to the next.
    pub period: u64,
    /// Requests in a period; `None`: no limit.
    pub requests: Option<u32>,
    /// Milliseconds that the source takes for an answer.
    pub latency: u64,
}

impl Host {
    /// What is kept from live while something else is pending.
    pub fn reserve(requests: u32) -> u32 {
        (requests / 4).max(2)
    }
}

/// What is stored when the history begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    Nothing,
    /// The original's state, which has delivered all but the newest `behind` records.
    Version1 {
        behind: u64,
    },
    /// A state of version 2 or 3 whose walks were over, and which has delivered all but the newest `behind`
    /// records.
    Finished {
        version: u64,
        behind: u64,
    },
    /// A state of version 2 or 3 whose first walk stood before this page, counted from 1.
    Unfinished {
        version: u64,
        next: u64,
    },
}

/// What is promised of a history, beside what holds for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// A day and two passes after rest nothing is missing.
    Day,
    /// The same, within hours and with the clock's passes switched off: all that went wrong did so while the
    /// first pass was under way, so the second one finds it.
    SecondPass,
    /// The same: records only came, all ids differ and the count is right, so what is missing shows.
    Growth,
    /// The same: records only came, all at the newest end, so nothing is missing once live has met what it
    /// knew.
    NewestEnd,
}

impl Promise {
    /// Whether it is kept without the clock's passes.
    pub fn is_without_the_clock(self) -> bool {
        self != Self::Day
    }
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Records come, the last one so many seconds old, the others before it.
    Come {
        count: u64,
        age: i64,
        apart: i64,
        kind: Kind,
    },
    /// Records go, from so far along the order in which they are shown, in thousandths.
    Go {
        along: u64,
        count: u64,
    },
    Change {
        along: u64,
    },
    /// A record stands there twice.
    Twin {
        along: u64,
    },
    Order(Order),
    Totals(Totals),
    Hole(Hole),
    Short(Option<u64>),
    /// So many requests fail.
    Outage {
        requests: u32,
        trouble: Trouble,
    },
    /// The source refuses page sizes above this from now on.
    Refuse(Option<u64>),
    /// The wall clock jumps by so many seconds.
    Jump(i64),
    /// The operator changes a setting, which starts the service anew.
    Limit(u64),
    StartTime(i64),
    Overlap(u64),
    Reset,
    /// An operation fails. With `done` it takes effect all the same; with `arrives` what was not confirmed
    /// has arrived.
    Fail {
        done: bool,
        arrives: bool,
    },
    /// The collector is killed at an operation.
    Kill {
        done: bool,
        arrives: bool,
    },
}

impl What {
    /// Whether it counts operations; the others count requests.
    pub fn is_upset(self) -> bool {
        matches!(self, Self::Fail { .. } | Self::Kill { .. })
    }
}

/// When something happens: before the `step`-th request (or operation) of a cycle; 0: before any. What has
/// not come to pass at the cycle's end does so then, but for failures and kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    pub cycle: u32,
    pub step: u32,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    pub promise: Promise,
    pub shape: Shape,
    /// In the order in which they came.
    pub records: Vec<Record>,
    pub limit: u64,
    /// Seconds since the beginning, so negative: alerts from before aren't wanted.
    pub start_time: Option<i64>,
    pub overlap: u64,
    pub stored: Stored,
    pub host: Host,
    /// Digests that fit; `None`: more than there are.
    pub memory: Option<usize>,
    pub deliver_changes: bool,
    /// Cycles before the rest.
    pub cycles: u32,
    pub events: Vec<Event>,
}

impl History {
    /// The history of a seed.
    pub fn of(seed: u64) -> Self {
        let mut history = generate::history(&mut Random::new(seed));
        // Records that stand elsewhere in every answer may be met twice and missed in one pass: what had been
        // missed then balances what comes, and no count tells. Only the clock makes it certain.
        if history.is_restless() {
            history.promise = Promise::Day;
        }
        history
    }

    /// A history in which nothing happens: `count` records a minute apart, in pages of `limit`.
    pub fn plain(count: u64, limit: u64) -> Self {
        let time = |number: u64| -300 - 60 * (count - 1 - number) as i64;
        Self {
            promise: Promise::Day,
            shape: Shape::plain(),
            records: (0..count).map(|number| Record { time: time(number), kind: Kind::Plain }).collect(),
            limit,
            start_time: None,
            overlap: 86_400,
            stored: Stored::Nothing,
            host: Host { period: 60, requests: None, latency: 10 },
            memory: None,
            deliver_changes: false,
            cycles: 1,
            events: Vec::new(),
        }
    }

    pub fn pages(&self) -> u64 {
        let size = self.shape.page_size(self.limit);
        self.shape.pages(size, self.records.len() as u64)
    }

    /// Events of a cycle in the order in which they happen.
    pub fn events_of(&self, cycle: u32) -> Vec<Event> {
        let mut events: Vec<_> = self.events.iter().copied().filter(|event| event.cycle == cycle).collect();
        events.sort_by_key(|event| event.step);
        events
    }

    /// Whether records ever stand elsewhere in every answer.
    pub fn is_restless(&self) -> bool {
        let is_restless = |order: &Order| matches!(order, Order::Restless(_));
        is_restless(&self.shape.order) || self.happens(|what| matches!(what, What::Order(order) if is_restless(order)))
    }

    /// Every hole that there ever is.
    pub fn holes(&self) -> impl Iterator<Item = Hole> {
        let later =
            self.events.iter().filter_map(|event| if let What::Hole(hole) = event.what { Some(hole) } else { None });
        self.shape.holes.iter().copied().chain(later)
    }

    pub fn has_lasting_holes(&self) -> bool {
        self.shape.deep.is_some() || self.holes().any(|hole| hole.times == FOR_EVER)
    }

    pub fn happens(&self, what: impl Fn(&What) -> bool) -> bool {
        self.events.iter().any(|event| what(&event.what))
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { promise, shape, limit, start_time, overlap, stored, host, memory, deliver_changes, cycles, .. } =
            self;
        writeln!(f, "promise {promise:?}, {host:?}, limit {limit}, start time {start_time:?}, overlap {overlap} s")?;
        writeln!(
            f,
            "stored {stored:?}, memory {memory:?}, deliver changes {deliver_changes}\n{shape:?}\n{} records:",
            self.records.len()
        )?;
        for (number, record) in self.records.iter().enumerate() {
            write!(f, " {number}:{}s", record.time)?;
            if record.kind != Kind::Plain {
                write!(f, "{:?}", record.kind)?;
            }
        }
        writeln!(f, "\n{cycles} cycles")?;
        self.events.iter().try_for_each(|event| writeln!(f, "  {event:?}"))
    }
}
