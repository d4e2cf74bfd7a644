//! Minimal reproductions of what the engine does wrong: to be put into guest/tests/faults.rs.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod source;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use source::{Kind, Order, PLAIN, PastEnd, Reply, Shape, Totals, World, minutes, start};

/// Pages without wanted records count as pages with nothing new: after twelve of them a pass ends before it
/// has met anything wanted. Nothing is ever delivered.
#[test]
fn a_start_time_far_from_the_first_page_hides_nothing() {
    let settings = [("initial_start_time_in_utc", "2024-05-25T00:00:00Z"), ("request.limit", "10")];
    let world = World::new(Shape { order: Order::OldestFirst, totals: Totals::Missing, ..PLAIN }, &settings);
    world.source(|source| source.add_history(300, start(), minutes(97)));
    world.settle();
    world.run_day();
    let arrived = world.inner().arrived.len();
    assert_eq!(arrived, 104);
}

/// A gap whose pages answer with the last page (which the server repeats forever) is tried, makes a pass
/// due, and is a gap again that is due at once, for its parts and what joins them keep the old time of the
/// next try.
#[test]
fn promised_pages_that_repeat_the_last_one_do_not_keep_a_cycle_for_ever() {
    for past_end in [PastEnd::LastPage, PastEnd::LastPageWithNumber] {
        for totals in [Totals::Off(40), Totals::Stuck(150)] {
            let world = World::paged(Shape { totals, past_end, ..PLAIN }, 7);
            world.source(|source| source.add_history(49, start(), minutes(97)));
            world.settle();
            world.run_minutes(2);
        }
    }
}

/// The walk has been taken out of the state when the account is told, so that its gaps are never named.
#[test]
fn the_account_names_the_pages_that_cant_be_read() {
    let world = World::paged(PLAIN, 10);
    world.source(|source| source.add_history(100, start(), minutes(97)));
    world.inner().page_replies = BTreeMap::from([(3, Reply { status: 400, retry_after: None, body: "" })]);
    world.settle();
    world.run_minutes(5);
    assert_eq!(world.count_in_log("WARNING 10 of the records that the source counts are missing from the pages that can be read; pages that can't be read: 3 ("), 1);
}

/// Live begins at the page that the wrong total names and gives up after twelve empty ones; the hourly pass
/// goes back from the last page that is known, and not from what lies behind it. So new alerts wait for the
/// daily pass.
#[test]
fn a_total_far_above_the_truth_does_not_hide_the_last_page() {
    let world = World::paged(Shape { order: Order::OldestFirst, totals: Totals::Stuck(150), ..PLAIN }, 7);
    world.source(|source| source.add_history(60, start() - minutes(5), minutes(97)));
    world.settle();
    for cycle in 0..3 {
        world.pass(minutes(1));
        let now = world.inner().now;
        world.source(|source| {
            source.add(now - minutes(30 * cycle), Kind::Plain);
            source.add(now - TimeDelta::seconds(1), Kind::Plain);
            source.add(now - TimeDelta::seconds(1), Kind::NumberedId);
        });
        world.settle();
    }
    world.pass(minutes(60));
    world.settle();
    world.assert_delivered_once();
}

/// The same of the look at the other end: it goes to the last page that is known although the source names a
/// later one.
#[test]
fn the_look_at_the_other_end_goes_to_the_page_that_the_source_names() {
    let shape = Shape { order: Order::FirstArrivalFirst, totals: Totals::PagesOnly, ..PLAIN };
    let world = World::paged(shape, 20);
    world.source(|source| (0..60).for_each(|back| source.add(start() - minutes(97 * back), Kind::Plain)));
    world.settle();
    world.pass(minutes(61));
    let now = world.inner().now;
    world.source(|source| source.add_history(2, now, minutes(1)));
    world.settle();
    world.assert_delivered_once();
}

/// Without totals, records known from before on twelve pages in a row behind the last page of the pass before
/// end a pass, although none of them was met in it: what stands behind them waits for as many passes as it
/// takes, twelve pages at a time.
#[test]
fn known_records_that_were_shifted_far_back_are_no_end() {
    let world = World::paged(Shape { order: Order::OldestFirst, totals: Totals::Missing, ..PLAIN }, 1);
    world.source(|source| source.add_history(49, start(), TimeDelta::zero()));
    world.settle();
    for count in [24, 26] {
        let now = world.inner().now;
        world.source(|source| source.add_history(count, now, TimeDelta::seconds(2)));
    }
    world.settle();
    world.run_day();
    world.assert_delivered_once();
}

/// 404 on page 0 counts as an answer, so that an API that says 404 to everything is up to date without a
/// word.
#[test]
fn an_api_that_knows_no_page_at_all_is_an_error_at_the_very_start() {
    let world = World::paged(PLAIN, 10);
    world.source(|source| source.add_history(25, start(), minutes(97)));
    world.inner().replies =
        (1..=30).map(|number| (number, Reply { status: 404, retry_after: None, body: "" })).collect();
    assert_eq!(world.pull().unwrap_err().code, 404);
}

/// The log is to show what was stored, and that was version 1.
#[test]
fn the_log_shows_the_version_that_was_stored() {
    let world = World::new(PLAIN, &[]).large();
    world.inner().state = Some(br#"{"initial_start_time_in_utc":null,"last_event_time_in_utc":"2024-05-31T00:00:00Z","last_ids":["a"],"@persistence_version":1}"#.to_vec());
    cloudsek_xvigil::pull::pre_pull(&world).unwrap();
    let log = world.inner().log.clone();
    assert!(log[1].ends_with("'last_ids': ['a'], '@persistence_version': 1}"), "{}", log[1]);
}

/// 404 on the last page counts as an answer: a known source that says 404 to everything is up to date without
/// a word.
#[test]
fn an_api_that_knows_no_page_any_more_is_an_error() {
    let world = World::paged(PLAIN, 10);
    world.source(|source| source.add_history(25, start(), minutes(97)));
    world.settle();
    world.pass(minutes(1));
    world.inner().replies =
        (1..=30).map(|number| (number, Reply { status: 404, retry_after: None, body: "" })).collect();
    assert_eq!(world.pull().unwrap_err().code, 404);
}

/// The only page of a small source is "full", for nothing larger was seen, though the total says that there
/// is no more: each quiet cycle asks for the page behind it.
#[test]
fn a_small_source_that_counts_right_costs_one_request() {
    for history in [5, 20, 99] {
        let world = World::paged(Shape { order: Order::OldestFirst, ..PLAIN }, 100);
        world.source(|source| source.add_history(history, start(), minutes(10)));
        world.settle();
        world.pass(minutes(1));
        assert_eq!(world.settle(), 1, "{history}");
    }
}
