//! A source and a platform, and what a test does with them: call the collector, let time pass, compare what
//! arrived.

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alert_records::key::Key;
use chrono::{DateTime, TimeDelta, Utc};
use cloudsek_xvigil::failure::Failure;
use cloudsek_xvigil::platform::{OutputError, StoreError, TransportError};
use cloudsek_xvigil::progress::{Budget, Summary};
use cloudsek_xvigil::pull;
use cloudsek_xvigil::state::State;

use super::platform::{Fault, Reply, Step};
use super::{Record, Shape, Source, start};

/// Calls after which a pull that is not up to date is taken to go on forever.
const CALLS: u32 = 2_000;

/// What happens at the source before the n-th answer of a call.
type Change = Box<dyn FnMut(&mut Source, u64)>;

pub struct Inner {
    pub source: Source,
    pub settings: BTreeMap<&'static str, String>,
    pub state: Option<Vec<u8>>,
    /// What is stored beside the state.
    pub values: BTreeMap<String, Vec<u8>>,
    /// What Devo has, by the record that it was made of.
    pub arrived: BTreeMap<Vec<u8>, u32>,
    pub pulling_ids: BTreeSet<String>,
    pub(super) confirmed: BTreeSet<Vec<u8>>,
    pub(super) unconfirmed: Vec<Vec<u8>>,
    /// Whether events that are not confirmed arrive all the same.
    pub unconfirmed_arrive: bool,
    pub trace: Vec<Step>,
    pub log: Vec<String>,
    pub now: DateTime<Utc>,
    pub(super) elapsed: Duration,
    /// How long the source takes for an answer.
    pub answer_takes: Duration,
    pub faults: BTreeSet<Fault>,
    /// What is answered to the n-th request of a call instead of the source's answer.
    pub replies: BTreeMap<u64, Reply>,
    /// What is answered whenever this page is asked for.
    pub page_replies: BTreeMap<u64, Reply>,
    /// Pages to which there is no answer.
    pub silent_pages: BTreeSet<u64>,
    /// The records that can't become events, and how often each was kept.
    pub letters: BTreeMap<Vec<u8>, u32>,
    pub close_error: Option<String>,
    /// Of the last request.
    pub headers: Vec<(String, String)>,
    pub(super) operations: u64,
    pub(super) requests: u64,
    pub(super) refusing: bool,
    pub(super) sends: u64,
    pub(super) flushes: u64,
    pub(super) stores: u64,
    pub crashed: bool,
    /// Whether the last call said that there is more to be done.
    pub pending: bool,
    pub(super) between: Option<Change>,
    pub(super) check_state: bool,
}

pub struct World(RefCell<Inner>);

/// Nothing works any more.
pub(super) struct Crashed;

impl From<Crashed> for TransportError {
    fn from(_: Crashed) -> Self {
        Self::Refused("crashed".to_owned())
    }
}

impl From<Crashed> for StoreError {
    fn from(_: Crashed) -> Self {
        Self::Other("crashed".to_owned())
    }
}

impl From<Crashed> for OutputError {
    fn from(_: Crashed) -> Self {
        Self::Unconfirmed("crashed".to_owned())
    }
}

