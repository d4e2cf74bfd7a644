//! The source: its records, the order in which it shows them, and what it may look like.

use std::rc::Rc;

use chrono::{DateTime, SecondsFormat, Utc};

use super::random::scatter;

/// When every history begins: 2024-06-01.
pub const START: i64 = 1_717_200_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    NewestFirst,
    OldestFirst,
    /// By when records came, not by their times.
    LatestArrivalFirst,
    FirstArrivalFirst,
    Shuffled(u64),
    /// Shuffled anew at each request.
    Restless(u64),
}

impl Order {
    pub fn is_by_time_or_arrival(self) -> bool {
        !matches!(self, Self::Shuffled(_) | Self::Restless(_))
    }

    /// The order once the source stands still.
    pub fn at_rest(self) -> Self {
        if let Self::Restless(seed) = self { Self::Shuffled(seed) } else { self }
    }
}

/// What the source says of how many records it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Totals {
    Right,
    Strings,
    /// Inside an object of this name.
    Nested(&'static str),
    CountOnly,
    PagesOnly,
    /// The number of the last page, where pages are counted from 0.
    LastPageFromZero,
    Missing,
    Zero,
    /// Never more than this.
    Capped(u64),
    /// Always this.
    Stuck(u64),
    /// Wrong by as much, but following what there is.
    Off(i64),
    /// Right, or wrong by at most this, another time each time.
    Fluttering(u64),
}

impl Totals {
    /// Whether the count of records is there and right.
    pub fn is_right(self) -> bool {
        matches!(self, Self::Right | Self::Strings | Self::Nested(_) | Self::CountOnly | Self::LastPageFromZero)
    }

    /// Whether there is no count of records.
    pub fn is_missing(self) -> bool {
        matches!(self, Self::Missing | Self::Zero | Self::PagesOnly)
    }
}

/// The number that an answer gives itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    Right,
    FromZero,
    AlwaysOne,
    Absent,
}

/// What is answered where there are no records any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastEnd {
    Empty,
    Null,
    NoContent,
    LastPage,
    FirstPage,
    Status(u16),
}

/// What goes wrong with a page, or with all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    Empty,
    NoContent,
    ErrorCode,
    Errors,
    NoSuccess,
    Status(u16),
    Html,
    TimeOut,
    Reset,
    Refused,
}

impl Trouble {
    /// Whether it can't be told from a page that has no records.
    pub fn looks_like_nothing(self) -> bool {
        matches!(self, Self::Empty | Self::NoContent | Self::Status(400 | 404 | 422))
    }
}

/// How often something happens that never stops.
pub const FOR_EVER: u32 = u32::MAX;

/// A page that can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// Counted from 0, whatever the source counts from.
    pub page: u64,
    pub trouble: Trouble,
    pub times: u32,
}

/// What a source looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    pub order: Order,
    /// What its pages are numbered from: 0 or 1.
    pub first_page: u64,
    /// What page 0 is where pages are numbered from 1: none of it, or page 1 once more.
    pub zero_is_one: bool,
    pub totals: Totals,
    pub echo: Echo,
    pub past_end: PastEnd,
    /// Records that it puts on a page at the most.
    pub cap: Option<u64>,
    /// Page sizes above this are refused.
    pub refuses_above: Option<u64>,
    /// Pages from this one on, counted from 0, are refused with this status.
    pub deep: Option<(u64, u16)>,
    /// A page, counted from 0, that has one record less than it could have.
    pub short: Option<u64>,
    pub holes: Vec<Hole>,
}

impl Shape {
    pub fn plain() -> Self {
        Self {
            order: Order::NewestFirst,
            first_page: 1,
            zero_is_one: false,
            totals: Totals::Right,
            echo: Echo::Right,
            past_end: PastEnd::Empty,
            cap: None,
            refuses_above: None,
            deep: None,
            short: None,
            holes: Vec::new(),
        }
    }

    /// How many records a page has when so many are asked for.
    pub fn page_size(&self, limit: u64) -> u64 {
        self.cap.map_or(limit, |cap| cap.min(limit)).max(1)
    }

    /// Where the records of a page, counted from 0, stand among all.
    pub fn range(&self, page: u64, size: u64, count: u64) -> std::ops::Range<usize> {
        let (mut first, mut last) = (page.saturating_mul(size), page.saturating_add(1).saturating_mul(size));
        if let Some(short) = self.short.filter(|_| size > 1) {
            first -= u64::from(page > short);
            last -= u64::from(page >= short);
        }
        first.min(count) as usize..last.min(count) as usize
    }

    pub fn pages(&self, size: u64, count: u64) -> u64 {
        let simple = count.div_ceil(size);
        simple + u64::from(!self.range(simple, size, count).is_empty())
    }
}

/// What kind of record it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    NumberedId,
    WithoutId,
    WithoutTime,
    OddTime,
    /// Not JSON, but within its own braces.
    Broken,
}

/// A record as a history has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Seconds since the beginning of the history, negative before it.
    pub time: i64,
    pub kind: Kind,
}

