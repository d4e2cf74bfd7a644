//! What cycles cost in requests, for histories of any length: the numbers that docs/requests.md shows.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod source;

use chrono::TimeDelta;
use source::{Order, PLAIN, Shape, Totals, World, minutes, start};

const HISTORIES: [u64; 3] = [1_000, 10_000, 100_000];

const NEWS: [u64; 4] = [0, 1, 100, 1_000];

/// A document's line: what a first history costs, its first pass and the one that confirms it; what a cycle
/// costs with each of the `NEWS`; what it costs an hour later, when the overlap is read again; and a day
/// later, when everything is.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    first: u64,
    confirmation: u64,
    cycle: [u64; 4],
    hourly: u64,
    daily: u64,
}

/// Requests of the first pass, with the look of live before it, and of the one that confirms it.
fn first_history(world: &World) -> (u64, u64) {
    world.settle();
    let pages = world.pages();
    // Each pass ends behind the last page, and before the second one page 0 or 1 is asked for.
    let passes: Vec<_> = pages.iter().enumerate().filter(|(_, page)| **page == 2).map(|(at, _)| at).collect();
    let second = *passes.last().unwrap();
    let begin = pages[..second].iter().rposition(|page| *page > 1).map_or(0, |at| at + 1);
    (begin as u64, (pages.len() - begin) as u64)
}

/// The history is ten minutes apart, so that a day has 144 alerts: two pages or three.
fn cost(world: &World, history: u64, turn: impl Fn(&World)) -> Cost {
    world.source(|source| source.add_history(history, start(), minutes(10)));
    let (first, confirmation) = first_history(world);
    let (state, values, end) = {
        let inner = world.inner();
        (inner.state.clone(), inner.values.clone(), inner.now)
    };
    let again = |news: u64| {
        let mut inner = world.inner();
        inner.state.clone_from(&state);
        inner.values.clone_from(&values);
        inner.arrived.retain(|_, times| *times == 1);
        inner.now = end + minutes(1);
        let now = inner.now;
        inner.source.truncate(history);
        inner.source.add_history(news, now, TimeDelta::milliseconds(10));
        drop(inner);
        turn(world);
        world.settle()
    };
    let mut arrived = history;
    let cycle = NEWS.map(|news| {
        let requests = again(news);
        // What a count that grows has brought, where live alone could not find all.
        let mut more = 0;
        arrived += news;
        while (world.inner().arrived.len() as u64) < arrived && more < 20 {
            world.run_minutes(1);
            more += 1;
        }
        let different = world.inner().arrived.len() as u64;
        assert_eq!((different, world.repeats()), (arrived, 0), "{news} new");
        requests
    });
    again(0);
    world.pass(minutes(60));
    turn(world);
    let hourly = world.settle();
    world.pass(TimeDelta::days(1));
    turn(world);
    let daily = world.settle();
    Cost { first, confirmation, cycle, hourly, daily }
}

/// Checks that the document shows the costs, and gives them.
fn documented(name: &str, world: impl Fn() -> World, turn: impl Fn(&World)) -> [Cost; 3] {
    let costs = HISTORIES.map(|history| cost(&world().large(), history, &turn));
    let document = include_str!("../../docs/requests.md");
    let rows = costs.iter().zip(HISTORIES).map(|(cost, history)| cost.row(name, history));
    let missing: Vec<_> = rows.filter(|row| !document.lines().any(|line| line == row)).collect();
    assert!(missing.is_empty(), "docs/requests.md does not have\n{}", missing.join("\n"));
    costs
}

impl Cost {
    fn row(&self, name: &str, history: u64) -> String {
        let numbers = [history, self.first, self.confirmation].into_iter().chain(self.cycle);
        let numbers = numbers.chain([self.hourly, self.daily]);
        format!("| {name} | {} |", numbers.map(grouped).collect::<Vec<_>>().join(" | "))
    }
}

/// A number with commas between its thousands.
fn grouped(number: u64) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", grouped(number / 1_000), number % 1_000) }
}

/// Pages of a history.
fn pages(history: u64) -> u64 {
    history.div_ceil(100)
}

/// What is so of every source: a pass is as long as the source, and three requests more at the most; live
/// asks for the first page, the one that tells how pages are numbered, and the last one.
fn assert_passes(cost: &Cost, history: u64) {
    assert!(cost.first <= pages(history) + 3 + 3, "{cost:?}");
    assert!(cost.confirmation <= pages(history) + 3, "{cost:?}");
    assert!(cost.daily <= pages(history) + 3 + 2, "{cost:?}");
}

