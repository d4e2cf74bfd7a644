//! Sources that move: orders that turn, records that come late, go, or stand elsewhere from one answer to the
//! next.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod source;

use std::time::Duration;

use chrono::TimeDelta;
use proptest::prelude::*;
use source::{Kind, Order, PLAIN, PastEnd, Shape, Totals, World, cases, minutes, start};

const ORDERS: [Order; 5] =
    [Order::NewestFirst, Order::OldestFirst, Order::LatestArrivalFirst, Order::FirstArrivalFirst, Order::Shuffled(7)];

const TOTALS: [Totals; 11] = [
    Totals::Missing,
    Totals::Numbers,
    Totals::Strings,
    Totals::Nested("pagination"),
    Totals::Nested("meta"),
    Totals::CountOnly,
    Totals::PagesOnly,
    Totals::Stuck(150),
    Totals::Stuck(0),
    Totals::Off(40),
    Totals::Off(-40),
];

const PAST_ENDS: [PastEnd; 4] = [PastEnd::Empty, PastEnd::Null, PastEnd::LastPage, PastEnd::LastPageWithNumber];

#[test]
fn an_order_that_changes_between_cycles_loses_nothing() {
    for first in ORDERS {
        for second in ORDERS {
            for totals in [Totals::Missing, Totals::Numbers, Totals::CountOnly, Totals::PagesOnly] {
                for limit in [1, 7, 100] {
                    let world = World::paged(Shape { order: first, totals, ..PLAIN }, limit);
                    world.source(|source| source.add_history(40, start(), minutes(97)));
                    world.settle();
                    for round in 0..3 {
                        world.pass(minutes(40));
                        let now = world.inner().now;
                        world.source(|source| {
                            source.change(Shape { order: second, totals, ..PLAIN });
                            source.add_history(3, now - minutes(round), minutes(1));
                        });
                        world.settle();
                        // A count that grows brings a pass in minutes. Where none does, an order that is not
                        // what it was is noticed by the clock.
                        if totals.show_growth() {
                            world.run_minutes(5);
                            world.assert_delivered_once();
                        }
                    }
                    world.run_day();
                    world.assert_delivered_once();
                }
            }
        }
    }
}

#[test]
fn news_at_the_end_where_times_do_not_lead_is_found() {
    // A history that was taken over backwards, so that an order by arrival looked like the opposite order by
    // time.
    for (order, totals) in [
        (Order::FirstArrivalFirst, Totals::Numbers),
        (Order::FirstArrivalFirst, Totals::CountOnly),
        (Order::FirstArrivalFirst, Totals::PagesOnly),
        (Order::LatestArrivalFirst, Totals::Numbers),
        (Order::LatestArrivalFirst, Totals::Missing),
    ] {
        for limit in [1, 7, 20] {
            let world = World::paged(Shape { order, totals, ..PLAIN }, limit);
            world.source(|source| (0..60).for_each(|back| source.add(start() - minutes(97 * back), Kind::Plain)));
            world.settle();
            for _ in 0..40 {
                world.pass(minutes(61));
                let now = world.inner().now;
                world.source(|source| source.add_history(2, now, minutes(1)));
                world.settle();
                // Times are a guess, and here a wrong one: the count that grows or the clock puts it right.
                if totals.show_growth() {
                    world.run_minutes(5);
                } else {
                    world.run_day();
                }
                world.assert_delivered_once();
            }
        }
    }
}

#[test]
fn a_source_that_shrinks_is_read_to_its_new_end() {
    for past_end in PAST_ENDS.into_iter().chain([PastEnd::NotFound]) {
        for totals in [Totals::Missing, Totals::Numbers, Totals::PagesOnly] {
            let world = World::paged(Shape { order: Order::OldestFirst, totals, past_end, ..PLAIN }, 7);
            world.source(|source| source.add_history(100, start(), minutes(97)));
            world.settle();
            world.pass(minutes(61));
            let now = world.inner().now;
            world.source(|source| {
                (0..80).for_each(|_| drop(source.remove(0)));
                source.add_history(3, now, minutes(1));
            });
            world.settle();
            world.assert_delivered_once();
        }
    }
}

#[test]
fn a_server_that_ignores_the_page_and_shuffles_comes_to_an_end() {
    // All there is fits on one page, which comes in another order each time, whatever page is asked for.
    for order in ORDERS {
        let shape = Shape { order, totals: Totals::Missing, past_end: PastEnd::LastPage, ..PLAIN };
        let world = World::new(shape, &[]);
        world.source(|source| source.add_history(37, start(), minutes(97)));
        world.between_answers(|source, request| {
            source.change(Shape { order: Order::Shuffled(request), ..source.shape });
        });
        // Two passes, and two answers at the start that tell how pages are numbered.
        assert!(world.settle() <= 2 * (1 + 3) + 2);
        world.assert_delivered_once();
    }
}

