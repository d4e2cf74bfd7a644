//! The memory of everything delivered, in values of its own beside the state: what a crash between the two
//! leaves, and what becomes of a store that loses one.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod source;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use source::{Fault, Kind, Order, PLAIN, Record, Shape, Step, Totals, World, minutes, start};

const ORDERS: [Order; 3] = [Order::NewestFirst, Order::OldestFirst, Order::Shuffled(7)];

/// A source so slow that a chunk has three pages.
fn slow(order: Order) -> World {
    let world = World::paged(Shape { order, ..PLAIN }, 10);
    world.inner().answer_takes = Duration::from_secs(10);
    world.source(|source| source.add_history(95, start(), minutes(97)));
    world
}

#[test]
fn a_crash_after_the_digests_were_stored_and_before_the_state_was_repeats_nothing() {
    for order in ORDERS {
        for after in 0..4 {
            let world = slow(order);
            (0..after).for_each(|_| assert!(world.pull().is_ok()));
            world.inner().faults = BTreeSet::from([Fault::Store(1)]);
            assert_eq!(world.pull().unwrap_err().code, 301);
            assert!(!world.inner().values.is_empty());
            world.inner().faults.clear();
            if after == 0 {
                // The first state of all has the key that digests are made with: what was stored without it
                // means nothing.
                world.settle();
                world.assert_delivered(2);
                assert!(world.repeats() <= 30);
            } else {
                world.settle();
                world.assert_delivered_once();
            }
        }
    }
}

#[test]
fn digests_that_cant_be_stored_leave_the_state_as_it_was_and_repeat_a_chunk_at_most() {
    for order in ORDERS {
        for after in 0..4 {
            let world = slow(order);
            (0..after).for_each(|_| assert!(world.pull().is_ok()));
            let stored = world.inner().state.clone();
            world.inner().faults = BTreeSet::from([Fault::StoreValues]);
            assert_eq!(world.pull().unwrap_err().code, 301);
            assert_eq!(world.inner().state, stored, "the state knows of nothing that the digests don't");
            world.inner().faults.clear();
            world.settle();
            world.assert_delivered(2);
            assert!(world.repeats() <= 30);
        }
    }
}

#[test]
fn a_state_that_is_newer_than_the_digests_repeats_and_loses_nothing() {
    // A store that has acknowledged what it did not keep, or a copy of it that was put back.
    for order in ORDERS {
        let world = World::paged(Shape { order, ..PLAIN }, 10);
        world.source(|source| source.add_history(95, start(), minutes(97)));
        world.settle();
        let values = world.inner().values.clone();
        world.pass(minutes(97));
        let now = world.inner().now;
        world.source(|source| source.add_history(25, now, minutes(1)));
        world.settle();
        world.inner().values = values;
        for _ in 0..3 {
            world.pass(minutes(61));
            let now = world.inner().now;
            world.source(|source| source.add(now, Kind::Plain));
            world.settle();
        }
        world.run_day();
        world.assert_delivered_once();
    }
}

#[test]
fn a_store_that_loses_all_digests_is_warned_of_and_nothing_is_lost_or_repeated_within_the_overlap() {
    for order in ORDERS {
        for totals in [Totals::Numbers, Totals::Missing] {
            let world = World::paged(Shape { order, totals, ..PLAIN }, 10);
            world.source(|source| source.add_history(95, start(), minutes(97)));
            world.settle();
            world.inner().values.clear();
            for round in 0..3 {
                world.pass(minutes(61));
                let now = world.inner().now;
                world.source(|source| {
                    source.add(now, Kind::Plain);
                    // Late, within the overlap of a day.
                    source.add(start() - minutes(600 + round), Kind::Plain);
                });
                world.settle();
            }
            world.pass(minutes(61));
            world.settle();
            assert!(world.count_in_log("WARNING Only 0 of 95 delivered alerts are remembered") > 0);
            world.assert_delivered(2);
            world.run_day();
            world.assert_delivered(2);
            let inner = world.inner();
            // The overlap reaches back from the newest alert.
            let within = |record: &&Record| record.time >= start() + minutes(3 * 61) - TimeDelta::days(1);
            assert!(inner.source.records.iter().filter(within).all(|record| inner.times(record) == 1));
        }
    }
}

#[test]
fn one_lost_value_of_several_is_warned_of_and_loses_nothing_that_is_new() {
    let world = World::paged(PLAIN, 1000).large();
    world.source(|source| source.add_history(100_000, start(), minutes(10)));
    world.settle();
    let names: Vec<_> = world.inner().values.keys().cloned().collect();
    assert!(names.len() > 1, "{names:?}");
    for name in names {
        let before = world.inner().arrived.len();
        let (state, values, now) = {
            let inner = world.inner();
            (inner.state.clone(), inner.values.clone(), inner.now)
        };
        world.inner().values.remove(&name);
        world.pass(minutes(61));
        let time = world.inner().now;
        world.source(|source| source.add_history(25, time, minutes(1)));
        world.settle();
        world.run_day();
        assert_eq!(world.inner().arrived.len(), before + 25, "without {name}");
        assert!(world.count_in_log("WARNING Only ") > 0);
        world.source(|source| source.truncate(100_000));
        let mut inner = world.inner();
        (inner.state, inner.values, inner.now) = (state, values, now);
        inner.log.clear();
    }
}

#[test]
fn a_quiet_cycle_stores_no_digests() {
    let world = World::paged(PLAIN, 10);
    world.source(|source| source.add_history(95, start(), minutes(97)));
    world.settle();
    world.inner().trace.clear();
    world.run_minutes(5);
    assert!(!world.inner().trace.iter().any(|step| matches!(step, Step::StoreValue(_))));
    world.pass(TimeDelta::days(1));
    world.settle();
    let stored = world.inner().trace.iter().filter(|step| matches!(step, Step::StoreValue(_))).count();
    assert_eq!(stored, 0, "a pass that finds nothing changes nothing");
}