/// Whatever the history: later cycles are as long as the news, and up to four requests more; the hourly pass
/// is as long as the overlap, and up to six more, for live, whether there is a page 0, two pages behind the
/// last one, and the other end.
fn assert_independent(costs: &[Cost; 3], quiet: u64) {
    for (cost, history) in costs.iter().zip(HISTORIES) {
        assert_passes(cost, history);
        assert!(cost.cycle[0] <= quiet, "a quiet cycle: {cost:?}");
        for (at, news) in NEWS.into_iter().enumerate() {
            assert!(cost.cycle[at] <= pages(news) + 4, "{cost:?}");
        }
        assert!(cost.hourly <= pages(144) + 6, "{cost:?}");
    }
    assert_eq!((costs[1].cycle, costs[1].hourly), (costs[2].cycle, costs[2].hourly));
}

fn independent(name: &str, shape: Shape, quiet: u64) {
    assert_independent(&documented(name, || World::new(shape, &[]), |_| ()), quiet);
}

#[test]
fn newest_first_costs_what_is_new() {
    independent("newest first", PLAIN, 1);
}

#[test]
fn oldest_first_costs_what_is_new() {
    // The last page is full, which a history of a thousand alerts in pages of a hundred has.
    independent("oldest first", Shape { order: Order::OldestFirst, ..PLAIN }, 2);
}

#[test]
fn newest_first_without_totals_costs_what_is_new() {
    independent("newest first, no totals", Shape { totals: Totals::Missing, ..PLAIN }, 1);
}

#[test]
fn oldest_first_without_totals_costs_what_is_new() {
    independent("oldest first, no totals", Shape { order: Order::OldestFirst, totals: Totals::Missing, ..PLAIN }, 2);
}

#[test]
fn no_order_with_a_time_filter_costs_what_is_new() {
    let world = || {
        let shape = Shape { order: Order::Shuffled(7), ..PLAIN };
        let world = World::new(shape, &[("request.time_filter.param", "since")]);
        world.inner().source.filters = true;
        world
    };
    for (cost, history) in documented("no order, with a time filter", world, |_| ()).iter().zip(HISTORIES) {
        assert_passes(cost, history);
        for (at, news) in NEWS.into_iter().enumerate() {
            let (news, overlap) = (pages(news), pages(144));
            assert!(cost.cycle[at] <= 2 * (news + overlap) + 4, "{cost:?}");
        }
    }
}

/// An order that turns round is noticed by a page that runs wholly the other way.
#[test]
fn an_order_that_turns_round_before_every_cycle_costs_no_more_than_a_pass() {
    let turn = |world: &World| {
        world.source(|source| {
            let newest_first = source.shape.order == Order::NewestFirst;
            let order = if newest_first { Order::OldestFirst } else { Order::NewestFirst };
            source.change(Shape { order, ..source.shape });
        });
    };
    for (cost, history) in
        documented("newest first and oldest first in turns", || World::new(PLAIN, &[]), turn).iter().zip(HISTORIES)
    {
        assert_passes(cost, history);
        for (at, news) in NEWS.into_iter().enumerate() {
            assert!(cost.cycle[at] <= pages(history) + pages(news) + 3 + 2, "{cost:?}");
        }
    }
}

/// Where a new record may be anywhere, nothing but a total that stays the same saves the pass.
#[test]
fn no_order_costs_nothing_while_nothing_is_new_and_else_no_more_than_a_pass() {
    let shape = Shape { order: Order::Shuffled(7), ..PLAIN };
    for (cost, history) in documented("no order", || World::new(shape, &[]), |_| ()).iter().zip(HISTORIES) {
        assert_passes(cost, history);
        assert_eq!(cost.cycle[0], 1);
        for (at, news) in NEWS.into_iter().enumerate() {
            // Live looks at both ends, and where the last page was so many more follow.
            assert!(cost.cycle[at] <= pages(history + news) + pages(news) + 3 + 4, "{cost:?}");
        }
    }
}

#[test]
fn no_order_and_no_totals_costs_a_pass_in_every_cycle() {
    let shape = Shape { order: Order::Shuffled(7), totals: Totals::Missing, ..PLAIN };
    for (cost, history) in documented("no order, no totals", || World::new(shape, &[]), |_| ()).iter().zip(HISTORIES) {
        assert_passes(cost, history);
        for (at, news) in NEWS.into_iter().enumerate() {
            assert!(cost.cycle[at] <= pages(history + news) + 3 + 4, "{cost:?}");
        }
    }
}

#[test]
fn a_first_history_with_a_start_time_costs_two_passes_over_what_came_since() {
    for history in HISTORIES {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let settings = [("initial_start_time_in_utc", "2024-05-24T00:00:00Z")];
            let world = World::new(Shape { order, ..PLAIN }, &settings).large();
            world.source(|source| source.add_history(history, start(), minutes(10)));
            let requests = world.settle();
            let since = world.inner().arrived.len() as u64;
            assert_eq!(since, history.min(8 * 144 + 1));
            // And a page and three looks beyond, before what lies there is taken for older.
            assert!(requests <= 2 * (pages(since) + 9), "{requests} requests for {since} of {history}, {order:?}");
        }
    }
}
