//! Makes a history that breaks a promise smaller, as long as it still breaks the same one.

use std::time::{Duration, Instant};

use super::check::Check;
use super::history::{History, Promise, What};
use super::host;
use super::source::{Echo, Kind, Order, PastEnd, Shape, Totals};
use crate::planted::Planted;

/// The smallest history found within this time.
pub fn shrink(history: &History, planted: Option<Planted>, check: Check, time: Duration) -> History {
    let end = Instant::now() + time;
    let breaks = |candidate: &History| {
        candidate != history && host::run(candidate, planted, false).result.is_err_and(|failure| failure.check == check)
    };
    let mut smallest = history.clone();
    loop {
        let better = candidates(&smallest)
            .into_iter()
            .take_while(|_| Instant::now() < end)
            .find(|candidate| *candidate != smallest && breaks(candidate));
        match better {
            Some(better) => smallest = better,
            None => return smallest,
        }
    }
}

/// Histories that are a bit smaller. Conditions of the promise stay as they are.
fn candidates(history: &History) -> Vec<History> {
    let mut candidates = Vec::new();
    let mut with = |change: &dyn Fn(&mut History)| {
        let mut candidate = history.clone();
        change(&mut candidate);
        candidates.push(candidate);
    };
    let events = history.events.len();
    for length in [events / 2, events / 4, 1] {
        for first in (0..events).step_by(length.max(1)).filter(|_| length > 0) {
            with(&|history| drop(history.events.drain(first..(first + length).min(events))));
        }
    }
    let last = history.events.iter().map(|event| event.cycle + 1).max().unwrap_or(1);
    with(&|history| history.cycles = last.max(1));
    let records = history.records.len();
    // Where a promise holds only for what happens within the first pass, there have to be as many pages.
    if history.promise != Promise::SecondPass {
        for length in [records / 2, records / 4, history.limit as usize, 1] {
            with(&|history| drop(history.records.drain(..length.min(records))));
            with(&|history| history.records.truncate(records - length.min(records)));
        }
    }
    with(&|history| history.shape.holes.clear());
    for at in 0..history.shape.holes.len() {
        with(&|history| history.shape.holes.truncate(at));
    }
    let plain = Shape::plain();
    with(&|history| history.shape.order = history.shape.order.at_rest());
    with(&|history| history.shape.order = Order::NewestFirst);
    with(&|history| history.shape.totals = Totals::Right);
    with(&|history| history.shape.echo = Echo::Right);
    with(&|history| history.shape.past_end = PastEnd::Empty);
    with(&|history| history.shape.first_page = plain.first_page);
    with(&|history| history.shape.zero_is_one = false);
    with(&|history| history.shape.cap = None);
    with(&|history| history.shape.deep = None);
    with(&|history| history.shape.short = None);
    with(&|history| history.shape.refuses_above = None);
    with(&|history| history.start_time = None);
    with(&|history| history.overlap = 86_400);
    with(&|history| history.host.period = 60);
    with(&|history| history.host.latency = 10);
    with(&|history| history.host.requests = None);
    with(&|history| history.records.iter_mut().for_each(|record| record.kind = Kind::Plain));
    with(&|history| {
        let count = history.records.len() as i64;
        for (number, record) in history.records.iter_mut().enumerate() {
            record.time = -300 - 60 * (count - 1 - number as i64);
        }
    });
    for at in 0..events {
        with(&|history| history.events[at].step = 0);
        with(&|history| history.events[at].step /= 2);
        with(&|history| history.events[at].cycle = history.events[at].cycle.saturating_sub(1));
        with(&|history| match &mut history.events[at].what {
            What::Come { count, .. } | What::Go { count, .. } => *count = (*count / 2).max(1),
            What::Kill { done, arrives } | What::Fail { done, arrives } => (*done, *arrives) = (false, false),
            _ => {}
        });
    }
    candidates
}
