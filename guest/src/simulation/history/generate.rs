//! Makes a history from random numbers.

use super::super::random::Random;
use super::super::source::{Echo, FOR_EVER, Hole, Kind, Order, PastEnd, Shape, Totals, Trouble};
use super::{Event, History, Host, Promise, Stored, What};

/// The longest run of pages that fail forever: no promise is followed beyond twelve pages without records.
const LONGEST_RUN: u64 = 6;

pub fn history(random: &mut Random) -> History {
    let mut history = match random.below(100) {
        0..48 => chaos(random),
        48..62 => second_pass(random),
        62..75 => growth(random),
        75..88 => newest_end(random),
        _ => imported(random),
    };
    if history.promise == Promise::Day && history.stored == Stored::Nothing {
        rarities(random, &mut history);
    }
    history
}

/// What few sources and operators have: records that are no JSON, changes that are to be delivered, more
/// alerts than the memory holds.
fn rarities(random: &mut Random, history: &mut History) {
    match random.below(30) {
        0 | 1 => {
            for record in history.records.iter_mut().filter(|_| random.percent(10)) {
                record.kind = Kind::Broken;
            }
        }
        2 => {
            history.deliver_changes = true;
            // Two records of one id with different contents are two changes in each pass.
            history.events.retain(|event| !matches!(event.what, What::Twin { .. }));
            for _ in 0..random.within(1, 6) {
                let what = What::Change { along: random.below(1_001) };
                history.push(random, what);
            }
        }
        3 | 4 => {
            history.memory = Some(random.pick(&[4, 8, 16, 32]));
            // A server that shows others of its records on each page behind its last one has no end for who
            // forgets them.
            if matches!(history.shape.order, Order::Restless(_)) {
                history.shape.past_end = PastEnd::Empty;
            }
            // Where the clock is wrong, so is what is taken for older than the overlap.
            history.events.retain(|event| !matches!(event.what, What::Jump(_) | What::Overlap(_)));
        }
        _ => {}
    }
}

/// Anything at any moment.
fn chaos(random: &mut Random) -> History {
    let mut history = beginning(random);
    history.shape = shape(random, history.pages());
    history.start_time = random.percent(8).then(|| -(random.within(3, 40) as i64) * 43_200);
    history.overlap = random.pick(&[0, 600, 86_400, 86_400, 86_400, 604_800]);
    history.cycles = random.within(1, 10) as u32;
    let some = random.below(9);
    let many = random.below(40);
    let events = if random.percent(10) { many } else { some };
    for _ in 0..events {
        let what = what(random, &history);
        history.push(random, what);
    }
    history.shape.holes.retain(|hole| hole.times > 0);
    history
}

/// All that goes wrong does so before a pass can have come to its end.
fn second_pass(random: &mut Random) -> History {
    let mut history = beginning(random);
    history.promise = Promise::SecondPass;
    history.shape = shape(random, history.pages());
    // What looks like the end to both passes, and nothing counts, is the end until the clock's pass.
    let counts = history.shape.totals.is_right();
    history.shape.holes.retain(|hole| hole.times < 4 && (counts || !hole.trouble.looks_like_nothing()));
    let pages = history.shape.deep.map_or(history.pages(), |(first, _)| first.min(history.pages()));
    history.cycles = 1;
    // A first pass asks for every page once, so it is not over before the last of these requests.
    if pages > 2 {
        for _ in 0..random.within(1, 6) {
            let what = stir(random);
            let step = random.within(1, pages - 1) as u32;
            history.events.push(Event { cycle: 0, step, what });
        }
    }
    if history.host.requests.is_some_and(|requests| u64::from(requests) < pages) {
        history.host.requests = Some(pages as u32 + 4);
    }
    history
}

