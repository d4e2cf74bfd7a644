//! Nothing is lost, and little is repeated, whatever fails and whenever.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod source;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use cloudsek_xvigil::failure::Class;
use proptest::prelude::*;
use source::{Fault, Kind, Order, PLAIN, PastEnd, Shape, Step, Totals, World, cases, minutes, sample, start};

const ORDERS: [Order; 3] = [Order::NewestFirst, Order::OldestFirst, Order::Shuffled(7)];

/// A source so slow that a chunk has three pages.
fn slow(shape: Shape, limit: u32) -> World {
    let world = World::paged(shape, limit);
    world.inner().answer_takes = Duration::from_secs(10);
    world
}

/// Events sent in the last call.
fn sent(trace: &[Step]) -> u64 {
    trace.iter().map(|step| if let Step::Send(count) = step { *count as u64 } else { 0 }).sum()
}

/// One call with faults, then calls without; gives what may have been repeated.
fn fail_once(world: &World, faults: &[Fault]) -> u64 {
    world.inner().faults = faults.iter().copied().collect();
    let before = world.inner().trace.len();
    let stored = world.inner().state.clone();
    let failed = world.pull().is_err();
    world.inner().faults.clear();
    let inner = world.inner();
    let call = &inner.trace[before..];
    if failed && inner.state == stored { sent(call) } else { 0 }
}

#[test]
fn events_are_confirmed_before_they_are_recorded() {
    for order in ORDERS {
        let world = slow(Shape { order, ..PLAIN }, 10);
        world.source(|source| source.add_history(95, start(), minutes(97)));
        world.settle();
        let inner = world.inner();
        let deeds: Vec<_> = inner.trace.iter().filter(|step| !matches!(step, Step::Request(_))).collect();
        let chunks: Vec<_> = deeds.split_inclusive(|step| matches!(step, Step::Store)).collect();
        assert!(chunks.iter().filter(|chunk| chunk.len() > 1).count() >= 3, "{deeds:?}");
        for chunk in chunks {
            // Sent, confirmed, the digests stored beside the state, and only then the state.
            let rank = |step: &&Step| match step {
                Step::Send(_) => 1,
                Step::Flush => 2,
                Step::StoreValue(_) => 3,
                Step::Store => 4,
                Step::Request(_) => 0,
            };
            assert!(chunk.iter().map(rank).is_sorted(), "{chunk:?}");
            let has = |wanted: u32| chunk.iter().any(|step| rank(step) == wanted);
            assert!(!has(1) || has(2) && has(3), "what is sent is confirmed and remembered: {chunk:?}");
        }
    }
}

#[test]
fn a_long_history_is_delivered_in_chunks_and_each_is_recorded() {
    let world = slow(PLAIN, 10);
    world.source(|source| source.add_history(95, start(), minutes(97)));
    let mut calls = 0;
    loop {
        calls += 1;
        let summary = world.pull().unwrap();
        assert!(summary.statistics.requests <= 3 && summary.statistics.sent <= 30);
        if summary.up_to_date {
            break;
        }
    }
    // Two passes, three pages in a call.
    assert!(calls <= 2 * (10 + 3) / 3 + 2, "{calls}");
    assert_eq!(world.inner().pulling_ids.len(), 1, "one cycle, one id");
    world.assert_delivered_once();
}

#[test]
fn a_quiet_cycle_sends_nothing() {
    let world = World::new(PLAIN, &[]);
    world.source(|source| source.add_history(5, start(), minutes(97)));
    world.settle();
    world.inner().trace.clear();
    world.pass(minutes(1));
    let summary = world.pull().unwrap();
    assert_eq!((summary.statistics.received, summary.statistics.duplicates, summary.statistics.sent), (5, 5, 0));
    assert!(!world.inner().trace.iter().any(|step| matches!(step, Step::Send(_) | Step::Flush)));
}