/// A record at the source, and its text as the source sends it.
#[derive(Debug, Clone)]
pub struct Standing {
    pub record: Record,
    pub number: u64,
    /// How often it was changed.
    pub change: u64,
    pub text: Rc<[u8]>,
    /// Whether what has changed is to be delivered again.
    pub by_content: bool,
}

impl Standing {
    pub fn new(record: Record, number: u64, change: u64, by_content: bool) -> Self {
        let text = text(record, number, change).into();
        Self { record, number, change, text, by_content: by_content || record.kind.is_known_by_content() }
    }

    /// The time that the collector can read.
    pub fn time(&self) -> Option<i64> {
        self.record.kind.has_time().then_some(self.record.time)
    }

    /// What it is known by: a record without an id is another one when it has changed.
    pub fn key(&self) -> (u64, u64) {
        (self.number, if self.by_content { self.change } else { 0 })
    }
}

impl Kind {
    /// Whether the collector can read its time.
    pub fn has_time(self) -> bool {
        !matches!(self, Self::WithoutTime | Self::OddTime | Self::Broken)
    }

    /// Whether it has no id that can be read.
    pub fn is_known_by_content(self) -> bool {
        matches!(self, Self::WithoutId | Self::Broken)
    }
}

/// The id as it is written, if it has one.
pub fn id(kind: Kind, number: u64) -> Option<String> {
    match kind {
        Kind::WithoutId => None,
        Kind::NumberedId => Some(number.to_string()),
        _ => Some(format!("\"{number:024x}\"")),
    }
}

pub fn moment(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(START + seconds, 0).unwrap_or_default()
}

/// The record's text without white space. Number and change come first, so that an event is soon told.
fn text(record: Record, number: u64, change: u64) -> Vec<u8> {
    let id = id(record.kind, number).map_or(String::new(), |id| format!(",\"id\":{id}"));
    let time = match record.kind {
        Kind::WithoutTime => "null".to_owned(),
        Kind::OddTime => "\"soon\"".to_owned(),
        _ => format!("\"{}\"", moment(record.time).to_rfc3339_opts(SecondsFormat::Secs, true)),
    };
    let more = if record.kind == Kind::Broken { ",\"score\":NaN" } else { "" };
    format!("{{\"n\":{number},\"v\":{change}{id},\"incident_time\":{time}{more}}}").into_bytes()
}

/// The records that stand at the source, and how it shows them.
#[derive(Debug)]
pub struct Source {
    pub shape: Shape,
    /// In the order in which they came.
    pub standing: Vec<Standing>,
    /// How many records were ever made.
    pub made: u64,
    /// Requests that all fail, and how.
    pub outage: Option<(u32, Trouble)>,
    pub requests: u64,
    /// Page 0 looked like nothing when it was asked for last, although it is the first page.
    pub hid_page_zero: bool,
    /// Whether what has changed is to be delivered again.
    pub by_content: bool,
    view: Option<Vec<u32>>,
}

impl Source {
    pub fn new(shape: Shape, by_content: bool) -> Self {
        Self {
            shape,
            standing: Vec::new(),
            made: 0,
            outage: None,
            requests: 0,
            hid_page_zero: false,
            by_content,
            view: None,
        }
    }

    /// Adds a record, and gives its number.
    pub fn add(&mut self, record: Record) -> u64 {
        let number = self.made;
        self.made += 1;
        self.standing.push(Standing::new(record, number, 0, self.by_content));
        self.view = None;
        number
    }

    /// Something is different now.
    pub fn stir(&mut self) {
        self.view = None;
    }

    /// Positions in `standing` in the order in which they are shown.
    pub fn view(&mut self) -> &[u32] {
        if matches!(self.shape.order, Order::Restless(_)) {
            self.view = None;
        }
        if self.view.is_none() {
            self.view = Some(self.sorted());
        }
        self.view.as_deref().unwrap_or_default()
    }

    /// The position in `standing` of what is shown so far along, in thousandths.
    pub fn at(&mut self, along: u64) -> Option<usize> {
        let view = self.view();
        let last = view.len().checked_sub(1)?;
        Some(view[(last as u64 * along.min(1000) / 1000) as usize] as usize)
    }

    fn sorted(&self) -> Vec<u32> {
        let mut view: Vec<u32> = (0..self.standing.len() as u32).collect();
        let standing = |at: &u32| &self.standing[*at as usize];
        let age = |at: &u32| (standing(at).record.time, standing(at).number);
        match self.shape.order {
            Order::NewestFirst => view.sort_by_key(|at| std::cmp::Reverse(age(at))),
            Order::OldestFirst => view.sort_by_key(age),
            Order::LatestArrivalFirst => view.reverse(),
            Order::FirstArrivalFirst => {}
            Order::Shuffled(seed) => view.sort_by_key(|at| scatter(seed, standing(at).number)),
            Order::Restless(seed) => view.sort_by_key(|at| scatter(seed ^ self.requests, standing(at).number)),
        }
        view
    }
}