/// The count is right, and records only come: wherever they do, what is missing shows.
fn growth(random: &mut Random) -> History {
    let mut history = beginning(random);
    history.promise = Promise::Growth;
    history.shape = shape(random, history.pages());
    history.shape.totals = right_totals(random);
    // Where page 0 looks like nothing, pages are counted from 1 until a pass asks again.
    let counts_from_zero = history.shape.first_page == 0;
    let hides_it = |hole: &Hole| counts_from_zero && hole.page == 0 && hole.trouble.looks_like_nothing();
    history.shape.holes.retain(|hole| hole.times < 4 && !hides_it(hole));
    history.cycles = random.within(2, 10) as u32;
    for _ in 0..random.within(1, 8) {
        let what = come(random);
        history.push(random, what);
    }
    if random.percent(30) {
        let what = upset(random);
        history.push(random, what);
    }
    history
}

/// Records only come, and all at the newest end.
fn newest_end(random: &mut Random) -> History {
    let mut history = beginning(random);
    history.promise = Promise::NewestEnd;
    history.shape = shape(random, history.pages());
    let order = if random.percent(60) { Order::NewestFirst } else { Order::OldestFirst };
    history.shape.order = order;
    history.shape.deep = history.shape.deep.filter(|_| order == Order::NewestFirst);
    history.shape.holes.clear();
    // Where every page shows the only one, and as many come as it has, nothing tells that page 0 is another
    // one now.
    if history.shape.first_page == 0 && matches!(history.shape.past_end, PastEnd::LastPage | PastEnd::FirstPage) {
        history.shape.past_end = PastEnd::Empty;
    }
    // Where the only page has all that the total will ever say, nothing tells of another one.
    if let Totals::Capped(_) = history.shape.totals {
        history.shape.cap = None;
    }
    // Without a count, a short page at the end can't be told from the end.
    history.shape.short = None;
    history.cycles = random.within(3, 12) as u32;
    let requests = random.within(3, 8) as u32;
    history.host.requests = Some(requests);
    let burst = history.limit * u64::from(requests) * 2;
    for _ in 0..random.within(1, 6) {
        let what = What::Come { count: random.within(1, burst), age: 0, apart: 1, kind: Kind::Plain };
        history.push(random, what);
        if random.percent(40) {
            let what = upset(random);
            history.push(random, what);
        }
        if random.percent(20) {
            let trouble = trouble(random);
            let page = random.below(4);
            let hole = Hole { page, trouble, times: random.within(1, 3) as u32 };
            // What looks like the end to all who ask, and nothing counts, is the end until the clock's pass.
            if history.shape.totals.is_right() || !trouble.looks_like_nothing() {
                history.push(random, What::Hole(hole));
            }
        }
    }
    history
}

/// What an earlier version has left.
fn imported(random: &mut Random) -> History {
    let mut history = beginning(random);
    history.records.iter_mut().for_each(|record| record.kind = random.pick(&[Kind::Plain, Kind::NumberedId]));
    history.shape.order = random.pick(&[Order::NewestFirst, Order::OldestFirst]);
    history.shape.totals = totals(random, history.records.len() as u64);
    history.overlap = random.pick(&[600, 86_400]);
    let count = history.records.len() as u64;
    let behind = random.below(count.min(2 * history.limit) + 1);
    let version = random.within(2, 3);
    history.stored = match random.below(4) {
        0 => Stored::Version1 { behind },
        1 => Stored::Finished { version, behind },
        _ => Stored::Unfinished { version, next: random.within(1, history.pages().max(1)) },
    };
    history.cycles = random.within(1, 6) as u32;
    for _ in 0..random.below(5) {
        let what = match random.below(4) {
            0 | 1 => What::Come { count: random.within(1, 5), age: 0, apart: 1, kind: Kind::Plain },
            2 => upset(random),
            _ => What::Outage { requests: random.within(1, 6) as u32, trouble: trouble(random) },
        };
        history.push(random, what);
    }
    history
}