#[test]
fn whatever_fails_nothing_is_lost_and_a_chunk_at_most_is_repeated() {
    let faults = (1..=30).flat_map(|number| [Fault::Request(number), Fault::Crash(number)]);
    let faults: Vec<_> = sample(faults).chain([Fault::Send(1), Fault::Flush(1), Fault::Store(1)]).collect();
    for order in ORDERS {
        for arrive in [false, true] {
            for fault in &faults {
                for after in 0..3 {
                    let world = slow(Shape { order, ..PLAIN }, 10);
                    world.source(|source| source.add_history(95, start(), minutes(97)));
                    world.inner().unconfirmed_arrive = arrive;
                    (0..after).for_each(|_| drop(world.pull()));
                    let repeats = fail_once(&world, &[*fault]);
                    assert!(repeats <= 30);
                    world.settle();
                    assert!(world.repeats() <= repeats, "{order:?} {fault:?}");
                    world.assert_delivered(2);
                }
            }
        }
    }
}

#[test]
fn a_state_that_can_not_be_loaded_for_a_while_is_waited_for() {
    let world = World::paged(PLAIN, 10);
    world.source(|source| source.add_history(95, start(), minutes(97)));
    world.settle();
    world.source(|source| source.add_history(5, start() + minutes(98), minutes(1)));
    world.inner().faults = BTreeSet::from([Fault::Load]);
    let failure = world.pull().unwrap_err();
    assert_eq!((failure.class, failure.code), (Class::Pull, 302));
    assert_eq!(world.inner().arrived.len(), 95);
    world.inner().faults.clear();
    world.settle();
    world.assert_delivered_once();
}

#[test]
fn what_was_collected_before_the_source_failed_is_delivered() {
    let world = World::paged(PLAIN, 10);
    world.source(|source| source.add_history(95, start(), minutes(97)));
    world.pull().unwrap();
    assert_eq!(world.pages(), [1, 0]);
    world.inner().trace.clear();
    // Neither the fourth page of the call nor any other.
    world.inner().faults = BTreeSet::from([Fault::Request(4)]);
    assert_eq!(world.pull().unwrap_err().code, 496);
    assert_eq!(world.inner().arrived.len(), 40);
    world.inner().faults.clear();
    world.inner().trace.clear();
    world.settle();
    // A new cycle looks for what is new, and the pass goes on where it stood.
    assert_eq!(world.pages()[..3], [1, 5, 6]);
    world.assert_delivered_once();
}

#[test]
fn a_source_that_fails_after_every_page_gets_ahead() {
    for order in ORDERS {
        let world = World::paged(Shape { order, ..PLAIN }, 10);
        world.source(|source| source.add_history(95, start(), minutes(97)));
        world.inner().faults = BTreeSet::from([Fault::Request(2)]);
        let calls = (1..100).find(|_| world.pull().is_ok_and(|summary| summary.up_to_date));
        // Two passes of ten pages and what follows their end, a page with every third call: the others look
        // for what is new and try what could not be read.
        assert!(calls.is_some_and(|calls| calls <= 2 * 3 * (10 + 3)), "{calls:?}");
        world.assert_delivered_once();
    }
}

#[test]
fn a_request_that_succeeds_when_repeated_costs_only_time() {
    let world = World::paged(PLAIN, 10);
    world.source(|source| source.add_history(95, start(), minutes(97)));
    world.inner().faults = BTreeSet::from([Fault::Hiccup(2), Fault::Hiccup(3), Fault::Hiccup(7)]);
    // Three repeated requests in each of the two calls.
    assert!(world.settle() <= 2 * (10 + 3) + 2 * 3);
    world.assert_delivered_once();
}

#[test]
fn an_outage_of_the_output_stops_the_progress_and_not_more() {
    let world = World::paged(PLAIN, 10);
    world.source(|source| source.add_history(95, start(), minutes(97)));
    world.inner().faults = BTreeSet::from([Fault::Flush(1)]);
    for _ in 0..5 {
        let failure = world.pull().unwrap_err();
        assert_eq!(failure.code, 300);
        assert_eq!(world.inner().state, None);
        world.pass(minutes(10));
    }
    world.inner().faults.clear();
    world.settle();
    world.assert_delivered_once();
}

