//! Every alert at the source is delivered once, whatever the source looks like, for as few requests as it allows.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod source;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use source::{Kind, Order, PLAIN, PastEnd, Reply, Shape, Step, Totals, World, minutes, start};

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

/// A history, then news, some of it late: all of it arrives, once.
fn follow(shape: Shape, limit: u32, history: u64, apart: TimeDelta) {
    let world = World::paged(shape, limit);
    world.source(|source| source.add_history(history, start() - minutes(5), apart));
    world.settle();
    world.assert_delivered_once();
    for cycle in 0..3 {
        world.pass(minutes(1));
        let now = world.inner().now;
        world.source(|source| {
            source.add(now - minutes(30 * cycle), Kind::Plain);
            source.add(now - TimeDelta::seconds(1), Kind::Plain);
            source.add(now - TimeDelta::seconds(1), Kind::NumberedId);
        });
        world.settle();
        if shape.totals.show_growth() {
            world.assert_delivered_once();
        }
    }
    // Totals that don't follow hide news from a walk that trusts them: for an hour, not longer.
    world.pass(minutes(60));
    world.settle();
    world.assert_delivered_once();
}

fn wrong(totals: Totals) -> bool {
    matches!(totals, Totals::Stuck(_) | Totals::Off(_))
}

fn shapes() -> impl Iterator<Item = Shape> {
    ORDERS.into_iter().flat_map(|order| {
        TOTALS.into_iter().flat_map(move |totals| {
            PAST_ENDS.into_iter().map(move |past_end| Shape { order, totals, cap: None, past_end })
        })
    })
}

#[test]
fn every_shape_is_delivered_once() {
    for shape in shapes() {
        for (limit, history) in [(1, 13), (7, 0), (7, 49), (7, 60), (100, 1), (100, 100), (100, 430), (10_000, 430)] {
            follow(shape, limit, history, minutes(97));
        }
    }
}

#[test]
fn a_page_size_that_the_server_caps_loses_nothing() {
    // A server that gives ten records where a hundred were asked for, and says that these ten are all, is believed.
    for shape in shapes().filter(|shape| !wrong(shape.totals)) {
        for cap in [(1, false), (10, true), (10, false), (50, false)] {
            for history in [9, 50, 60, 120] {
                follow(Shape { cap: Some(cap), ..shape }, 100, history, minutes(97));
            }
        }
    }
}

#[test]
fn records_of_one_second_are_all_delivered() {
    for shape in shapes() {
        for (limit, history) in [(1, 12), (7, 60), (100, 430)] {
            follow(shape, limit, history, TimeDelta::zero());
        }
    }
}

#[test]
fn a_history_within_the_overlap_is_delivered_once() {
    for shape in shapes() {
        follow(shape, 7, 60, TimeDelta::seconds(20));
        follow(shape, 7, 60, minutes(26));
    }
}

#[test]
fn a_server_that_has_no_page_behind_the_last_one_is_walked_to_its_end() {
    for order in ORDERS {
        for totals in [Totals::Missing, Totals::Numbers, Totals::CountOnly, Totals::PagesOnly] {
            for history in [1, 7, 49, 60] {
                follow(Shape { order, totals, cap: None, past_end: PastEnd::NotFound }, 7, history, minutes(97));
            }
        }
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
    assert_eq!(world.pull().unwrap_err().code, 404);
}

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
                        world.assert_delivered_once();
                    }
                }
            }
        }
    }
}

#[test]
fn news_at_the_end_where_times_do_not_lead_is_found() {
    // A history that was taken over backwards, so that an order by arrival looked like the opposite order by time.
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
                world.assert_delivered_once();
            }
        }
    }
}

#[test]
fn a_look_at_the_other_end_that_fails_fails_nothing() {
    for status in [400, 404, 500, 403] {
        let world = World::paged(PLAIN, 100);
        world.source(|source| source.add_history(1_000, start(), minutes(97)));
        world.settle();
        world.pass(minutes(61));
        let now = world.inner().now;
        world.source(|source| source.add(now, Kind::Plain));
        // The first page leaves the window; the one behind it is the last.
        world.inner().replies = (2..=5).map(|number| (number, Reply { status, retry_after: None, body: "" })).collect();
        assert!(world.pull().unwrap().up_to_date);
        assert!(world.inner().trace.contains(&Step::Request("/api/historic/alerts?limit=100&page=11".to_owned())));
        world.assert_delivered_once();
    }
}

#[test]
fn a_source_that_shrinks_is_walked_from_its_new_end() {
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
        assert!(world.settle() <= 4);
        world.assert_delivered_once();
    }
}