#[test]
fn totals_that_go_up_and_down_keep_no_pass_for_ever() {
    // As those of several servers that don't agree.
    for order in ORDERS {
        for by in [1, 7, 500, 1_000_000_000_000] {
            let world = World::paged(Shape { order, totals: Totals::Off(by), ..PLAIN }, 7);
            world.source(|source| source.add_history(100, start(), minutes(97)));
            world.between_answers(move |source, request| {
                let totals = if request % 2 == 0 { Totals::Off(by) } else { Totals::Numbers };
                source.change(Shape { totals, ..source.shape });
            });
            for _ in 0..3 {
                assert!(world.settle() < 500);
                world.pass(minutes(61));
            }
            world.assert_delivered_once();
        }
    }
}

#[test]
fn a_late_record_is_found_in_minutes_where_the_total_tells_and_else_within_the_hour() {
    for order in ORDERS {
        let late = |totals| {
            let world = World::paged(Shape { order, totals, ..PLAIN }, 10);
            world.source(|source| source.add_history(100, start(), minutes(30)));
            world.settle();
            world.pass(minutes(1));
            world.source(|source| source.add(start() - minutes(23 * 60), Kind::Plain));
            world.settle();
            world
        };
        // The total has grown by what live has not found: a pass over the overlap follows once the wait is
        // over.
        let world = late(Totals::Numbers);
        world.run_minutes(2);
        world.assert_delivered_once();
        for totals in [Totals::Missing, Totals::Stuck(100)] {
            let world = late(totals);
            world.pass(minutes(60));
            world.settle();
            world.assert_delivered_once();
        }
    }
}

#[test]
fn two_that_have_come_are_found_although_the_total_has_grown_by_one() {
    let settings = [("overlap_in_seconds", "60"), ("request.limit", "1")];
    let world = World::new(Shape { order: Order::LatestArrivalFirst, ..PLAIN }, &settings);
    world.source(|source| source.add_history(45, start(), minutes(30)));
    world.settle();
    world.pass(minutes(5));
    let now = world.inner().now;
    world.source(|source| {
        // Two have come and one has gone, so the total has grown by the one that is found first.
        source.remove(0);
        source.add(now - minutes(4), Kind::Plain);
        source.add(now, Kind::Plain);
    });
    // Live goes on until it meets what is known, whatever the count says: one page for each, and the one that
    // is known.
    assert_eq!(world.settle(), 3);
    assert_eq!(world.inner().arrived.len(), 47);
}

#[test]
fn records_inserted_at_the_top_during_a_pass_shift_nothing_out() {
    for totals in [Totals::Missing, Totals::Numbers] {
        for limit in [1, 7, 20] {
            for at_once in [1, u64::from(limit)] {
                let world = World::paged(Shape { totals, ..PLAIN }, limit);
                world.source(|source| source.add_history(60, start(), minutes(97)));
                // A page that comes thrice because as many records were inserted looks like a server that
                // repeats its last one forever where no totals say otherwise.
                let every = if totals == Totals::Missing { 3 } else { 2 };
                world.between_answers(move |source, request| {
                    if request > 1 && request % every == 0 && source.records.len() < 90 {
                        source.add_history(at_once, start() + TimeDelta::seconds(request as i64), TimeDelta::zero());
                    }
                });
                world.settle();
                world.calm();
                world.pass(minutes(1));
                world.settle();
                world.assert_delivered_once();
            }
        }
    }
}

#[test]
fn a_new_alert_has_no_effect_on_a_pass() {
    for limit in [1, 7, 20] {
        let world = World::paged(Shape { order: Order::OldestFirst, ..PLAIN }, limit);
        world.source(|source| source.add_history(60, start(), minutes(30)));
        world.settle();
        world.pass(minutes(61));
        // Late ones come in at their places, so all behind them move to later pages, which have been read.
        world.between_answers(|source, request| {
            if source.records.len() < 70 {
                source.add(start() - TimeDelta::seconds(36_000 + 10 * request as i64), Kind::Plain);
            }
        });
        world.settle();
        world.calm();
        world.pass(minutes(1));
        world.settle();
        world.assert_delivered_once();
    }
}

#[test]
fn records_removed_during_a_pass_take_no_other_with_them() {
    for order in ORDERS {
        for limit in [1, 7, 20] {
            for every in [1, 2, 5] {
                let world = World::paged(Shape { order, ..PLAIN }, limit);
                world.source(|source| source.add_history(80, start(), minutes(97)));
                world.between_answers(move |source, request| {
                    if request % every == 0 && source.records.len() > 60 {
                        let index = (request as usize * 31) % source.records.len();
                        source.remove(index);
                    }
                });
                world.settle();
                world.calm();
                // What moved in front of both passes of the first history is found at rest, by the clock.
                world.run_day();
                let inner = world.inner();
                let missing: Vec<_> = inner.source.records.iter().filter(|record| inner.times(record) == 0).collect();
                assert!(missing.is_empty(), "{order:?} {limit} {every} {missing:?}");
                assert!(inner.arrived.values().all(|times| *times == 1));
            }
        }
    }
}