#[test]
fn an_outage_of_days_is_caught_up_in_chunks_and_repeats_nothing() {
    // Live ends among records that an earlier cycle delivered: they are still known there.
    for order in ORDERS {
        for totals in [Totals::Missing, Totals::Numbers] {
            let world = slow(Shape { order, totals, ..PLAIN }, 10);
            world.source(|source| source.add_history(150, start(), minutes(20)));
            world.settle();
            world.pass(TimeDelta::days(4));
            let now = world.inner().now;
            world.source(|source| source.add_history(200, now, minutes(20)));
            world.settle();
            world.assert_delivered_once();
        }
    }
}

#[test]
fn a_page_size_that_is_changed_during_a_pass_skips_nothing() {
    for (before, after) in [("5", "50"), ("50", "5")] {
        let world = slow(PLAIN, 5);
        world.set("request.limit", before);
        world.source(|source| source.add_history(400, start(), minutes(97)));
        world.pull().unwrap();
        world.set("request.limit", after);
        world.settle();
        world.assert_delivered_once();
    }
}

#[test]
fn records_that_move_during_a_long_pass_are_not_repeated() {
    for order in [Order::FirstArrivalFirst, Order::OldestFirst, Order::Shuffled(9)] {
        let world = slow(Shape { order, ..PLAIN }, 10);
        world.source(|source| source.add_history(300, start(), minutes(97)));
        world.between_answers(|source, _| {
            if source.records.len() > 270 {
                source.remove(0);
            }
        });
        world.settle();
        assert_eq!(world.repeats(), 0, "{order:?}");
    }
}

#[test]
fn a_hundred_thousand_alerts_take_a_bounded_state_and_bounded_chunks() {
    // Each case: apart in seconds, and the state's bound in bytes.
    for (order, apart, bound) in [
        (Order::NewestFirst, 97 * 60, 600_000),
        (Order::OldestFirst, 97 * 60, 600_000),
        (Order::Shuffled(7), 97 * 60, 600_000),
        (Order::NewestFirst, 1, 3_500_000),
        (Order::OldestFirst, 1, 3_500_000),
    ] {
        let world = World::paged(Shape { order, ..PLAIN }, 1000).large();
        world.source(|source| source.add_history(100_000, start(), TimeDelta::seconds(apart)));
        let mut calls = 0;
        let mut largest = 0;
        loop {
            calls += 1;
            let summary = world.pull().unwrap();
            largest = largest.max(world.inner().state.as_ref().unwrap().len());
            assert!(summary.statistics.sent <= 50_000);
            if summary.up_to_date {
                break;
            }
        }
        assert!(calls > 2, "{calls} calls");
        assert!(largest <= bound, "{largest} bytes, {order:?}, {apart} seconds apart");
        world.pass(minutes(61));
        let now = world.inner().now;
        world.source(|source| source.add_history(10, now, TimeDelta::seconds(1)));
        world.settle();
        world.assert_delivered_once();
        let settled = world.inner().state.as_ref().unwrap().len();
        println!("{order:?}, {apart} s apart: {calls} calls, state at most {largest} bytes, {settled} at rest");
        assert!(settled <= 3_000_000, "{settled} bytes at rest");
    }
}

#[test]
fn the_state_is_bounded_even_while_a_flood_follows_a_flood() {
    let world = World::paged(PLAIN, 1000).large();
    world.source(|source| source.add_history(60_000, start(), TimeDelta::seconds(1)));
    world.settle();
    world.pass(TimeDelta::days(2));
    let now = world.inner().now;
    world.source(|source| source.add_history(60_000, now, TimeDelta::seconds(1)));
    let mut largest = 0;
    while !world.pull().unwrap().up_to_date {
        largest = largest.max(world.inner().state.as_ref().unwrap().len());
    }
    println!("a flood after a flood: state at most {largest} bytes");
    assert!(largest <= 7_000_000, "{largest} bytes");
    world.assert_delivered_once();
}

