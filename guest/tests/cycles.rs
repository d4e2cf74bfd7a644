//! What a cycle costs: requests grow with what is new, and not with the history.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod source;

use chrono::TimeDelta;
use source::{Order, PLAIN, Shape, Totals, World, minutes, start};

const ORDERS: [Order; 5] =
    [Order::NewestFirst, Order::OldestFirst, Order::LatestArrivalFirst, Order::FirstArrivalFirst, Order::Shuffled(7)];

/// Requests of the first history, of a quiet cycle, of one with `news` alerts, and of a quiet one after an
/// hour.
fn cost(shape: Shape, limit: u32, history: u64, news: u64) -> [u64; 4] {
    let world = World::paged(shape, limit);
    world.source(|source| source.add_history(history, start(), minutes(10)));
    let first = world.settle();
    world.pass(minutes(1));
    let quiet = world.settle();
    world.pass(minutes(1));
    let now = world.inner().now;
    world.source(|source| source.add_history(news, now, TimeDelta::milliseconds(10)));
    let busy = world.settle();
    world.pass(minutes(60));
    let full = world.settle();
    world.assert_delivered_once();
    [first, quiet, busy, full]
}

#[test]
fn requests_grow_with_what_is_new_and_not_with_the_history() {
    for history in [1_050, 10_050, 30_050] {
        let pages = history / 100 + 1;
        // Ten minutes apart, so that the overlap of a day has 144 alerts: two pages, and the 240 new ones
        // three.
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let [first, quiet, busy, full] = cost(Shape { order, ..PLAIN }, 100, history, 240);
            assert!(first <= 2 * (pages + 3), "{first} requests for {pages} pages twice, {order:?}");
            assert_eq!(quiet, 1);
            assert!(busy <= 3 + 1 && full <= 4 + 5, "{busy} {full} {order:?}");
        }
        let [first, quiet, ..] = cost(Shape { order: Order::Shuffled(5), ..PLAIN }, 100, history, 240);
        assert!(first <= 2 * (pages + 3), "{first} requests for {pages} pages twice, in no order");
        assert_eq!(quiet, 1);
    }
}

#[test]
fn requests_do_not_grow_with_the_history_where_totals_are_missing() {
    for history in [1_050, 10_050] {
        let pages = history / 100 + 1;
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let shape = Shape { order, totals: Totals::Missing, ..PLAIN };
            let [first, quiet, busy, full] = cost(shape, 100, history, 250);
            assert!(first <= 2 * (pages + 3), "{first} requests for {pages} pages twice, {order:?}");
            // Once an hour it is asked too whether there is a page 0 now.
            assert!(quiet <= 2 && busy <= 5 && full <= 4 + 6, "{quiet} {busy} {full} {order:?}");
        }
    }
}

#[test]
fn a_small_source_costs_a_request_or_two() {
    for order in ORDERS {
        for history in [0, 1, 5, 99] {
            let [first, quiet, busy, full] = cost(Shape { order, ..PLAIN }, 100, history, 0);
            assert!(first <= 2 * (1 + 3), "{first} {order:?} {history}");
            // Two at the end where the only page is the last and full, for nothing larger was seen; and of an
            // empty source, for nobody can tell whether its pages are numbered from 0 or 1.
            let bound =
                if history > 0 && matches!(order, Order::NewestFirst | Order::LatestArrivalFirst) { 1 } else { 2 };
            assert!((1..=bound).contains(&quiet) && (1..=bound).contains(&busy), "{quiet} {busy} {order:?} {history}");
            assert!(full <= 1 + 3, "{full} {order:?} {history}");
        }
    }
}