impl History {
    /// Adds an event at some moment.
    fn push(&mut self, random: &mut Random, what: What) {
        let cycle = random.below(u64::from(self.cycles)) as u32;
        let steps = if what.is_upset() { 2 * self.pages() + 14 } else { self.pages() + 6 };
        let step = match what {
            // The host starts the service anew between two cycles.
            What::Limit(_) | What::StartTime(_) | What::Overlap(_) | What::Reset => 0,
            _ if what.is_upset() || random.percent(65) => random.within(1, steps),
            _ => 0,
        };
        self.events.push(Event { cycle, step: step as u32, what });
    }
}

/// Records, host and settings; the source is plain.
fn beginning(random: &mut Random) -> History {
    let limit = random.pick(&[1, 2, 3, 4, 5, 7, 8, 10, 10, 10, 13, 20]);
    let (few, many) = (random.below(13), random.within(13, 45));
    let pages = if random.percent(6) { many } else { few };
    let count = (pages * limit).saturating_sub(random.below(limit));
    let mut history = History::plain(count, limit);
    let apart = random.pick(&[0, 1, 60, 60, 60, 3_600, 20_000]);
    let odd = random.percent(25);
    for (number, record) in history.records.iter_mut().enumerate() {
        record.time = -300 - apart * (count as i64 - 1 - number as i64);
        record.kind = if odd { kind(random) } else { Kind::Plain };
    }
    let requests = random.pick(&[3, 4, 5, 6, 8, 10, 15, 20, 30, 60]);
    history.host = Host {
        period: random.pick(&[60, 60, 60, 60, 10, 300]),
        requests: (!random.percent(25)).then_some(requests),
        latency: random.pick(&[1, 10, 50]),
    };
    if let (None, 10) = (history.host.requests, history.host.period) {
        history.host.latency = 1;
    }
    history
}

fn kind(random: &mut Random) -> Kind {
    random.pick(&[Kind::Plain, Kind::Plain, Kind::NumberedId, Kind::WithoutId, Kind::WithoutTime, Kind::OddTime])
}

fn order(random: &mut Random) -> Order {
    match random.below(100) {
        0..35 => Order::NewestFirst,
        35..50 => Order::OldestFirst,
        50..60 => Order::LatestArrivalFirst,
        60..70 => Order::FirstArrivalFirst,
        70..86 => Order::Shuffled(random.next()),
        _ => Order::Restless(random.next()),
    }
}

fn right_totals(random: &mut Random) -> Totals {
    random.pick(&[
        Totals::Right,
        Totals::Right,
        Totals::Strings,
        Totals::Nested("pagination"),
        Totals::Nested("meta"),
        Totals::CountOnly,
        Totals::LastPageFromZero,
    ])
}

fn totals(random: &mut Random, count: u64) -> Totals {
    match random.below(100) {
        0..50 => right_totals(random),
        50..60 => Totals::Missing,
        60..65 => Totals::Zero,
        65..70 => Totals::PagesOnly,
        70..77 => Totals::Capped(random.within(1, count.max(1))),
        77..84 => Totals::Stuck(random.within(1, count.max(1) * 2)),
        84..94 => Totals::Off(random.pick(&[-20, -3, -1, 1, 2, 15])),
        _ => Totals::Fluttering(random.within(1, 9)),
    }
}

fn trouble(random: &mut Random) -> Trouble {
    match random.below(14) {
        0 | 1 => Trouble::Empty,
        2 => Trouble::NoContent,
        3 => Trouble::ErrorCode,
        4 => Trouble::Errors,
        5 => Trouble::NoSuccess,
        6 | 7 => Trouble::Status(random.pick(&[400, 404, 422])),
        8 | 9 => Trouble::Status(random.pick(&[500, 503])),
        10 => Trouble::Html,
        11 => Trouble::TimeOut,
        12 => Trouble::Reset,
        _ => Trouble::Refused,
    }
}

