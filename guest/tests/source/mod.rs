//! A source of alerts in memory, and a platform on which the collector pulls from it.
//!
//! The source answers as servers are known to, and as some might; the platform has its own time, fails where a test wants it
//! to, and checks at every store that nothing is recorded as delivered that was not confirmed.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use cloudsek_xvigil::failure::Failure;
use cloudsek_xvigil::platform::{Event, Level, Platform, Request, Response, TransportError};
use cloudsek_xvigil::pull::{self, Summary};
use cloudsek_xvigil::state::State;

/// Calls after which a pull that is not up to date is taken to go on for ever.
const CALLS: u32 = 2_000;

/// When the tests begin.
pub fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_717_200_000, 0).unwrap()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    NewestFirst,
    OldestFirst,
    /// By when records came, not by their times.
    LatestArrivalFirst,
    FirstArrivalFirst,
    Shuffled(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Totals {
    Missing,
    Numbers,
    Strings,
    /// Inside `pagination`.
    Nested,
    CountOnly,
    PagesOnly,
    /// Always the same, whatever there is.
    Stuck(u64),
    /// Wrong by as much, but following what there is.
    Off(i64),
}

impl Totals {
    /// Whether a walk can tell from them that there is something new.
    pub fn show_growth(self) -> bool {
        !matches!(self, Self::Stuck(_))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastEnd {
    Empty,
    Null,
    LastPage,
    /// The last page, and its own number.
    LastPageWithNumber,
    NotFound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub order: Order,
    pub totals: Totals,
    /// Records that the server puts on a page at the most, and whether it says so.
    pub cap: Option<(u64, bool)>,
    pub past_end: PastEnd,
}

pub const PLAIN: Shape =
    Shape { order: Order::NewestFirst, totals: Totals::Numbers, cap: None, past_end: PastEnd::Empty };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    NumberedId,
    WithoutId,
    WithoutTime,
    WithoutAny,
}

#[derive(Debug, Clone)]
pub struct Record {
    /// As the server sends it.
    pub text: String,
    /// Without white space: as an event has it.
    pub compact: String,
    /// What the collector knows it by, where it has an id.
    pub key: Option<String>,
    pub time: DateTime<Utc>,
    pub number: u64,
}

pub struct Source {
    pub shape: Shape,
    pub records: Vec<Record>,
    /// Whether `since` in the query is respected.
    pub filters: bool,
    made: u64,
    view: Option<Vec<usize>>,
}

impl Source {
    pub fn add(&mut self, time: DateTime<Utc>, kind: Kind) {
        let number = self.made;
        self.made += 1;
        let written = time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let mut members = Vec::new();
        let mut key = None;
        match kind {
            Kind::Plain | Kind::WithoutTime => {
                key = Some(format!("{number:024x}"));
                members.push(("id", format!("\"{number:024x}\"")));
            }
            Kind::NumberedId => {
                key = Some(format!("number:{number}"));
                members.push(("id", number.to_string()));
            }
            Kind::WithoutId | Kind::WithoutAny => members.push(("id", "null".to_owned())),
        }
        members.push(("title", format!("\"Alert \\u00e9 \\\" {number}\"")));
        members.push((
            "incident_time",
            if matches!(kind, Kind::WithoutTime | Kind::WithoutAny) {
                "\"soon\"".to_owned()
            } else {
                format!("\"{written}\"")
            },
        ));
        let compact: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let spaced: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\" :\r\n{value}")).collect();
        let record = Record {
            compact: format!("{{{}}}", compact.join(",")),
            text: format!("{{ {}\t}}", spaced.join(" , ")),
            key,
            time,
            number,
        };
        self.records.push(record);
        self.view = None;
    }

    /// Adds a record that is written as it stands.
    pub fn add_text(&mut self, text: &str, time: DateTime<Utc>) {
        let mut compact = Vec::new();
        cloudsek_xvigil::json::append_compact(text.as_bytes(), &mut compact);
        let compact = String::from_utf8(compact).unwrap();
        self.records.push(Record { text: text.to_owned(), compact, key: None, time, number: self.made });
        self.made += 1;
        self.view = None;
    }

    /// Adds `count` alerts, `apart` from each other, the last one at `end`.
    pub fn add_history(&mut self, count: u64, end: DateTime<Utc>, apart: TimeDelta) {
        for back in (0..count).rev() {
            self.add(end - apart * i32::try_from(back).unwrap(), Kind::Plain);
        }
    }

    /// The last record once more: the same alert.
    pub fn repeat(&mut self, index: usize) {
        self.records.push(self.records[index].clone());
        self.view = None;
    }

    pub fn remove(&mut self, index: usize) -> Record {
        self.view = None;
        self.records.remove(index)
    }

    pub fn change(&mut self, shape: Shape) {
        self.shape = shape;
        self.view = None;
    }

    fn view(&mut self, since: Option<DateTime<Utc>>) -> Vec<usize> {
        let mut view = self.view.take().unwrap_or_else(|| {
            let mut view: Vec<_> = (0..self.records.len()).collect();
            match self.shape.order {
                Order::NewestFirst => {
                    view.sort_by_key(|at| std::cmp::Reverse((self.records[*at].time, self.records[*at].number)));
                }
                Order::OldestFirst => view.sort_by_key(|at| (self.records[*at].time, self.records[*at].number)),
                Order::LatestArrivalFirst => view.reverse(),
                Order::FirstArrivalFirst => {}
                Order::Shuffled(seed) => view.sort_by_key(|at| scatter(seed, self.records[*at].number)),
            }
            view
        });
        self.view = Some(view.clone());
        if let Some(since) = since {
            view.retain(|at| self.records[*at].time >= since);
        }
        view
    }

    fn answer(&mut self, request: &Request) -> Response {
        let (_, query) = request.path_with_query.split_once('?').unwrap();
        let query: BTreeMap<_, _> = query.split('&').map(|pair| pair.split_once('=').unwrap()).collect();
        let asked: u64 = query["page"].parse().unwrap();
        let limit: u64 = query["limit"].parse().unwrap();
        let since = query.get("since").filter(|_| self.filters).map(|text| text.parse().unwrap());
        let view = self.view(since);
        let cap = self.shape.cap.filter(|(cap, _)| *cap < limit);
        let size = cap.map_or(limit, |(cap, _)| cap);
        let count = view.len() as u64;
        let pages = count.div_ceil(size);
        let beyond = asked > pages.max(1);
        let mut page = asked;
        let mut status = 200;
        if beyond {
            match self.shape.past_end {
                PastEnd::LastPage | PastEnd::LastPageWithNumber => page = pages.max(1),
                PastEnd::NotFound => status = 404,
                PastEnd::Empty | PastEnd::Null => {}
            }
        }
        let first = ((page - 1) * size).min(count) as usize;
        let last = (page * size).min(count) as usize;
        let records: Vec<_> = view[first..last].iter().map(|at| self.records[*at].text.as_str()).collect();
        let data = if records.is_empty() && self.shape.past_end == PastEnd::Null {
            "null".to_owned()
        } else {
            format!("[{}]", records.join(",\n"))
        };
        let number = if self.shape.past_end == PastEnd::LastPageWithNumber { page } else { asked };
        let said = cap.filter(|(_, said)| *said).map_or(limit, |(cap, _)| cap);
        let body = match self.shape.totals {
            Totals::Missing if self.shape.past_end == PastEnd::LastPageWithNumber => {
                format!("{{\"data\":{data},\"current_page\":{number}}}")
            }
            Totals::Missing if data == "null" => "{\"data\":null}".to_owned(),
            Totals::Missing => data,
            Totals::Numbers => format!(
                "{{\"data\":{data},\"current_page\":{number},\"total_page\":{pages},\"current_limit\":{said},\"total_count\":{count}}}"
            ),
            Totals::Strings => format!(
                "{{\"current_page\":\"{number}\",\"total_page\":\"{pages}\",\"current_limit\":\"{said}\",\"total_count\":\"{count}\",\"data\":{data}}}"
            ),
            Totals::Nested => format!(
                "{{\"data\":{data},\"pagination\":{{\"current_page\":{number},\"total_pages\":{pages},\"total_count\":{count}}}}}"
            ),
            Totals::CountOnly => format!("{{\"data\":{data},\"total_count\":{count}}}"),
            Totals::PagesOnly => format!("{{\"data\":{data},\"total_pages\":{pages}}}"),
            Totals::Stuck(count) => {
                let pages = count.div_ceil(size);
                format!("{{\"data\":{data},\"total_page\":{pages},\"total_count\":{count}}}")
            }
            Totals::Off(by) => {
                let count = count.saturating_add_signed(by);
                let pages = count.div_ceil(size);
                format!("{{\"data\":{data},\"total_page\":{pages},\"total_count\":{count}}}")
            }
        };
        Response { status, retry_after: None, body: body.into_bytes(), close_error: None }
    }
}

