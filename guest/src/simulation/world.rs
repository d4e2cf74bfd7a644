//! The world that the collector lives in: source, clock, settings, stored values and what has arrived. Events
//! happen to it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::check::{Check, Failure};
use super::history::{Event, History, What};
use super::imported::{self, Imported};
use super::source::{Kind, Record, Source, Standing, moment};

/// Operations after which a call is taken to go on forever.
const OPERATIONS: u64 = 100_000;

/// Operations after a kill, all of which fail.
const DEAD_OPERATIONS: u64 = 2_000;

/// What has arrived of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The call that it arrived in last.
    pub call: usize,
    pub confirmed: bool,
    /// Whether it may arrive once more for another reason than a call that was hit.
    pub forgiven: bool,
}

/// What the present call does.
#[derive(Debug, Clone, Copy, Default)]
pub struct Call {
    pub requests: u32,
    /// Requests that it may make.
    pub budget: Option<u32>,
    /// Requests after which it is taken to go on forever.
    pub most: u32,
    pub operations: u64,
    pub dead: bool,
    pub dead_operations: u64,
    /// Whether a kill or a failure came in the way of what it delivers or stores.
    pub hit: bool,
    /// Whether anything at all was made to fail.
    pub troubled: bool,
}

/// What an operation comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    pub takes_effect: bool,
    pub succeeds: bool,
}

pub struct World {
    pub source: Source,
    /// The texts of every record that was ever made, by number and change.
    pub texts: Vec<Vec<Rc<[u8]>>>,
    pub records: Vec<Record>,
    pub limit: u64,
    pub start_time: Option<i64>,
    pub overlap: u64,
    pub resets: u64,
    /// Whether settings have changed, so that the service starts anew.
    pub restarts: bool,
    pub values: BTreeMap<String, Vec<u8>>,
    /// Milliseconds of the wall clock since the beginning, and how far it is ahead of the time that passes.
    pub elapsed: Duration,
    pub ahead: i64,
    pub latency: Duration,
    pub time_out: Duration,
    pub call: Call,
    /// Whether each call was hit, by its number; the first stands for an earlier version's calls.
    pub hits: Vec<bool>,
    pub arrivals: BTreeMap<(u64, u64), Arrival>,
    /// Whether more alerts may be delivered than are remembered.
    memory_is_small: bool,
    is_restless: bool,
    pub unconfirmed: Vec<(u64, u64)>,
    pub events: Vec<Event>,
    pub upsets: Vec<Event>,
    pub requests: u32,
    pub operations: u32,
    pub pulls: u64,
    /// Records that came at the newest end since live was called the last time.
    pub fresh: Vec<u64>,
    /// The last cycle in which records went or moved at the source, counted by calls of live.
    pub last_move: Option<u64>,
    pub imported: Option<Imported>,
    /// Whether requests failed, whatever they asked for.
    pub had_outage: bool,
    /// Records from this time on are wanted for certain, and those from before the other one are not: in
    /// between lies what depends on which of the start times that the operator has set is in force.
    pub earliest: Option<i64>,
    pub unwanted: Option<i64>,
    pub failure: Option<Failure>,
    pub trace: Option<Vec<String>>,
    /// What was told to the operator as a warning.
    pub warnings: Vec<String>,
}