fn shape(random: &mut Random, pages: u64) -> Shape {
    let count = pages * 8;
    let mut shape = Shape { order: order(random), totals: totals(random, count), ..Shape::plain() };
    shape.first_page = u64::from(!random.percent(20));
    shape.zero_is_one = random.percent(30);
    shape.echo = random.pick(&[Echo::Right, Echo::Right, Echo::FromZero, Echo::AlwaysOne, Echo::Absent]);
    shape.past_end = random.pick(&[
        PastEnd::Empty,
        PastEnd::Empty,
        PastEnd::Null,
        PastEnd::NoContent,
        PastEnd::LastPage,
        PastEnd::FirstPage,
        PastEnd::Status(404),
        PastEnd::Status(400),
    ]);
    shape.cap = random.percent(10).then(|| random.within(1, 10));
    shape.short = random.percent(12).then(|| random.below(pages + 1));
    if random.percent(8) && pages > 2 {
        shape.deep = Some((random.within(1, pages), random.pick(&[400, 404, 422])));
    }
    if random.percent(30) && pages > 0 {
        shape.holes = holes(random, pages);
    }
    shape
}

/// Pages that can't be read. Those that look like nothing never stand side by side: then they are the end.
fn holes(random: &mut Random, pages: u64) -> Vec<Hole> {
    let times = if random.percent(50) { FOR_EVER } else { random.within(1, 5) as u32 };
    let first = random.below(pages);
    let trouble = trouble(random);
    let run = if !trouble.looks_like_nothing() && random.percent(25) { random.within(2, LONGEST_RUN) } else { 1 };
    (first..first + run).map(|page| Hole { page, trouble, times }).collect()
}

fn come(random: &mut Random) -> What {
    let age = match random.below(10) {
        0..5 => 0,
        5 | 6 => random.within(60, 3_600),
        7 | 8 => random.within(3_600, 80_000),
        _ => random.within(86_400, 10 * 86_400),
    };
    let count = if random.percent(70) { 1 } else { random.within(1, 25) };
    What::Come { count, age: age as i64, apart: random.pick(&[0, 1, 60]), kind: Kind::Plain }
}

/// Records come, go, change and move.
fn stir(random: &mut Random) -> What {
    match random.below(20) {
        0..8 => match come(random) {
            What::Come { count, age, apart, .. } => {
                let odd = random.percent(20);
                What::Come { count, age, apart, kind: if odd { kind(random) } else { Kind::Plain } }
            }
            other => other,
        },
        8..15 => {
            What::Go { along: random.below(1_001), count: if random.percent(75) { 1 } else { random.within(1, 12) } }
        }
        15..17 => What::Change { along: random.below(1_001) },
        17 => What::Twin { along: random.below(1_001) },
        18 => What::Order(Order::Shuffled(random.next())),
        _ => What::Order(order(random)),
    }
}

fn upset(random: &mut Random) -> What {
    let (done, arrives) = (random.percent(50), random.percent(50));
    if random.percent(55) { What::Kill { done, arrives } } else { What::Fail { done, arrives } }
}

fn what(random: &mut Random, history: &History) -> What {
    match random.below(100) {
        0..55 => stir(random),
        55..72 => upset(random),
        72..78 => What::Outage { requests: random.within(1, 30) as u32, trouble: trouble(random) },
        78..85 => {
            let page = random.below(history.pages() + 1);
            What::Hole(Hole { page, trouble: trouble(random), times: random.within(1, 5) as u32 })
        }
        85..88 => What::Totals(totals(random, history.records.len() as u64)),
        88..91 => What::Limit(random.within(1, 20)),
        91..93 => What::Jump(random.pick(&[-40_000, -7_200, -300, 300, 7_200, 200_000, 2_600_000])),
        93..94 => What::StartTime(-(random.within(3, 40) as i64) * 43_200),
        94..95 => What::Reset,
        95..97 => What::Refuse(Some(random.within(1, history.limit))),
        97 => What::Overlap(random.pick(&[0, 600, 86_400])),
        _ => What::Short(Some(random.below(history.pages() + 1))),
    }
}