fn scatter(seed: u64, number: u64) -> u64 {
    let mut mixed = (number ^ seed.rotate_left(32)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What the collector did, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Request(String),
    Send(usize),
    Flush,
    Store,
}

/// What is to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The n-th request gets no answer, and none when repeated.
    Request(u64),
    /// The n-th request gets no answer, but the repeated one does.
    Hiccup(u64),
    Send(u64),
    Flush(u64),
    Store(u64),
    /// The state can't be read.
    Load,
    /// From the n-th operation on nothing works any more.
    Crash(u64),
}

/// An answer that is not the source's.
#[derive(Debug, Clone, Copy)]
pub struct Reply {
    pub status: u16,
    pub retry_after: Option<&'static str>,
    pub body: &'static str,
}

/// What happens at the source before the n-th answer of a call.
type Change = Box<dyn FnMut(&mut Source, u64)>;

pub struct Inner {
    pub source: Source,
    pub settings: BTreeMap<&'static str, String>,
    pub state: Option<Vec<u8>>,
    /// What Devo has, by the record that it was made of.
    pub arrived: BTreeMap<String, u32>,
    pub pulling_ids: BTreeSet<String>,
    confirmed: BTreeSet<String>,
    unconfirmed: Vec<Event>,
    /// Whether events that are not confirmed arrive all the same.
    pub unconfirmed_arrive: bool,
    pub trace: Vec<Step>,
    pub log: Vec<String>,
    pub now: DateTime<Utc>,
    elapsed: Duration,
    /// How long the source takes for an answer.
    pub answer_takes: Duration,
    pub faults: BTreeSet<Fault>,
    /// What is answered to the n-th request of a call instead of the source's answer.
    pub replies: BTreeMap<u64, Reply>,
    pub close_error: Option<String>,
    /// Of the last request.
    pub headers: Vec<(String, String)>,
    operations: u64,
    requests: u64,
    refusing: bool,
    sends: u64,
    flushes: u64,
    stores: u64,
    pub crashed: bool,
    between: Option<Change>,
    check_state: bool,
}

