//! `deliver_changes`: an alert whose content has changed is delivered again, once for each change.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod source;

use std::collections::BTreeSet;

use source::{Fault, Kind, Order, PLAIN, Shape, Totals, World, minutes, start};

const ORDERS: [Order; 3] = [Order::NewestFirst, Order::OldestFirst, Order::Shuffled(7)];

const SWITCHED_ON: (&str, &str) = ("deliver_changes", "true");

fn text(id: u32, status: &str) -> String {
    let time = start() - minutes(60 * i64::from(id));
    format!(r#"{{"id":{id},"incident_time":"{}","status":"{status}"}}"#, time.format("%Y-%m-%dT%H:%M:%SZ"))
}

/// Forty alerts, an hour apart; the newest has the number 0.
fn world(order: Order, totals: Totals, settings: &[(&'static str, &str)]) -> World {
    let settings = [&[("request.limit", "10")], settings].concat();
    let world = World::new(Shape { order, totals, ..PLAIN }, &settings);
    world.source(|source| {
        for id in (0..40).rev() {
            source.add_text(text(id, "open"), start() - minutes(60 * i64::from(id)));
        }
    });
    world.settle();
    world.assert_delivered_once();
    world
}

fn change(world: &World, id: u32, status: &str) {
    world.source(|source| source.rewrite(39 - id as usize, &text(id, status)));
}

/// How often this alert has arrived with this status.
fn times(world: &World, id: u32, status: &str) -> u32 {
    world.inner().arrived.get(text(id, status).as_bytes()).copied().unwrap_or(0)
}

/// How many events have arrived in all.
fn events(world: &World) -> u32 {
    world.inner().arrived.values().sum()
}

#[test]
fn a_change_is_not_delivered_unless_that_is_switched_on() {
    for settings in [&[][..], &[("deliver_changes", "false")]] {
        let world = world(Order::NewestFirst, Totals::Numbers, settings);
        change(&world, 0, "closed");
        change(&world, 25, "closed");
        world.run_minutes(3);
        world.run_day();
        assert_eq!(events(&world), 40);
    }
}

#[test]
fn a_change_on_the_newest_page_is_delivered_once_in_its_cycle() {
    for totals in [Totals::Numbers, Totals::Missing] {
        let world = world(Order::NewestFirst, totals, &[SWITCHED_ON]);
        for (round, status) in ["closed", "open again", "closed", "open"].into_iter().enumerate() {
            let before = times(&world, 3, status);
            change(&world, 3, status);
            world.run_minutes(1);
            assert_eq!(times(&world, 3, status), before + 1, "{status}");
            world.run_minutes(3);
            assert_eq!(events(&world), 41 + round as u32, "{status}");
        }
        world.run_day();
        assert_eq!(events(&world), 44);
    }
}

#[test]
fn a_change_anywhere_is_delivered_once_by_a_pass() {
    for order in ORDERS {
        for totals in [Totals::Numbers, Totals::Missing] {
            let world = world(order, totals, &[SWITCHED_ON]);
            for (round, status) in ["closed", "open again"].into_iter().enumerate() {
                for id in [0, 15, 25, 39] {
                    change(&world, id, status);
                }
                world.run_minutes(3);
                world.run_day();
                for id in [0, 15, 25, 39] {
                    assert_eq!(times(&world, id, status), 1, "{id} {status} {order:?} {totals:?}");
                }
                assert_eq!(events(&world), 44 + 4 * round as u32, "{order:?} {totals:?}");
            }
            world.run_day();
            assert_eq!(events(&world), 48);
        }
    }
}

#[test]
fn changes_and_new_alerts_together_are_each_delivered_once() {
    for order in ORDERS {
        let world = world(order, Totals::Numbers, &[SWITCHED_ON]);
        for round in 0..5 {
            world.pass(minutes(1));
            let now = world.inner().now;
            change(&world, round, "closed");
            world.source(|source| source.add(now, Kind::Plain));
            world.settle();
        }
        world.run_day();
        assert_eq!(events(&world), 50, "{order:?}");
        assert!((0..5).all(|id| times(&world, id, "closed") == 1), "{order:?}");
    }
}

#[test]
fn switched_on_later_it_delivers_the_changes_from_then_on_and_nothing_else_again() {
    for order in ORDERS {
        let world = world(order, Totals::Numbers, &[]);
        change(&world, 0, "before");
        world.run_day();
        world.set(SWITCHED_ON.0, SWITCHED_ON.1);
        // What alerts looked like when they were delivered was not noted: from now on it is.
        world.run_minutes(3);
        world.run_day();
        assert_eq!(events(&world), 40, "{order:?}");
        change(&world, 0, "after");
        change(&world, 25, "after");
        world.run_minutes(3);
        world.run_day();
        assert_eq!((times(&world, 0, "after"), times(&world, 25, "after")), (1, 1), "{order:?}");
        assert_eq!(events(&world), 42, "{order:?}");
    }
}

#[test]
fn switched_off_again_it_delivers_no_changes_and_nothing_twice() {
    let world = world(Order::NewestFirst, Totals::Numbers, &[SWITCHED_ON]);
    world.set(SWITCHED_ON.0, "false");
    change(&world, 0, "closed");
    world.run_minutes(3);
    world.run_day();
    assert_eq!(events(&world), 40);
    world.set(SWITCHED_ON.0, "true");
    world.run_minutes(3);
    world.run_day();
    assert!(times(&world, 0, "closed") <= 1);
    assert!(events(&world) <= 41);
}

#[test]
fn a_crash_before_the_state_was_stored_delivers_a_change_once_more_at_most() {
    for fault in (1..20).map(Fault::Crash).chain([Fault::Store(1), Fault::StoreValues, Fault::Flush(1), Fault::Send(1)])
    {
        let world = world(Order::NewestFirst, Totals::Numbers, &[SWITCHED_ON]);
        change(&world, 3, "closed");
        world.pass(minutes(1));
        world.inner().faults = BTreeSet::from([fault]);
        let _ = world.pull();
        world.inner().faults.clear();
        world.settle();
        world.run_minutes(3);
        let delivered = times(&world, 3, "closed");
        assert!((1..=2).contains(&delivered), "{delivered} times: {fault:?}");
        world.run_day();
        assert_eq!(times(&world, 3, "closed"), delivered, "{fault:?}");
        assert_eq!(events(&world), 40 + delivered, "{fault:?}");
    }
}