impl World {
    pub fn new(history: &History, traced: bool) -> Self {
        let period = history.host.period;
        let mut world = Self {
            source: Source::new(history.shape.clone(), history.deliver_changes),
            texts: Vec::new(),
            records: Vec::new(),
            limit: history.limit,
            start_time: history.start_time,
            overlap: history.overlap,
            resets: 0,
            restarts: true,
            values: BTreeMap::new(),
            elapsed: Duration::ZERO,
            ahead: 0,
            latency: Duration::from_millis(history.host.latency),
            time_out: Duration::from_millis(period * 1000 / 60),
            call: Call::default(),
            hits: vec![false],
            arrivals: BTreeMap::new(),
            memory_is_small: history.memory.is_some(),
            is_restless: history.is_restless(),
            unconfirmed: Vec::new(),
            events: Vec::new(),
            upsets: Vec::new(),
            requests: 0,
            operations: 0,
            pulls: 0,
            fresh: Vec::new(),
            last_move: None,
            imported: None,
            had_outage: false,
            earliest: history.start_time,
            unwanted: history.start_time,
            failure: None,
            trace: traced.then(Vec::new),
            warnings: Vec::new(),
        };
        for record in &history.records {
            world.add(*record);
        }
        if let Some(imported) = imported::state(history, &world.source.standing) {
            world.values.insert("state".to_owned(), imported.text.clone());
            for number in &imported.delivered {
                world.arrivals.insert((*number, 0), Arrival { call: 0, confirmed: true, forgiven: false });
            }
            world.imported = Some(imported);
        }
        world
    }

    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(line());
        }
    }

    pub fn fail(&mut self, check: Check, message: impl FnOnce() -> String) {
        if self.failure.is_none() {
            let failure = Failure::new(check, message());
            self.note(|| format!("BROKEN {failure}"));
            self.failure = Some(failure);
        }
    }

    /// Seconds of the wall clock since the beginning.
    pub fn seconds(&self) -> i64 {
        self.elapsed.as_secs() as i64 + self.ahead
    }

    pub fn now(&self) -> chrono::DateTime<chrono::Utc> {
        moment(self.ahead) + self.elapsed
    }

    pub fn add(&mut self, record: Record) -> u64 {
        let number = self.source.add(record);
        let text = self.source.standing.last().map(|standing| standing.text.clone());
        self.texts.push(text.into_iter().collect());
        self.records.push(record);
        number
    }

    /// Whether a record is one that the operator wants, and that can be told from what an earlier version has
    /// delivered.
    pub fn wants(&self, standing: &Standing) -> bool {
        let floor = self.imported.as_ref().and_then(|imported| imported.floor);
        // What stood there when the history began is told by the keys of an unfinished walk.
        let is_old = (standing.number as usize) < self.texts.len() && standing.change == 0;
        // What it has not read and a page that fails hides from the rest of the walk lies behind the floor
        // afterwards.
        let is_old = is_old && !self.had_outage;
        let unfinished = self.imported.as_ref().is_some_and(|imported| imported.is_unfinished) && is_old;
        let floor = floor.filter(|_| !unfinished);
        standing.time().is_none_or(|time| self.earliest.max(floor).is_none_or(|earliest| time >= earliest))
    }

    /// Begins a call.
    pub fn begin_call(&mut self, budget: Option<u32>, most: u32) {
        self.call = Call { budget, most, ..Call::default() };
        self.hits.push(false);
    }

    /// Ends a call: what was handed over and isn't confirmed is lost.
    pub fn end_call(&mut self) {
        if let Some(hit) = self.hits.last_mut() {
            *hit = self.call.hit;
        }
        self.unconfirmed.clear();
    }

    /// Decides what becomes of an operation; `delivers` where what is delivered depends on it.
    pub fn operate(&mut self, delivers: bool) -> Fate {
        const FAILS: Fate = Fate { takes_effect: false, succeeds: false };
        if self.call.dead || self.failure.is_some() {
            self.call.dead_operations += 1;
            assert!(self.call.dead_operations < DEAD_OPERATIONS, "goes on although nothing works any more");
            return FAILS;
        }
        self.call.operations += 1;
        self.operations += 1;
        if self.call.operations > OPERATIONS {
            self.fail(Check::Endless, || format!("a call has done {OPERATIONS} operations"));
            return FAILS;
        }
        let Some(event) = self.upsets.first().copied().filter(|event| event.step <= self.operations) else {
            return Fate { takes_effect: true, succeeds: true };
        };
        self.upsets.remove(0);
        self.note(|| format!("  ! {:?}", event.what));
        let (What::Kill { done, arrives } | What::Fail { done, arrives }) = event.what else { return FAILS };
        self.call.dead = matches!(event.what, What::Kill { .. });
        self.call.troubled = true;
        self.call.hit |= delivers || self.call.dead;
        if arrives {
            let keys = std::mem::take(&mut self.unconfirmed);
            self.arrive(&keys, false);
        }
        Fate { takes_effect: done, succeeds: false }
    }

    /// These events have arrived.
    pub fn arrive(&mut self, keys: &[(u64, u64)], confirmed: bool) {
        let call = self.hits.len() - 1;
        let times = self.arrivals.keys().chain(keys).map(|(number, _)| self.records[*number as usize]);
        let times = times.filter(|record| self.memory_is_small && record.kind.has_time());
        let newest = times.map(|record| record.time).max();
        for key in keys {
            let before = self.arrivals.get(key).copied();
            if let Some(before) = before {
                // What is older than the overlap and not remembered any more may come again.
                let record = self.records[key.0 as usize];
                let is_old = !record.kind.has_time() || record.time <= newest.unwrap_or(i64::MAX) - self.overlap as i64;
                let is_forgotten = self.memory_is_small && (is_old || self.is_restless);
                let excused = is_forgotten || before.forgiven || before.call != call && self.hits[before.call];
                if !excused {
                    let was = if before.call == 0 {
                        "by an earlier version".to_owned()
                    } else {
                        format!("in call {}", before.call)
                    };
                    self.fail(Check::Twice, || {
                        format!(
                            "record {} has arrived in call {call}, and before that {was}, which nothing had disturbed",
                            key.0
                        )
                    });
                }
            }
            let confirmed = confirmed || before.is_some_and(|before| before.confirmed);
            self.arrivals.insert(*key, Arrival { call, confirmed, forgiven: false });
        }
    }

    pub fn is_confirmed(&self, key: (u64, u64)) -> bool {
        self.arrivals.get(&key).is_some_and(|arrival| arrival.confirmed)
    }

    /// Has the events happen whose time has come.
    pub fn happen(&mut self, step: u32) {
        while self.events.first().is_some_and(|event| event.step <= step) {
            let event = self.events.remove(0);
            self.apply(event.what);
        }
    }

    fn apply(&mut self, what: What) {
        self.note(|| format!("  * {what:?}"));
        self.source.stir();
        match what {
            What::Come { count, age, apart, kind } => self.come(count, age, apart, kind),
            What::Go { along, count } => {
                self.last_move = Some(self.pulls);
                for _ in 0..count {
                    if let Some(at) = self.source.at(along) {
                        self.source.standing.remove(at);
                        self.source.stir();
                    }
                }
            }
            What::Change { along } => {
                if let Some(at) = self.source.at(along) {
                    self.change(at);
                }
            }
            What::Twin { along } => {
                if let Some(at) = self.source.at(along) {
                    let twin = self.source.standing[at].clone();
                    self.source.standing.push(twin);
                    self.source.stir();
                    self.last_move = Some(self.pulls);
                }
            }
            What::Order(order) => self.source.shape.order = order,
            What::Totals(totals) => self.source.shape.totals = totals,
            What::Hole(hole) => self.source.shape.holes.push(hole),
            What::Short(short) => self.source.shape.short = short,
            What::Outage { requests, trouble } => {
                self.source.outage = Some((requests, trouble));
                self.had_outage = true;
            }
            What::Refuse(most) => self.source.shape.refuses_above = most,
            What::Jump(seconds) => self.ahead += seconds,
            What::Limit(limit) => (self.limit, self.restarts) = (limit, true),
            What::StartTime(time) => {
                (self.start_time, self.restarts) = (Some(time), true);
                self.earliest = self.earliest.max(self.start_time);
                self.unwanted = self.unwanted.min(self.start_time);
            }
            What::Overlap(seconds) => (self.overlap, self.restarts) = (seconds, true),
            What::Reset => {
                self.resets += 1;
                self.restarts = true;
                // All that is there is new once more.
                self.arrivals.values_mut().for_each(|arrival| (arrival.confirmed, arrival.forgiven) = (false, true));
                self.imported = None;
                (self.earliest, self.unwanted) = (self.start_time, self.start_time);
                self.fresh.clear();
            }
            What::Fail { .. } | What::Kill { .. } => {}
        }
    }

    fn come(&mut self, count: u64, age: i64, apart: i64, kind: Kind) {
        let last = self.seconds() - age;
        let newest = self.source.standing.iter().filter_map(Standing::time).max();
        let first = last - apart * (count as i64 - 1);
        // What comes at the newest end comes after all that is there, also where the clock was set back.
        let first = if age == 0 { newest.map_or(first, |newest| first.max(newest + 1)) } else { first };
        let mut numbers = Vec::new();
        for number in 0..count as i64 {
            numbers.push(self.add(Record { time: first + apart * number, kind }));
        }
        if age == 0 && matches!(kind, Kind::Plain | Kind::NumberedId) {
            self.fresh.extend(numbers);
        }
    }

    fn change(&mut self, at: usize) {
        let standing = &self.source.standing[at];
        let (record, number) = (standing.record, standing.number);
        let texts = &mut self.texts[number as usize];
        let changed = Standing::new(record, number, texts.len() as u64, self.source.by_content);
        texts.push(changed.text.clone());
        self.source.standing[at] = changed;
        self.source.stir();
        if self.source.standing[at].by_content {
            self.last_move = Some(self.pulls);
        }
    }
}