#[test]
fn totals_that_go_up_and_down_keep_no_walk_for_ever() {
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
fn a_time_filter_that_is_ignored_or_respected_makes_no_difference() {
    for filters in [true, false] {
        for order in ORDERS {
            let settings = [("request.time_filter.param", "since"), ("request.limit", "10")];
            let world = World::new(Shape { order, ..PLAIN }, &settings);
            world.source(|source| {
                source.filters = filters;
                source.add_history(60, start(), minutes(97));
            });
            world.settle();
            for _ in 0..5 {
                world.pass(minutes(31));
                let now = world.inner().now;
                world.source(|source| {
                    source.add_history(3, now, minutes(5));
                    source.add(now - minutes(600), Kind::Plain);
                });
                world.settle();
            }
            // A window that moves makes totals that only count its records say less than they seem to.
            world.pass(minutes(60));
            world.settle();
            world.assert_delivered_once();
        }
    }
}

#[test]
fn alerts_from_before_the_start_time_are_not_delivered() {
    for order in ORDERS {
        for totals in [Totals::Missing, Totals::Numbers] {
            let settings = [("initial_start_time_in_utc", "2024-05-25T00:00:00Z"), ("request.limit", "10")];
            let world = World::new(Shape { order, totals, ..PLAIN }, &settings);
            world.source(|source| source.add_history(300, start(), minutes(97)));
            world.settle();
            world.pass(minutes(61));
            world.settle();
            let first: DateTime<Utc> = "2024-05-25T00:00:00Z".parse().unwrap();
            world.source(|source| source.records.retain(|record| record.time >= first));
            world.assert_delivered_once();
            let inner = world.inner();
            assert_eq!(inner.arrived.len(), inner.source.records.len());
        }
    }
}

#[test]
fn a_record_on_the_start_time_is_wanted() {
    let world = World::new(PLAIN, &[("initial_start_time_in_utc", "2024-05-25T00:00:00Z")]);
    world.source(|source| source.add("2024-05-25T00:00:00Z".parse().unwrap(), Kind::Plain));
    world.settle();
    world.assert_delivered_once();
}

#[test]
fn records_without_an_id_or_a_time_are_delivered_once_and_warned_of() {
    for order in ORDERS {
        for totals in [Totals::Missing, Totals::Numbers] {
            let world = World::paged(Shape { order, totals, ..PLAIN }, 7);
            world.source(|source| {
                for number in (0..60).rev() {
                    let kinds = [Kind::Plain, Kind::NumberedId, Kind::WithoutId, Kind::WithoutTime, Kind::WithoutAny];
                    source.add(start() - minutes(97 * number), kinds[number as usize % kinds.len()]);
                }
            });
            world.settle();
            world.assert_delivered_once();
            for kind in [Kind::WithoutId, Kind::WithoutTime, Kind::WithoutAny] {
                world.pass(minutes(61));
                let now = world.inner().now;
                world.source(|source| source.add(now, kind));
                world.settle();
                world.assert_delivered_once();
            }
            let inner = world.inner();
            let count = |text: &str| inner.log.iter().filter(|line| line.contains(text)).count();
            assert!(count("WARNING An alert without an id") > 0 && count("has no time that can be read") > 0);
            assert!(count("more warnings about records without an id or a time") > 0);
            assert!(count("WARNING ") < 20, "warnings are bounded");
        }
    }
}

#[test]
fn a_record_that_stands_on_two_pages_is_delivered_once() {
    for order in ORDERS {
        for limit in [1, 7, 100] {
            let world = World::paged(Shape { order, ..PLAIN }, limit);
            world.source(|source| {
                source.add_history(40, start(), minutes(97));
                (0..40).for_each(|index| source.repeat(index));
            });
            world.settle();
            world.pass(minutes(61));
            world.settle();
            world.assert_delivered_once();
        }
    }
}

#[test]
fn a_late_record_is_found_at_once_where_the_total_tells_and_else_within_the_hour() {
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
        late(Totals::Numbers).assert_delivered_once();
        late(Totals::Missing).assert_delivered_once();
        let world = late(Totals::Stuck(100));
        world.pass(minutes(60));
        world.settle();
        world.assert_delivered_once();
    }
}

#[test]
fn what_a_short_walk_left_out_is_found_even_where_the_overlap_is_short() {
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
    assert_eq!(world.settle(), 1);
    world.pass(minutes(60));
    world.settle();
    assert_eq!(world.inner().arrived.len(), 47);
}

#[test]
fn a_record_of_the_boundary_second_is_not_lost() {
    for overlap in ["0", "1", "86400"] {
        for order in ORDERS {
            let settings = [("overlap_in_seconds", overlap), ("request.limit", "7")];
            let world = World::new(Shape { order, ..PLAIN }, &settings);
            world.source(|source| source.add_history(30, start(), minutes(97)));
            world.settle();
            for _ in 0..3 {
                world.pass(minutes(61));
                world.source(|source| source.add(start(), Kind::Plain));
                world.settle();
                world.assert_delivered_once();
            }
        }
    }
}