impl World {
    pub fn new(shape: Shape, settings: &[(&'static str, &str)]) -> Self {
        let mut all = BTreeMap::from([("base_url", "https://api.example.com".to_owned())]);
        all.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Self(RefCell::new(Inner {
            source: Source::new(shape),
            settings: all,
            state: None,
            values: BTreeMap::new(),
            arrived: BTreeMap::new(),
            pulling_ids: BTreeSet::new(),
            confirmed: BTreeSet::new(),
            unconfirmed: Vec::new(),
            unconfirmed_arrive: false,
            trace: Vec::new(),
            log: Vec::new(),
            now: start(),
            elapsed: Duration::ZERO,
            answer_takes: Duration::from_millis(10),
            faults: BTreeSet::new(),
            replies: BTreeMap::new(),
            page_replies: BTreeMap::new(),
            silent_pages: BTreeSet::new(),
            letters: BTreeMap::new(),
            close_error: None,
            headers: Vec::new(),
            operations: 0,
            requests: 0,
            refusing: false,
            sends: 0,
            flushes: 0,
            stores: 0,
            crashed: false,
            pending: false,
            between: None,
            check_state: true,
        }))
    }

    /// A world whose pages have `limit` records.
    pub fn paged(shape: Shape, limit: u32) -> Self {
        Self::new(shape, &[("request.limit", &limit.to_string())])
    }

    pub fn inner(&self) -> RefMut<'_, Inner> {
        self.0.borrow_mut()
    }

    pub fn source<T>(&self, change: impl FnOnce(&mut Source) -> T) -> T {
        change(&mut self.inner().source)
    }

    /// Has something happen at the source before each answer of a call; they are counted from 1.
    pub fn between_answers(&self, change: impl FnMut(&mut Source, u64) + 'static) {
        self.inner().between = Some(Box::new(change));
    }

    /// Nothing more happens between answers.
    pub fn calm(&self) {
        self.inner().between = None;
    }

    pub fn pass(&self, time: TimeDelta) {
        let mut inner = self.inner();
        inner.now += time;
        inner.elapsed += time.to_std().unwrap();
    }

    pub fn set(&self, name: &'static str, value: &str) {
        self.inner().settings.insert(name, value.to_owned());
    }

    /// Doesn't look into the state at every store, which takes long where there is much.
    pub fn large(self) -> Self {
        self.inner().check_state = false;
        self
    }

    /// The next call that a host makes: a look for what is new, or, as long as there is more to be done,
    /// backfill.
    pub fn pull(&self) -> Result<Summary, Failure> {
        let pending = self.inner().pending;
        let result = self.call(|budget| if pending { pull::backfill(self, budget) } else { pull::pull(self, budget) });
        self.inner().pending = result.as_ref().is_ok_and(|summary| !summary.up_to_date);
        result
    }

    /// A new cycle is due.
    pub fn next_cycle(&self) {
        self.inner().pending = false;
    }

    /// One call: what was sent and not confirmed is lost or has arrived, nobody knows.
    fn call(&self, call: impl FnOnce(Budget) -> Result<Summary, Failure>) -> Result<Summary, Failure> {
        {
            let mut inner = self.inner();
            inner.crashed = false;
            inner.operations = 0;
            inner.requests = 0;
            inner.refusing = false;
            inner.sends = 0;
            inner.flushes = 0;
            inner.stores = 0;
        }
        let result = call(Budget { requests: u32::MAX, time: Duration::from_secs(30) });
        let mut inner = self.inner();
        let rest = std::mem::take(&mut inner.unconfirmed);
        if inner.unconfirmed_arrive {
            inner.arrive(rest);
        }
        result
    }

    /// A cycle: looks for what is new, and goes on until there is nothing left. Gives the requests that it
    /// took.
    pub fn settle(&self) -> u64 {
        let mut requests = 0;
        for _ in 0..CALLS {
            let summary = self.pull().unwrap();
            requests += summary.statistics.requests;
            if summary.up_to_date {
                return requests;
            }
        }
        let inner = self.inner();
        let last: Vec<_> = inner.trace.iter().rev().take(30).collect();
        panic!("a cycle without an end: {:?} {last:#?}", inner.source.shape);
    }

    /// So many cycles, a minute apart.
    pub fn run_minutes(&self, count: u32) {
        for _ in 0..count {
            self.pass(TimeDelta::minutes(1));
            self.settle();
        }
    }

    /// A day, after which everything is read again, and the pass that confirms what this one has found.
    pub fn run_day(&self) {
        self.pass(TimeDelta::days(1));
        self.settle();
        self.run_minutes(2);
    }

    /// The pages that were asked for since the trace was cleared, in order.
    pub fn pages(&self) -> Vec<u64> {
        let inner = self.inner();
        let page = |step: &Step| match step {
            Step::Request(path) => Some(page_of(path)),
            _ => None,
        };
        inner.trace.iter().filter_map(page).collect()
    }

    /// How many lines of the log begin like this.
    pub fn count_in_log(&self, start: &str) -> usize {
        self.inner().log.iter().filter(|line| line.starts_with(start)).count()
    }

    /// Everything at the source has arrived, once.
    #[track_caller]
    pub fn assert_delivered_once(&self) {
        self.assert_delivered(1);
        let inner = self.inner();
        let repeated = inner.arrived.iter().find(|(_, times)| **times > 1);
        assert_eq!(repeated, None, "repeated from {:?}", inner.source.shape);
    }

    /// Everything at the source has arrived, and no more often than `times`.
    #[track_caller]
    pub fn assert_delivered(&self, times: u32) {
        let inner = self.inner();
        for record in &inner.source.records {
            let arrived = inner.times(record);
            assert!(
                (1..=times).contains(&arrived),
                "arrived {arrived} times: {record:?} of {:?}\n{:#?}",
                inner.source.shape,
                &inner.trace[inner.trace.len().saturating_sub(20)..],
            );
        }
    }

    /// How many events came more than once.
    pub fn repeats(&self) -> u64 {
        self.inner().arrived.values().map(|times| u64::from(times - 1)).sum()
    }

    pub fn state(&self) -> State {
        State::read(self.inner().state.as_ref().unwrap()).unwrap()
    }
}

impl Inner {
    /// How often a record has arrived.
    pub fn times(&self, record: &Record) -> u32 {
        self.arrived.get(&record.compact()).copied().unwrap_or(0)
    }