#[test]
fn the_last_records_are_not_lost_when_one_is_removed_before_the_last_page_is_read() {
    let world = World::paged(PLAIN, 10);
    world.source(|source| source.add_history(21, start(), minutes(97)));
    world.between_answers(|source, request| {
        if request == 3 {
            // The newest one: the only record of page 3 moves to page 2.
            source.remove(20);
        }
    });
    world.settle();
    let inner = world.inner();
    assert!(inner.source.records.iter().all(|record| inner.times(record) == 1));
}

#[test]
fn an_empty_page_that_denies_everything_is_no_reason_to_read_everything_again() {
    let world = World::paged(Shape { totals: Totals::Numbers, ..PLAIN }, 10);
    world.source(|source| source.add_history(100, start(), minutes(97)));
    world.between_answers(|source, request| {
        if request == 11 {
            source.records.clear();
            source.change(source.shape);
        }
    });
    // No more than the two passes of any first history.
    assert!(world.settle() <= 2 * (10 + 3));
    let inner = world.inner();
    assert_eq!(inner.arrived.len(), 100);
    assert!(inner.arrived.values().all(|times| *times == 1));
}

#[derive(Debug, Clone)]
enum Event {
    News { count: u64, apart_in_seconds: i64 },
    Pass { minutes: i64 },
    Reorder(Order),
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

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0u64..40, 0i64..1400).prop_map(|(count, apart_in_seconds)| Event::News { count, apart_in_seconds }),
        2 => (1i64..200).prop_map(|minutes| Event::Pass { minutes }),
        1 => order().prop_map(Event::Reorder),
        3 => Just(Event::Cycle),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(1000), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_course_of_events_is_delivered_once(
        order in order(),
        totals in prop::sample::select(&TOTALS[..7]),
        past_end in prop::sample::select(&PAST_ENDS[..]),
        cap in prop::option::of((1u64..30, any::<bool>())),
        limit in prop::sample::select(&[1u32, 2, 5, 11, 100][..]),
        history in 0u64..120,
        apart in prop::sample::select(&[0i64, 1, 60, 3000, 20_000][..]),
        events in prop::collection::vec(event(), 0..12),
    ) {
        let world = World::paged(Shape { order, totals, cap, past_end }, limit);
        world.source(|source| source.add_history(history, start(), TimeDelta::seconds(apart)));
        for event in events {
            match event {
                Event::News { count, apart_in_seconds } => {
                    let now = world.inner().now;
                    world.source(|source| source.add_history(count, now, TimeDelta::seconds(apart_in_seconds)));
                }
                Event::Pass { minutes } => world.pass(TimeDelta::minutes(minutes)),
                Event::Reorder(order) => world.source(|source| source.change(Shape { order, ..source.shape })),
                Event::Cycle => drop(world.settle()),
            }
        }
        world.settle();
        world.run_day();
        world.assert_delivered_once();
    }

    #[test]
    fn a_source_that_changes_between_any_two_answers_loses_nothing(
        order in order(),
        totals in prop::sample::select(&[Totals::Numbers, Totals::Strings, Totals::CountOnly][..]),
        past_end in prop::sample::select(&PAST_ENDS[..]),
        limit in prop::sample::select(&[1u32, 2, 5, 11, 100][..]),
        takes in prop::sample::select(&[0u64, 10][..]),
        history in 0u64..120,
        apart in prop::sample::select(&[1i64, 60, 3000, 20_000][..]),
        // Before each answer: nothing, a record removed, or one added, up to ten hours late. Both at once
        // would leave the total as it is, and nothing would tell that records have moved.
        changes in prop::collection::vec(prop_oneof![
            2 => Just(None),
            1 => any::<prop::sample::Index>().prop_map(|index| Some(Err(index))),
            1 => (0i64..36_000).prop_map(|late| Some(Ok(late))),
        ], 0..40),
    ) {
        let world = World::paged(Shape { order, totals, cap: None, past_end }, limit);
        world.inner().answer_takes = Duration::from_secs(takes);
        world.source(|source| source.add_history(history, start(), TimeDelta::seconds(apart)));
        let mut changes = changes.into_iter();
        world.between_answers(move |source, _| match changes.next().flatten() {
            None => {}
            Some(Ok(late)) => source.add(start() - TimeDelta::seconds(late), Kind::Plain),
            Some(Err(_)) if source.records.is_empty() => {}
            Some(Err(index)) => drop(source.remove(index.index(source.records.len()))),
        });
        world.settle();
        world.pass(minutes(1));
        world.settle();
        world.calm();
        world.run_day();
        let inner = world.inner();
        for record in &inner.source.records {
            prop_assert!(inner.times(record) > 0, "{record:?} {:#?}", inner.trace);
        }
        prop_assert!(inner.arrived.values().all(|times| *times == 1));
    }
}
