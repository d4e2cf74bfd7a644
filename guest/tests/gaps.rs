//! Pages that can't be read: skipped, reported, retried, and no reason to hold anything else back.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod source;

use std::collections::BTreeMap;

use source::{Kind, Order, PLAIN, PastEnd, Reply, Shape, Totals, World, minutes, start};

const ORDERS: [Order; 3] = [Order::NewestFirst, Order::OldestFirst, Order::Shuffled(7)];

fn refusal(status: u16) -> Reply {
    Reply { status, retry_after: None, body: r#"{"error":{"code":"X17","message":"this page is broken"}}"# }
}

/// Ten pages of ten, the third of which can't be read.
fn broken(order: Order, status: u16) -> World {
    let world = World::paged(Shape { order, ..PLAIN }, 10);
    world.source(|source| source.add_history(100, start(), minutes(97)));
    world.inner().page_replies = BTreeMap::from([(3, refusal(status))]);
    world
}

#[test]
fn a_page_that_cant_be_read_holds_nothing_else_back_and_is_told_with_the_words_of_the_api() {
    for order in ORDERS {
        for status in [400, 404, 416, 422, 500, 502, 302] {
            let world = broken(order, status);
            world.settle();
            let inner = world.inner();
            assert_eq!(inner.arrived.len(), 90, "{order:?} {status}");
            let warnings: Vec<_> = inner
                .log
                .iter()
                .filter(|line| line.starts_with("WARNING Skipping page 3, which can't be read"))
                .collect();
            let said = if status >= 500 { "0498".to_owned() } else { format!("status {status}") };
            match warnings.first() {
                Some(warning) => assert!(warning.contains(&said), "{warning}"),
                // It says that there is no such page, which is no failure of the page.
                None => assert_eq!(status, 404),
            }
            assert!(!matches!(status, 400 | 422) || warnings[0].contains("X17: this page is broken"), "{warnings:?}");
            drop(inner);
            world.run_minutes(10);
            let told = "WARNING 10 of the records that the source counts are missing from the pages that can be read";
            assert_eq!(world.count_in_log(told), 1, "{order:?} {status} {:#?}", world.inner().log);
        }
    }
}

#[test]
fn a_page_that_can_be_read_again_is_delivered_once_its_wait_is_over() {
    for order in ORDERS {
        for status in [400, 404, 500] {
            let world = broken(order, status);
            world.settle();
            world.run_minutes(3);
            let summary = world.pull().unwrap();
            assert_eq!(summary.progress.gaps, 1, "{order:?} {status}");
            world.settle();
            world.inner().page_replies.clear();
            // The waits double: a minute, two, four.
            world.run_minutes(5);
            world.assert_delivered_once();
            assert_eq!(world.pull().unwrap().progress.gaps, 0);
        }
    }
}

#[test]
fn a_page_that_cant_be_read_for_hours_is_asked_for_less_and_less_often() {
    let world = broken(Order::NewestFirst, 500);
    world.settle();
    world.run_minutes(60);
    world.inner().trace.clear();
    world.run_minutes(60);
    let tries = world.pages().iter().filter(|page| **page == 3).count();
    // At the most once for its wait and with the hourly pass, each time with the repetitions of one request.
    assert!((1..=9).contains(&tries), "{tries} requests in an hour");
    assert_eq!(world.inner().arrived.len(), 90);
}

#[test]
fn new_alerts_arrive_in_their_cycle_while_pages_cant_be_read() {
    let world = broken(Order::NewestFirst, 500);
    world.settle();
    for _ in 0..20 {
        world.pass(minutes(1));
        let now = world.inner().now;
        world.source(|source| source.add(now, Kind::Plain));
        let before = world.inner().arrived.len();
        world.settle();
        assert!(world.inner().arrived.len() > before);
    }
}

#[test]
fn a_page_that_was_promised_and_is_not_found_is_no_end() {
    let world = World::new(PLAIN, &[("request.path", "/elsewhere")]);
    world.inner().source.shape.past_end = PastEnd::NotFound;
    world.source(|source| source.add_history(10, start(), minutes(1)));
    // With pages of ten and eleven promised records, the second page has gone by the time it is asked for.
    world.set("request.limit", "10");
    world.inner().source.shape.totals = Totals::Off(1);
    world.settle();
    let told = "WARNING 1 of the records that the source counts are missing from the pages that can be read";
    assert_eq!(world.count_in_log(told), 1, "{:#?}", world.inner().log);
    world.source(|source| {
        source.shape.totals = Totals::Numbers;
        source.add(start() - minutes(60), Kind::Plain);
    });
    world.run_minutes(5);
    world.assert_delivered_once();
}

#[test]
fn a_look_at_the_other_end_that_fails_fails_nothing() {
    for status in [400, 404, 500] {
        let world = World::paged(PLAIN, 100);
        world.source(|source| source.add_history(1_000, start(), minutes(97)));
        world.settle();
        world.pass(minutes(61));
        let now = world.inner().now;
        world.source(|source| source.add(now, Kind::Plain));
        world.inner().trace.clear();
        // The first page leaves the window; the one behind it is the last.
        let reply = Reply { status, retry_after: None, body: "" };
        world.inner().page_replies = [10, 11].map(|page| (page, reply)).into();
        world.settle();
        assert!(world.pages().iter().any(|page| [10, 11].contains(page)), "{:?}", world.pages());
        world.assert_delivered_once();
    }
}

#[test]
fn a_token_that_is_refused_half_way_through_fails_the_call_and_loses_nothing() {
    for status in [401, 403] {
        let world = World::paged(PLAIN, 10);
        world.source(|source| source.add_history(100, start(), minutes(97)));
        world.inner().page_replies = BTreeMap::from([(4, refusal(status))]);
        world.pull().unwrap();
        assert_eq!(world.pull().unwrap_err().code, status);
        assert_eq!(world.inner().arrived.len(), 30, "what was read before is delivered");
        assert_eq!(world.count_in_log("WARNING Page"), 0, "it is no matter of the page");
        world.inner().page_replies.clear();
        world.settle();
        world.assert_delivered_once();
    }
}