    pub(super) fn arrive(&mut self, events: Vec<Vec<u8>>) {
        for event in events {
            assert!(!event.iter().any(|byte| b"\n\r".contains(byte)), "an event on more than one line");
            let (record, pulling_id) = split(&event);
            if !self.pulling_ids.contains(pulling_id) {
                self.pulling_ids.insert(pulling_id.to_owned());
            }
            *self.arrived.entry(record).or_default() += 1;
        }
    }

    /// Takes note that these events are at Devo for certain.
    pub(super) fn confirm(&mut self, events: Vec<Vec<u8>>) {
        if self.check_state {
            self.confirmed.extend(events.iter().map(|event| split(event).0));
        }
        self.arrive(events);
    }

    /// Counts an operation; fails it after a crash.
    pub(super) fn works(&mut self) -> Result<(), Crashed> {
        self.operations += 1;
        let operation = self.operations;
        self.crashed |= self.faults.contains(&Fault::Crash(operation));
        if self.crashed { Err(Crashed) } else { Ok(()) }
    }

    pub(super) fn fails(&mut self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// Nothing may be recorded as delivered that was not confirmed.
    pub(super) fn check(&self, state: &[u8]) {
        assert!(self.unconfirmed.is_empty(), "stored before {} events were confirmed", self.unconfirmed.len());
        if !self.check_state {
            return;
        }
        let mut state = State::read(state).unwrap();
        for record in &self.source.records {
            let Some(key) = record.key() else { continue };
            let known = state.ledger.contains(&Key::stored(&key));
            assert!(!known || self.confirmed.contains(&record.compact()), "recorded but not confirmed: {key}");
        }
    }
}

/// The page that was asked for, in a parameter of either name that the tests use.
pub(super) fn page_of(path_with_query: &str) -> u64 {
    let (_, query) = path_with_query.split_once('?').unwrap();
    let value = |pair: &str| ["page=", "p="].iter().find_map(|name| pair.strip_prefix(name)).map(str::to_owned);
    query.split('&').find_map(value).unwrap().parse().unwrap()
}

/// The record that an event was made of, and the pulling id that it was given.
fn split(event: &[u8]) -> (Vec<u8>, &str) {
    const MEMBER: &[u8] = b",\"@devo_pulling_id\":\"";
    let at = event.windows(MEMBER.len()).rposition(|window| window == MEMBER).unwrap();
    let pulling_id = event[at + MEMBER.len()..].strip_suffix(b"\"}").unwrap();
    ([&event[..at], b"}"].concat(), std::str::from_utf8(pulling_id).unwrap())
}
