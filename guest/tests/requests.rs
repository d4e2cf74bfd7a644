//! What pulls cost in requests, for histories of any length: the numbers that docs/requests.md shows.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod source;

use chrono::TimeDelta;
use source::{Order, PLAIN, Shape, Totals, World, minutes, start};

const HISTORIES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];

const NEWS: [u64; 4] = [0, 1, 100, 1_000];

/// Requests of a first walk over a history, and with each of the `NEWS`: of the cycle that finds them, and of the one
/// after an hour, which looks at the whole window.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    first: u64,
    cycle: [u64; 4],
    full: [u64; 4],
}

/// The history is ten minutes apart, so that a day has 144 alerts: two pages or three.
fn cost(world: &World, history: u64, turn: impl Fn(&World)) -> Cost {
    world.source(|source| source.add_history(history, start(), minutes(10)));
    let first = world.settle();
    let state = world.inner().state.clone();
    let end = world.inner().now;
    let mut arrived = history;
    let both = NEWS.map(|news| {
        let mut inner = world.inner();
        inner.state.clone_from(&state);
        inner.now = end + minutes(1);
        let now = inner.now;
        inner.source.records.truncate(history as usize);
        inner.source.add_history(news, now, TimeDelta::milliseconds(10));
        drop(inner);
        turn(world);
        let cycle = world.settle();
        world.pass(minutes(60));
        turn(world);
        let full = world.settle();
        arrived += news;
        let different = world.inner().arrived.len() as u64;
        assert_eq!((different, world.repeats()), (arrived, 0));
        (cycle, full)
    });
    Cost { first, cycle: both.map(|(cycle, _)| cycle), full: both.map(|(_, full)| full) }
}

/// Checks that the document shows the costs, and gives them.
fn documented(name: &str, world: impl Fn() -> World, turn: impl Fn(&World)) -> [Cost; 4] {
    let costs = HISTORIES.map(|history| cost(&world().large(), history, &turn));
    let document = include_str!("../../docs/requests.md");
    let rows = costs.iter().zip(HISTORIES).map(|(cost, history)| cost.row(name, history));
    let missing: Vec<_> = rows.filter(|row| !document.lines().any(|line| line == row)).collect();
    assert!(missing.is_empty(), "docs/requests.md does not have\n{}", missing.join("\n"));
    costs
}

impl Cost {
    fn row(&self, name: &str, history: u64) -> String {
        let numbers = [history, self.first].into_iter().chain(self.cycle).chain(self.full);
        format!("| {name} | {} |", numbers.map(grouped).collect::<Vec<_>>().join(" | "))
    }
}

/// A number with commas between its thousands.
fn grouped(number: u64) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", grouped(number / 1_000), number % 1_000) }
}

/// Whatever the history: a first walk is all of its pages, and later ones are as long as the news and the overlap, and up
/// to four requests more.
fn assert_independent(costs: &[Cost; 4]) {
    for (cost, history) in costs.iter().zip(HISTORIES) {
        assert_eq!(cost.first, history / 100 + 1);
        assert_eq!((cost.cycle, cost.full), (costs[0].cycle, costs[0].full));
        for (at, news) in NEWS.into_iter().enumerate() {
            let (news, overlap) = (news.div_ceil(100), 144u64.div_ceil(100));
            assert!(cost.cycle[at] <= news + 4 && cost.full[at] <= news + overlap + 4, "{cost:?}");
        }
    }
}

fn independent(name: &str, shape: Shape) {
    assert_independent(&documented(name, || World::new(shape, &[]), |_| ()));
}

#[test]
fn newest_first_costs_what_is_new() {
    independent("newest first", PLAIN);
}

#[test]
fn oldest_first_costs_what_is_new() {
    independent("oldest first", Shape { order: Order::OldestFirst, ..PLAIN });
}

#[test]
fn newest_first_without_totals_costs_what_is_new() {
    independent("newest first, no totals", Shape { totals: Totals::Missing, ..PLAIN });
}

#[test]
fn oldest_first_without_totals_costs_what_is_new() {
    independent("oldest first, no totals", Shape { order: Order::OldestFirst, totals: Totals::Missing, ..PLAIN });
}

#[test]
fn an_order_that_turns_round_before_every_cycle_costs_what_is_new() {
    let turn = |world: &World| {
        world.source(|source| {
            let newest_first = source.shape.order == Order::NewestFirst;
            let order = if newest_first { Order::OldestFirst } else { Order::NewestFirst };
            source.change(Shape { order, ..source.shape });
        });
    };
    assert_independent(&documented("newest first and oldest first in turns", || World::new(PLAIN, &[]), turn));
}

#[test]
fn no_order_with_a_time_filter_costs_what_is_new() {
    let world = || {
        let shape = Shape { order: Order::Shuffled(7), ..PLAIN };
        let world = World::new(shape, &[("request.time_filter.param", "since")]);
        world.inner().source.filters = true;
        world
    };
    assert_independent(&documented("no order, with a time filter", world, |_| ()));
}

/// Where a new record may be anywhere, nothing but a total that stays the same saves the walk.
#[test]
fn no_order_costs_nothing_while_nothing_is_new_and_else_no_more_than_all_pages() {
    let shape = Shape { order: Order::Shuffled(7), ..PLAIN };
    for (cost, history) in documented("no order", || World::new(shape, &[]), |_| ()).iter().zip(HISTORIES) {
        assert_eq!((cost.first, cost.cycle[0]), (history / 100 + 1, 1));
        for (at, news) in NEWS.into_iter().enumerate() {
            let pages = (history + news) / 100 + 1;
            assert!(cost.cycle[at] <= pages && cost.full[at] <= pages, "{cost:?}");
        }
    }
}

#[test]
fn a_first_walk_with_a_start_time_costs_what_came_since() {
    for history in HISTORIES {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let settings = [("initial_start_time_in_utc", "2024-05-24T00:00:00Z")];
            let world = World::new(Shape { order, ..PLAIN }, &settings).large();
            world.source(|source| source.add_history(history, start(), minutes(10)));
            let requests = world.settle();
            let since = world.inner().arrived.len() as u64;
            assert_eq!(since, history.min(8 * 144 + 1));
            assert!(requests <= since.div_ceil(100) + 3, "{requests} requests for {since} of {history}, {order:?}");
        }
    }
}