#[test]
fn a_record_from_the_future_hides_nothing() {
    for order in ORDERS {
        for totals in [Totals::Missing, Totals::Numbers] {
            let world = World::paged(Shape { order, totals, ..PLAIN }, 7);
            world.source(|source| {
                source.add_history(40, start(), minutes(97));
                source.add(start() + TimeDelta::days(30_000), Kind::Plain);
            });
            world.settle();
            for _ in 0..3 {
                world.pass(minutes(40));
                let now = world.inner().now;
                world.source(|source| source.add(now, Kind::Plain));
                world.settle();
                world.assert_delivered_once();
            }
            assert!(world.state().last_event_time_in_utc <= Some(world.inner().now));
        }
    }
}

#[test]
fn a_clock_that_jumps_loses_nothing() {
    for order in ORDERS {
        for jump in [TimeDelta::days(-3650), TimeDelta::days(-2), TimeDelta::days(2), TimeDelta::days(3650)] {
            let world = World::paged(Shape { order, ..PLAIN }, 7);
            world.source(|source| source.add_history(40, start(), minutes(97)));
            world.settle();
            world.inner().now += jump;
            let mut time = start();
            for round in 0..8 {
                if round == 4 {
                    world.inner().now -= jump;
                }
                world.pass(minutes(25));
                time += minutes(25);
                world.source(|source| source.add(time, Kind::Plain));
                world.settle();
                world.assert_delivered_once();
            }
        }
    }
}

#[test]
fn records_inserted_at_the_top_during_a_walk_shift_nothing_out() {
    for totals in [Totals::Missing, Totals::Numbers] {
        for limit in [1, 7, 20] {
            for at_once in [1, u64::from(limit)] {
                let world = World::paged(Shape { totals, ..PLAIN }, limit);
                world.source(|source| source.add_history(60, start(), minutes(97)));
                // A page that comes thrice because as many records were inserted looks like a server that repeats its last
                // one for ever where no totals say otherwise.
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
fn a_new_alert_has_no_effect_on_the_way_back_of_a_walk() {
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
fn records_removed_during_a_walk_take_no_other_with_them() {
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
    assert_eq!(world.settle(), 11);
}

/// Requests of a first walk, of a quiet cycle, of one with `news` alerts, and of a quiet one after an hour.
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
        // Ten minutes apart, so that the overlap of a day has 144 alerts: two pages, and the 240 new ones three.
        let newest_first = cost(PLAIN, 100, history, 240);
        assert_eq!(newest_first, [pages, 1, 3, 5]);
        let oldest_first = cost(Shape { order: Order::OldestFirst, ..PLAIN }, 100, history, 240);
        assert_eq!(oldest_first, [pages, 1, 3, 5]);
        let [first, quiet, ..] = cost(Shape { order: Order::Shuffled(5), ..PLAIN }, 100, history, 240);
        assert_eq!([first, quiet], [pages, 1]);
    }
}

#[test]
fn requests_do_not_grow_with_the_history_where_totals_are_missing() {
    for history in [1_050, 10_050] {
        let pages = history / 100 + 1;
        let [first, quiet, busy, full] = cost(Shape { totals: Totals::Missing, ..PLAIN }, 100, history, 250);
        assert_eq!([first, quiet, busy, full], [pages, 2, 4, 4]);
        let shape = Shape { order: Order::OldestFirst, totals: Totals::Missing, ..PLAIN };
        let [first, quiet, busy, full] = cost(shape, 100, history, 250);
        assert_eq!([first, quiet, busy, full], [pages, 4, 6, 6]);
    }
}

#[test]
fn a_small_source_costs_one_request() {
    for order in ORDERS {
        for history in [0, 1, 5, 99] {
            assert_eq!(cost(Shape { order, ..PLAIN }, 100, history, 0), [1, 1, 1, 1]);
        }
    }
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
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

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
        world.assert_delivered_once();
        world.pass(TimeDelta::minutes(61));
        world.settle();
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
        // Before each answer: nothing, a record removed, or one added, up to ten hours late. Both at once would leave the
        // total as it is, and nothing would tell that records have moved.
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
        world.pass(minutes(61));
        world.settle();
        let inner = world.inner();
        for record in &inner.source.records {
            prop_assert!(inner.times(record) > 0, "{record:?} {:#?}", inner.trace);
        }
        prop_assert!(inner.arrived.values().all(|times| *times == 1));
    }
}
