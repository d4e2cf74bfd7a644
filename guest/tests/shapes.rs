//! Every alert at the source is delivered once, whatever shape the source has.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod source;

use chrono::{DateTime, TimeDelta, Utc};
use source::{Kind, Order, PLAIN, PastEnd, Reply, Shape, Totals, World, minutes, sample, start};

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

/// A history, then news, some of it late: all of it arrives, once. New alerts at the newest end are there
/// within their cycle; late ones are brought by the count that grows, in minutes, or by the clock.
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
    }
    // A total of 0 says nothing.
    if shape.totals.show_growth() && shape.totals.said(history) > 0 {
        world.run_minutes(5);
        world.assert_delivered_once();
    }
    // Totals that don't follow hide late ones: for an hour, not longer.
    world.pass(minutes(60));
    world.settle();
    world.assert_delivered_once();
    world.run_day();
    world.assert_delivered_once();
}

fn wrong(totals: Totals) -> bool {
    matches!(totals, Totals::Stuck(_) | Totals::Off(_))
}

fn shapes() -> impl Iterator<Item = Shape> {
    sample(ORDERS.into_iter().flat_map(|order| {
        TOTALS.into_iter().flat_map(move |totals| {
            PAST_ENDS.into_iter().map(move |past_end| Shape { order, totals, cap: None, past_end })
        })
    }))
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
    // A server that gives ten records where a hundred were asked for, and says that these ten are all, is
    // believed.
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
fn a_server_that_has_no_page_behind_the_last_one_is_read_to_its_end() {
    for order in ORDERS {
        for totals in [Totals::Missing, Totals::Numbers, Totals::CountOnly, Totals::PagesOnly] {
            for history in [1, 7, 49, 60] {
                follow(Shape { order, totals, cap: None, past_end: PastEnd::NotFound }, 7, history, minutes(97));
            }
        }
    }
}

#[test]
fn what_pages_say_of_their_own_number_is_not_believed() {
    // Behind its end the server shows its last page under the number asked for, or under the last one's.
    for past_end in [PastEnd::LastPage, PastEnd::LastPageWithNumber] {
        for totals in [Totals::Missing, Totals::Numbers, Totals::Strings] {
            let world = World::paged(Shape { totals, past_end, ..PLAIN }, 7);
            world.source(|source| source.add_history(60, start(), minutes(97)));
            world.settle();
            world.assert_delivered_once();
        }
    }
    // And one that says of every page that it is the first, or none at all.
    for number in ["1", "0", "-1", "999999", "null", "\"last\""] {
        let page = |id: u32| {
            let text = format!(
                r#"{{"data":[{{"id":{id},"incident_time":"2024-05-31T10:00:00Z"}}],"current_page":{number},"total_count":3,"total_page":3}}"#
            );
            Reply { status: 200, retry_after: None, body: Box::leak(text.into_boxed_str()) }
        };
        let world = World::paged(PLAIN, 1);
        let nothing = Reply { status: 200, retry_after: None, body: r#"{"data":[]}"# };
        world.inner().page_replies = [0, 4, 5, 6].map(|number| (number, nothing)).into();
        world.inner().page_replies.extend([1, 2, 3].map(|number| (u64::from(number), page(number))));
        world.settle();
        assert_eq!(world.inner().arrived.len(), 3, "current_page {number}");
        assert_eq!(world.repeats(), 0);
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
