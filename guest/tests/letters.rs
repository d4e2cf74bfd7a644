//! Records that can't become events: kept once each, told, and no reason to hold the others back.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod source;

use std::collections::BTreeSet;

use source::{Fault, Kind, Order, PLAIN, Shape, Step, World, minutes, start};

const ORDERS: [Order; 3] = [Order::NewestFirst, Order::OldestFirst, Order::Shuffled(7)];

const NOT_JSON: &str = r#"{"id":"odd","score":NaN,"incident_time":"2024-05-31T10:00:00Z"}"#;

/// 49 alerts, and one record among them that is not JSON.
fn world(order: Order, limit: u32) -> World {
    let world = World::paged(Shape { order, ..PLAIN }, limit);
    world.source(|source| {
        source.add_history(25, start() - minutes(2_000), minutes(97));
        source.add_text(NOT_JSON, start() - minutes(1_500));
        source.add_history(24, start(), minutes(50));
    });
    world
}

/// How many alerts have arrived and how often one has again, and how often the other record was kept.
fn outcome(world: &World) -> (usize, u64, u32) {
    let repeats = world.repeats();
    let inner = world.inner();
    assert!(inner.letters.keys().all(|content| content == NOT_JSON.as_bytes()));
    (inner.arrived.len(), repeats, inner.letters.values().sum())
}

#[test]
fn a_record_that_is_not_json_does_not_hold_back_the_others_and_is_kept_once() {
    for order in ORDERS {
        for limit in [50, 100, 10, 7, 1] {
            let world = world(order, limit);
            let mut kept = 0;
            loop {
                let summary = world.pull().unwrap();
                kept += summary.statistics.dead_letters;
                if summary.up_to_date {
                    break;
                }
            }
            assert_eq!((outcome(&world), kept), ((49, 0, 1), 1), "{order:?} {limit}");
            assert_eq!(world.count_in_log("WARNING The record at byte"), 1, "{order:?} {limit}");
            for _ in 0..3 {
                world.pass(minutes(61));
                let now = world.inner().now;
                world.source(|source| source.add(now, Kind::Plain));
                world.settle();
            }
            world.run_day();
            assert_eq!(outcome(&world), (52, 0, 1), "{order:?} {limit}");
            assert_eq!(world.count_in_log("WARNING The record at byte"), 1, "told once, {order:?} {limit}");
        }
    }
}

#[test]
fn a_page_of_nothing_but_such_records_is_a_page() {
    let world = World::paged(PLAIN, 3);
    world.source(|source| {
        source.add_history(6, start() - minutes(2_000), minutes(97));
        for number in 0..3 {
            source.add_text(format!(r#"{{"id":{number},"score":NaN}}"#), start() - minutes(1_500));
        }
        source.add_history(3, start(), minutes(50));
    });
    world.settle();
    let inner = world.inner();
    assert_eq!((inner.arrived.len(), inner.letters.len()), (9, 3));
    assert!(inner.letters.values().all(|times| *times == 1));
}

#[test]
fn a_crash_before_the_state_was_stored_keeps_it_once_more_at_most() {
    for order in ORDERS {
        for limit in [100, 10] {
            for fault in (1..40).map(Fault::Crash).chain([Fault::Store(1), Fault::StoreValues, Fault::Flush(1)]) {
                for after in 0..2 {
                    let world = world(order, limit);
                    (0..after).for_each(|_| drop(world.pull()));
                    world.inner().faults = BTreeSet::from([fault]);
                    let _ = world.pull();
                    world.inner().faults.clear();
                    world.settle();
                    let (arrived, _, kept) = outcome(&world);
                    assert_eq!(arrived, 49, "{order:?} {limit} {fault:?}");
                    assert!((1..=2).contains(&kept), "kept {kept} times: {order:?} {limit} {fault:?}");
                    world.run_day();
                    assert_eq!(outcome(&world).2, kept, "{order:?} {limit} {fault:?}");
                }
            }
        }
    }
}

#[test]
fn a_place_for_dead_letters_that_is_full_is_an_error_and_nothing_is_recorded_as_kept() {
    let world = world(Order::NewestFirst, 100);
    world.inner().faults = BTreeSet::from([Fault::Letters]);
    let failure = world.pull().unwrap_err();
    assert_eq!(failure.code, 303, "{failure}");
    assert!(!world.inner().trace.contains(&Step::Store));
    world.inner().faults.clear();
    world.settle();
    let (arrived, _, kept) = outcome(&world);
    assert_eq!((arrived, kept), (49, 1));
}