#[test]
fn a_source_that_is_down_for_long_leaves_the_state_as_small_as_it_was() {
    let world = World::new(PLAIN, &[]);
    world.source(|source| source.add_history(50, start(), minutes(97)));
    world.settle();
    let before = world.inner().state.as_ref().unwrap().len();
    world.inner().faults = BTreeSet::from([Fault::Request(1)]);
    for _ in 0..100 {
        world.pull().unwrap_err();
        world.pass(minutes(1));
    }
    assert!(world.inner().state.as_ref().unwrap().len() < before + 1500);
    world.inner().faults.clear();
    let now = world.inner().now;
    world.source(|source| source.add(now, Kind::Plain));
    world.settle();
    world.assert_delivered_once();
}

#[derive(Debug, Clone)]
enum Event {
    News { count: u64, apart_in_seconds: i64 },
    Pass { minutes: i64 },
    Reorder(Order),
    Call,
    Failing(Vec<Fault>),
    Cycle,
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![
        Just(Order::NewestFirst),
        Just(Order::OldestFirst),
        Just(Order::LatestArrivalFirst),
        Just(Order::FirstArrivalFirst),
        (0u64..1000).prop_map(Order::Shuffled),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        (1u64..8).prop_map(Fault::Request),
        (1u64..8).prop_map(Fault::Hiccup),
        Just(Fault::Send(1)),
        Just(Fault::Flush(1)),
        Just(Fault::Store(1)),
        (1u64..25).prop_map(Fault::Crash),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0u64..40, 0i64..1400).prop_map(|(count, apart_in_seconds)| Event::News { count, apart_in_seconds }),
        2 => (1i64..200).prop_map(|minutes| Event::Pass { minutes }),
        1 => order().prop_map(Event::Reorder),
        2 => Just(Event::Call),
        4 => prop::collection::vec(fault(), 1..3).prop_map(Event::Failing),
        2 => Just(Event::Cycle),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(600), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_course_of_failures_loses_nothing(
        order in order(),
        totals in prop::sample::select(&[Totals::Missing, Totals::Numbers, Totals::Strings, Totals::CountOnly, Totals::PagesOnly][..]),
        past_end in prop::sample::select(&[PastEnd::Empty, PastEnd::LastPage, PastEnd::LastPageWithNumber][..]),
        cap in prop::option::of((1u64..30, any::<bool>())),
        limit in prop::sample::select(&[1u32, 2, 5, 11, 100][..]),
        takes in prop::sample::select(&[0u64, 3, 10, 40][..]),
        arrive in any::<bool>(),
        history in 0u64..120,
        apart in prop::sample::select(&[0i64, 1, 60, 3000, 20_000][..]),
        events in prop::collection::vec(event(), 0..16),
    ) {
        let world = World::paged(Shape { order, totals, cap, past_end }, limit);
        world.inner().answer_takes = Duration::from_secs(takes);
        world.inner().unconfirmed_arrive = arrive;
        world.source(|source| source.add_history(history, start(), TimeDelta::seconds(apart)));
        let mut repeats = 0;
        for event in events {
            match event {
                Event::News { count, apart_in_seconds } => {
                    if totals == Totals::Missing {
                        // In the middle of a pass a page's content may then come again and again, as if for
                        // ever.
                        world.settle();
                    }
                    let now = world.inner().now;
                    world.source(|source| source.add_history(count, now, TimeDelta::seconds(apart_in_seconds)));
                }
                Event::Pass { minutes } => world.pass(TimeDelta::minutes(minutes)),
                // In the middle of a pass no order may change: nobody could say then where the rest is.
                Event::Reorder(order) => {
                    world.settle();
                    world.source(|source| source.change(Shape { order, ..source.shape }));
                }
                Event::Call => drop(world.pull().unwrap()),
                Event::Failing(faults) => repeats += fail_once(&world, &faults),
                Event::Cycle => drop(world.settle()),
            }
        }
        // What came during a pass is found by the next one, by the clock.
        world.settle();
        world.run_day();
        world.assert_delivered(u32::MAX);
        prop_assert!(world.repeats() <= repeats, "{} repeats where {} were allowed", world.repeats(), repeats);
    }
}