pub struct World(RefCell<Inner>);

impl World {
    pub fn new(shape: Shape, settings: &[(&'static str, &str)]) -> Self {
        let mut all = BTreeMap::from([("base_url", "https://api.example.com".to_owned())]);
        all.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Self(RefCell::new(Inner {
            source: Source { shape, records: Vec::new(), filters: false, made: 0, view: None },
            settings: all,
            state: None,
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
            close_error: None,
            headers: Vec::new(),
            operations: 0,
            requests: 0,
            refusing: false,
            sends: 0,
            flushes: 0,
            stores: 0,
            crashed: false,
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

    /// One call on a fresh instance: what was sent and not confirmed is lost or has arrived, nobody knows.
    pub fn pull(&self) -> Result<Summary, Failure> {
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
        let result = pull::pull(self);
        let mut inner = self.inner();
        let rest = std::mem::take(&mut inner.unconfirmed);
        if inner.unconfirmed_arrive {
            inner.arrive(rest);
        }
        result
    }

    /// Pulls until all is delivered, and gives the requests that it took.
    pub fn settle(&self) -> u64 {
        let mut requests = 0;
        for _ in 0..CALLS {
            let summary = self.pull().unwrap();
            requests += summary.statistics.requests;
            if summary.up_to_date {
                return requests;
            }
        }
        panic!("a pull without an end: {:?}", self.inner().source.shape);
    }

    /// Everything at the source has arrived, once.
    #[track_caller]
    pub fn assert_delivered_once(&self) {
        let records = self.inner().source.records.clone();
        self.assert_delivered(&records, 1);
        let inner = self.inner();
        let repeated = inner.arrived.iter().find(|(_, times)| **times > 1);
        assert_eq!(repeated, None, "repeated from {:?}", inner.source.shape);
    }

    /// These records have arrived, and no more often than `times`.
    #[track_caller]
    pub fn assert_delivered(&self, records: &[Record], times: u32) {
        let inner = self.inner();
        for record in records {
            let arrived = inner.arrived.get(&record.compact).copied().unwrap_or(0);
            assert!(
                (1..=times).contains(&arrived),
                "arrived {arrived} times: {} of {:?}\n{:#?}",
                record.compact,
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
    fn arrive(&mut self, events: Vec<Event>) {
        for event in events {
            let body = String::from_utf8(event.body).unwrap();
            assert!(!body.contains(['\n', '\r']), "an event on more than one line: {body}");
            let (record, pulling_id) = body.rsplit_once(",\"@devo_pulling_id\":\"").unwrap();
            self.pulling_ids.insert(pulling_id.trim_end_matches("\"}").to_owned());
            *self.arrived.entry(format!("{record}}}")).or_default() += 1;
        }
    }

    /// Counts an operation; fails it after a crash.
    fn works(&mut self) -> Result<(), String> {
        self.operations += 1;
        let operation = self.operations;
        self.crashed |= self.faults.contains(&Fault::Crash(operation));
        if self.crashed { Err("crashed".to_owned()) } else { Ok(()) }
    }

    fn fails(&mut self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// Nothing may be recorded as delivered that was not confirmed.
    fn check(&self, state: &[u8]) {
        assert!(self.unconfirmed.is_empty(), "stored before {} events were confirmed", self.unconfirmed.len());
        if !self.check_state {
            return;
        }
        let state = State::read(state).unwrap();
        for record in &self.source.records {
            let Some(key) = &record.key else { continue };
            let known = state.ledger.contains(key)
                || state.cycle.as_ref().is_some_and(|cycle| cycle.ledger.contains(key) || cycle.latest.contains(key));
            assert!(!known || self.confirmed.contains(&record.compact), "recorded but not confirmed: {key}");
        }
    }
}

impl Platform for World {
    type Pending = Result<Response, TransportError>;

    fn begin(&self, request: &Request) -> Result<Self::Pending, TransportError> {
        let mut inner = self.inner();
        inner.works().map_err(TransportError::Refused)?;
        inner.requests += 1;
        let number = inner.requests;
        inner.trace.push(Step::Request(request.path_with_query.clone()));
        inner.headers.clone_from(&request.headers);
        if let Some(Reply { status, retry_after, body }) = inner.replies.get(&number).copied() {
            let retry_after = retry_after.map(str::to_owned);
            return Ok(Ok(Response { status, retry_after, body: body.as_bytes().to_vec(), close_error: None }));
        }
        if inner.fails(Fault::Hiccup(number)) {
            return Err(TransportError::Broken("a hiccup".to_owned()));
        }
        inner.refusing |= inner.faults.contains(&Fault::Request(number));
        if inner.refusing {
            return Ok(Err(TransportError::TimedOut("no answer".to_owned())));
        }
        if let Some(mut between) = inner.between.take() {
            between(&mut inner.source, number);
            inner.between = Some(between);
        }
        let close_error = inner.close_error.clone();
        Ok(Ok(Response { close_error, ..inner.source.answer(request) }))
    }

    fn finish(&self, pending: Self::Pending) -> Result<Response, TransportError> {
        let mut inner = self.inner();
        inner.works().map_err(TransportError::Refused)?;
        let takes = inner.answer_takes;
        inner.elapsed += takes;
        inner.now += takes;
        pending
    }

    fn now(&self) -> DateTime<Utc> {
        self.inner().now
    }

    fn elapsed(&self) -> Duration {
        self.inner().elapsed
    }

    fn wait(&self, duration: Duration) {
        let mut inner = self.inner();
        inner.elapsed += duration;
        inner.now += duration;
    }

    fn settings(&self) -> Result<Vec<(String, String)>, String> {
        Ok(self.inner().settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    fn load(&self) -> Result<Option<Vec<u8>>, String> {
        let mut inner = self.inner();
        inner.works()?;
        if inner.fails(Fault::Load) {
            return Err("no answer".to_owned());
        }
        Ok(inner.state.clone())
    }

    fn store(&self, state: &[u8]) -> Result<(), String> {
        let mut inner = self.inner();
        inner.works()?;
        inner.stores += 1;
        let number = inner.stores;
        inner.trace.push(Step::Store);
        inner.check(state);
        if inner.fails(Fault::Store(number)) {
            return Err("no space".to_owned());
        }
        inner.state = Some(state.to_vec());
        Ok(())
    }

    fn send(&self, table: &str, events: Vec<Event>) -> Result<(), String> {
        assert_eq!(table, "drp.cloudsek.xvigil.alerts");
        assert!(events.is_sorted_by_key(|event| event.time), "events not sorted by time");
        let mut inner = self.inner();
        inner.works()?;
        inner.sends += 1;
        let number = inner.sends;
        inner.trace.push(Step::Send(events.len()));
        if inner.fails(Fault::Send(number)) {
            return Err("the queue is closed".to_owned());
        }
        inner.unconfirmed.extend(events);
        Ok(())
    }

    fn flush(&self) -> Result<(), String> {
        let mut inner = self.inner();
        inner.works()?;
        inner.flushes += 1;
        let number = inner.flushes;
        inner.trace.push(Step::Flush);
        if inner.fails(Fault::Flush(number)) {
            return Err("not confirmed".to_owned());
        }
        let events = std::mem::take(&mut inner.unconfirmed);
        for event in &events {
            let body = String::from_utf8_lossy(&event.body);
            let record = body.rsplit_once(",\"@devo_pulling_id\"").map(|(record, _)| format!("{record}}}"));
            inner.confirmed.extend(record);
        }
        inner.arrive(events);
        Ok(())
    }

    /// As a platform without `debug`.
    fn log(&self, level: Level, message: &str) {
        if level == Level::Debug {
            return;
        }
        self.inner().log.push(format!("{level:?} {message}").replace("Warning ", "WARNING ").replace("Info ", "INFO "));
    }
}
