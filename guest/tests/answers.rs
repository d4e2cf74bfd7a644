//! What the API may answer, what the operator reads about it, and what the state is made ready from.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod source;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use cloudsek_xvigil::failure::{Class, Failure};
use cloudsek_xvigil::pull;
use source::{Kind, Order, PLAIN, PastEnd, Reply, Shape, Step, Totals, World, minutes, start};

fn world_with(texts: &[&str]) -> World {
    let world = World::new(PLAIN, &[]);
    world.source(|source| texts.iter().for_each(|text| source.add_text(text, start())));
    world
}

fn reply(status: u16, retry_after: Option<&'static str>, body: &'static str) -> Reply {
    Reply { status, retry_after, body }
}

#[test]
fn a_record_comes_out_as_it_came_in() {
    for text in [
        r#"{"id":"00000000000000000000000d","incident_time":"2024-05-31 10:00:00","a":1.0,"a":3e7}"#,
        r#"{"incident_time":1717150000,"id":12345678901234567890123,"b":[],"c":{},"d":"\u0000\ud800 \/"}"#,
        r#"{"id":"0x0","incident_time":"2024-05-31T10:00:00.123456+02:00","z":9007199254740993,"y":-0.0,"x":1e400}"#,
        r#"{"id":"3e7","incident_time":1717150000123,"id":"3e8","text":"a  b { } , \" : "}"#,
        r#"{"id":"1h30m","incident_time":"2024-05-31","emoji":"🙂","line":"a\nb"}"#,
    ] {
        let spaced = text.replace("[]", "[ \n]").replace("{}", "{\t}").replacen(":", " :\r\n ", 1);
        let world = world_with(&[&spaced]);
        world.settle();
        assert_eq!(world.inner().arrived, BTreeMap::from([(text.as_bytes().to_vec(), 1)]));
    }
}

#[test]
fn a_record_of_eight_megabytes_comes_out_as_it_came_in() {
    let text = |id: u32, size: usize| {
        let long = "a \\\" } ] , ".repeat(size / 10);
        format!(r#"{{"id":{id},"incident_time":"2024-05-31T10:00:00Z","text":"{long}"}}"#)
    };
    let texts = [text(1, 10), text(2, 8_000_000), text(3, 10)];
    assert!(texts[1].len() > 8_000_000);
    let world = world_with(&texts.each_ref().map(String::as_str));
    world.settle();
    let arrived: Vec<_> = world.inner().arrived.keys().cloned().collect();
    assert_eq!(arrived.len(), 3);
    assert!(texts.iter().all(|text| arrived.iter().any(|line| line == text.as_bytes())));
}

#[test]
fn ids_that_look_like_one_number_are_different_alerts() {
    let ids = ["1", "\"1\"", "1.0", "\"01\"", "1e0", "10e-1", "\"1.0\"", "9007199254740993", "9007199254740992"];
    let texts: Vec<_> =
        ids.iter().map(|id| format!("{{\"id\":{id},\"incident_time\":\"2024-05-31T10:00:00Z\"}}")).collect();
    let world = world_with(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    world.settle();
    world.assert_delivered_once();
    assert_eq!(world.inner().arrived.len(), ids.len());
}

#[test]
fn what_was_delivered_under_an_id_is_known_by_it_although_its_content_changes() {
    let world = world_with(&[r#"{"id":"a","incident_time":"2024-05-31T10:00:00Z","status":"open"}"#]);
    world.settle();
    world.source(|source| {
        source.remove(0);
        source.add_text(r#"{"id":"a","incident_time":"2024-05-31T10:00:00Z","status":"closed"}"#, start());
    });
    world.pass(minutes(61));
    world.settle();
    assert_eq!(world.inner().arrived.len(), 1);
}

#[test]
fn every_place_and_form_of_records_ids_and_times_can_be_set() {
    let world = World::new(
        PLAIN,
        &[
            ("base_url", "http://10.0.0.1:8080/tenant/"),
            ("request.path", "v2/incidents"),
            ("request.page_param", "p"),
            ("request.limit_param", "size"),
            ("request.limit", "3"),
            ("request.records", "/result/alerts"),
            ("request.id", "/details/id"),
            ("request.time", "/details/times/0"),
            ("token", "secret"),
        ],
    );
    let page = r#"{"result":{"alerts":[{"details":{"id":1,"times":[1717150000]}},{"details":{"id":2,"times":[1717150001]}}]},"total_count":2}"#;
    world.inner().page_replies = BTreeMap::from([(1, reply(200, None, page))]);
    assert_eq!(world.pull().unwrap().statistics.sent, 2);
    assert_eq!(world.inner().trace[0], Step::Request("/tenant/v2/incidents?size=3&p=1".to_owned()));
    assert_eq!(world.state().last_event_time_in_utc.map(|time| time.timestamp()), Some(1_717_150_001));
}

#[test]
fn the_contract_is_what_is_asked_for() {
    let world = World::new(PLAIN, &[]);
    world.settle();
    assert_eq!(world.inner().trace[0], Step::Request("/api/historic/alerts?limit=100&page=1".to_owned()));
    let headers = world.inner().headers.clone();
    let agent = concat!("devo-collector/", env!("CARGO_PKG_VERSION"));
    let known = [("Accept", "application/json"), ("User-Agent", agent)];
    let known = known.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(headers, known, "the platform adds the credential");
    world.set("token", "secret");
    world.settle();
    assert!(world.inner().headers.contains(&("Authorization".to_owned(), "Bearer secret".to_owned())));
}

/// A source of three pages that has been read and answers so to everything from then on.
fn failure_of(status: u16, retry_after: Option<&'static str>, body: &'static str) -> (Failure, World) {
    let world = World::paged(PLAIN, 10);
    world.source(|source| source.add_history(25, start(), minutes(97)));
    world.settle();
    world.run_minutes(1);
    let now = world.inner().now;
    world.source(|source| source.add(now, Kind::Plain));
    world.inner().replies = (1..=30).map(|number| (number, reply(status, retry_after, body))).collect();
    (world.pull().unwrap_err(), world)
}

/// What answers that are none are to the operator: status, body, class, code and what the text has.
const NONE: [(u16, &str, Class, u16, &str); 11] = [
    (401, "", Class::Api, 401, "Unauthorized API response"),
    (403, "", Class::Api, 403, "Forbidden API response"),
    (404, "", Class::Api, 404, "Unexpected API response: status 404."),
    (422, r#"{"error":{"code":"X","message":"y"}}"#, Class::Api, 422, "status 422. The API says: \"X: y\"."),
    (302, "", Class::Api, 497, "a redirect. It is not followed"),
    (200, "<html>Log in</html>", Class::Api, 495, "Failed to parse alerts page object from response: <html>"),
    (200, r#"{"success":false,"error":{"code":"X"}}"#, Class::Api, 495, "it says that it is no success"),
    (200, r#"{"error":"none"}"#, Class::Api, 495, "there is no list of records in it"),
    (200, r#"{"data":[{"id":1},{"id""#, Class::Api, 495, "Exception: expected"),
    (200, "", Class::Api, 495, "Exception: expected a value"),
    (500, "", Class::Api, 498, "Request attempts with 3 retries failed"),
];

#[test]
fn an_api_that_gives_no_page_is_an_error_and_loses_nothing() {
    for (status, body, class, code, text) in NONE {
        let (failure, world) = failure_of(status, None, body);
        assert_eq!((failure.class, failure.code), (class, code), "{failure}");
        assert!(failure.reason.contains(text), "{failure}");
        world.inner().replies.clear();
        world.settle();
        world.run_minutes(5);
        world.assert_delivered_once();
    }
}

#[test]
fn a_page_that_is_none_is_skipped_and_loses_nothing() {
    for (status, body, _, code, _) in NONE {
        let world = World::paged(PLAIN, 10);
        world.source(|source| source.add_history(45, start(), minutes(97)));
        world.inner().page_replies = BTreeMap::from([(3, reply(status, None, body))]);
        // One that concerns whoever asks ends the call; it is tried again in the next one.
        let is_of_access = [401, 403].contains(&status);
        world.pull().unwrap();
        let result = world.pull();
        assert_eq!(result.map(|_| ()).map_err(|failure| failure.code), if is_of_access { Err(code) } else { Ok(()) });
        world.next_cycle();
        world.inner().page_replies.clear();
        world.settle();
        world.run_minutes(5);
        world.assert_delivered_once();
    }
}

#[test]
fn a_status_that_says_that_there_is_nothing_is_no_error_and_loses_nothing() {
    for status in [204, 304] {
        let world = World::new(PLAIN, &[]);
        world.source(|source| source.add_history(5, start(), minutes(97)));
        world.inner().replies = (1..=9).map(|number| (number, reply(status, None, ""))).collect();
        pull::set_up(&world).unwrap();
        assert_eq!(world.pull().unwrap().statistics.received, 0);
        world.inner().replies.clear();
        world.pass(minutes(1));
        world.settle();
        world.assert_delivered_once();
        // The same of a source that was read before.
        world.inner().replies = (1..=9).map(|number| (number, reply(status, None, ""))).collect();
        world.run_minutes(3);
        let now = world.inner().now;
        world.source(|source| source.add(now, Kind::Plain));
        world.run_minutes(1);
        world.inner().replies.clear();
        world.run_minutes(5);
        world.assert_delivered_once();
    }
}

#[test]
fn a_part_of_an_answer_that_is_a_page_is_one() {
    let world = World::new(PLAIN, &[]);
    let page = r#"{"data":[{"id":1,"incident_time":"2024-05-31T10:00:00Z"}],"total_count":1}"#;
    world.inner().page_replies = BTreeMap::from([(1, reply(206, None, page))]);
    assert_eq!(world.pull().unwrap().statistics.sent, 1);
    world.settle();
    assert_eq!(world.inner().arrived.values().sum::<u32>(), 1);
}

#[test]
fn a_busy_server_is_waited_for_as_long_as_it_says() {
    let world = World::paged(PLAIN, 10);
    world.source(|source| source.add_history(25, start(), minutes(97)));
    world.inner().replies = BTreeMap::from([(2, reply(429, Some("30"), "")), (3, reply(503, None, ""))]);
    world.pull().unwrap();
    let passed = world.inner().now - start();
    assert!(passed >= TimeDelta::seconds(32) && passed <= TimeDelta::seconds(42), "{passed}");
    world.inner().replies.clear();
    world.settle();
    world.assert_delivered_once();
}

#[test]
fn a_server_that_asks_for_an_hour_is_not_waited_for() {
    let (failure, world) = failure_of(429, Some("3600"), "");
    assert!(failure.reason.contains("429") && failure.reason.contains("3600"), "{failure}");
    let passed = world.inner().now - start() - minutes(1);
    assert!(passed < TimeDelta::seconds(2), "{passed}");
}

#[test]
fn an_answer_that_was_closed_badly_is_complete_all_the_same() {
    let world = World::new(PLAIN, &[]);
    world.source(|source| source.add_history(5, start(), minutes(97)));
    world.inner().close_error = Some("the trailers were broken".to_owned());
    world.settle();
    world.assert_delivered_once();
    assert!(world.inner().log.iter().any(|line| line.starts_with("WARNING ApiError [CODE:0499]")));
}

#[test]
fn setting_up_asks_for_one_record_and_changes_nothing() {
    let world = World::new(PLAIN, &[]);
    world.source(|source| source.add_history(5, start(), minutes(97)));
    pull::set_up(&world).unwrap();
    assert_eq!(world.inner().trace, [Step::Request("/api/historic/alerts?limit=1&page=1".to_owned())]);
    assert_eq!(world.inner().state, None);
}

#[test]
fn setting_up_refuses_what_is_no_api_and_a_token_that_is_not_taken() {
    for (given, code) in [(reply(401, None, ""), 401), (reply(200, None, "<html>"), 495), (reply(404, None, ""), 404)] {
        let world = World::new(PLAIN, &[]);
        world.inner().replies = BTreeMap::from([(1, given)]);
        assert_eq!(pull::set_up(&world).unwrap_err().code, code);
    }
}

#[test]
fn a_source_without_alerts_is_up_to_date() {
    for totals in [Totals::Missing, Totals::Numbers] {
        for past_end in [PastEnd::Empty, PastEnd::Null] {
            let world = World::new(Shape { totals, past_end, ..PLAIN }, &[]);
            // Two passes, each with two empty pages behind an end that nothing names.
            assert!(world.settle() <= 8);
            for _ in 0..3 {
                world.pass(minutes(1));
                // Nobody can tell whether the pages of an empty source are numbered from 0 or 1: so both are
                // asked for.
                assert_eq!(world.settle(), 2);
            }
            let now = world.inner().now;
            world.source(|source| source.add(now, Kind::Plain));
            world.settle();
            world.assert_delivered_once();
        }
    }
}

const SETTINGS: [(&str, &str); 1] = [("initial_start_time_in_utc", "2024-05-24T12:00:00Z")];

#[test]
fn the_first_run_says_that_the_state_is_new() {
    let world = World::new(PLAIN, &SETTINGS);
    pull::pre_pull(&world).unwrap();
    let new = "{'initial_start_time_in_utc': '2024-05-24T12:00:00Z', 'last_event_time_in_utc': None, 'last_ids': [], \
               '@persistence_version': 4}";
    assert_eq!(
        world.inner().log,
        [
            "INFO Reading persisted data",
            "INFO Data retrieved from the persistence: None",
            "INFO Running the persistence upgrade steps",
            "INFO Running the persistence corrections steps",
            "INFO Running the persistence corrections steps",
            "WARNING Persistence will be overridden due to the retrieved state is empty",
            &format!(
                "WARNING Some changes have been detected and the persistence needs to be updated. Previous content: \
                 None. New content: {new}"
            ),
            "INFO Updating the persistence",
            "WARNING Persistence has been updated successfully",
        ]
    );
}

#[test]
fn a_later_run_says_what_the_specification_says() {
    let world = World::new(PLAIN, &SETTINGS);
    world.source(|source| source.add_text(r#"{"id":"1a2b3c","incident_time":"2024-05-25T00:00:00Z"}"#, start()));
    pull::pre_pull(&world).unwrap();
    world.settle();
    world.pass(minutes(1));
    world.inner().log.clear();
    let id = world.inner().now.timestamp_millis();
    pull::pre_pull(&world).unwrap();
    world.pull().unwrap();
    let numbers = format!(
        "Statistics for this pull cycle (@devo_pulling_id={id}):Number of requests made: 1; Number of events received: 1; \
         Number of duplicated events filtered out: 1; Number of events generated and sent: 0; Average of events per \
         second: 0.000."
    );
    assert_eq!(
        world.inner().log,
        [
            "INFO Reading persisted data",
            "INFO Data retrieved from the persistence: {'initial_start_time_in_utc': '2024-05-24T12:00:00Z', \
             'last_event_time_in_utc': '2024-05-25T00:00:00Z', 'last_ids': ['1a2b3c'], '@persistence_version': 4}",
            "INFO Running the persistence upgrade steps",
            "INFO Running the persistence corrections steps",
            "INFO Running the persistence corrections steps",
            "INFO No changes were detected in the persistence",
            "INFO Pull Started",
            "INFO Retrieving/sending alerts events since last 8 day(s)",
            &format!("INFO (Partial) {numbers}"),
            &format!("INFO {numbers}"),
            "INFO The data is up to date!",
        ]
    );
}

#[test]
fn a_pull_in_chunks_says_partial_for_each_and_the_rest_once() {
    let world = World::paged(PLAIN, 10);
    world.inner().answer_takes = std::time::Duration::from_secs(20);
    world.source(|source| source.add_history(55, start(), minutes(97)));
    let mut calls = 0;
    loop {
        calls += 1;
        if world.pull().unwrap().up_to_date {
            break;
        }
    }
    assert!(calls > 3, "{calls}");
    let inner = world.inner();
    let count = |text: &str| inner.log.iter().filter(|line| line.starts_with(text)).count();
    assert_eq!(
        [
            count("INFO Pull Started"),
            count("INFO Retrieving/sending"),
            count("INFO (Partial) Statistics for this pull cycle"),
            count("INFO Statistics for this pull cycle"),
            count("INFO The data is up to date!"),
        ],
        [1, 1, calls, 1, 1]
    );
    let last = inner.log.iter().find(|line| line.starts_with("INFO Statistics")).unwrap();
    let requests = inner.trace.iter().filter(|step| matches!(step, Step::Request(_))).count();
    assert!(last.contains(&format!("requests made: {requests};")) && last.contains("and sent: 55;"), "{last}");
    // What both passes of the first history have read and did not send.
    let number =
        |name: &str| last.split(name).nth(1).unwrap().split(';').next().unwrap().trim().parse::<u64>().unwrap();
    assert_eq!(number("events received:"), number("duplicated events filtered out:") + 55, "{last}");
}

/// The state that the original leaves.
fn original(ids: &str) -> Vec<u8> {
    format!(
        "{{\"initial_start_time_in_utc\":\"2022-01-01T00:00:00Z\",\"last_event_time_in_utc\":\"2024-05-31T00:00:00Z\",\
         \"last_ids\":[{ids}],\"@persistence_version\":1}}"
    )
    .into_bytes()
}

#[test]
fn the_originals_state_is_taken_over_and_goes_on_where_it_stood() {
    for reset in ["", "a-word-from-long-ago"] {
        for order in [Order::NewestFirst, Order::OldestFirst, Order::Shuffled(1)] {
            let settings = [("reset_persistence_auth", reset), ("request.limit", "10")];
            let world = World::new(Shape { order, ..PLAIN }, &settings).large();
            let last = "2024-05-31T00:00:00Z".parse().unwrap();
            world.source(|source| {
                source.add_history(50, last, minutes(97));
                source.add(last, Kind::NumberedId);
                source.add(last, Kind::Plain);
                source.add(start(), Kind::Plain);
            });
            world.inner().state = Some(original("\"000000000000000000000031\", 50"));
            pull::pre_pull(&world).unwrap();
            let log = world.inner().log.clone();
            assert!(
                log[1].contains("'last_ids': ['000000000000000000000031', 50], '@persistence_version': "),
                "{log:?}"
            );
            assert!(log[5].ends_with("'@persistence_version': 4}"), "{log:?}");
            for _ in 0..3 {
                world.settle();
                world.pass(minutes(61));
            }
            let inner = world.inner();
            // Only what the original had not delivered: one more of its newest second, and what came after.
            assert_eq!(inner.arrived.len(), 2, "{:?}", inner.arrived);
            let new = &inner.source.records[51..];
            assert!(new.iter().all(|record| inner.times(record) == 1), "{:?}", inner.arrived);
            assert_eq!(inner.arrived.values().sum::<u32>(), 2);
        }
    }
}

#[test]
fn the_originals_state_is_upgraded_by_a_pull_that_comes_first() {
    let world = World::new(PLAIN, &[]).large();
    world.source(|source| source.add_history(5, "2024-05-31T00:00:00Z".parse().unwrap(), minutes(97)));
    world.inner().state = Some(original("\"000000000000000000000004\""));
    world.settle();
    assert_eq!(world.inner().arrived.len(), 0);
    assert!(world.inner().log.iter().any(|line| line.ends_with("since last 1 day(s)")));
}

#[test]
fn a_new_word_restarts_the_persistence_once() {
    let world = World::new(PLAIN, &[]);
    world.source(|source| source.add_history(5, start(), minutes(97)));
    let run = || {
        world.inner().log.clear();
        pull::pre_pull(&world).unwrap();
        world.settle();
        let restarted = world.inner().log.iter().any(|line| line.starts_with("WARNING Persistence will be restarted"));
        let repeats = world.repeats();
        (restarted, repeats)
    };
    assert_eq!(run(), (false, 0));
    assert_eq!(run(), (false, 0));
    for (word, repeats) in [("once", 5), ("again", 10), ("", 15)] {
        world.set("reset_persistence_auth", word);
        assert_eq!(run(), (true, repeats));
        assert_eq!(run(), (false, repeats));
    }
}

#[test]
fn a_restart_takes_the_settings_of_now() {
    let world = World::new(PLAIN, &SETTINGS);
    pull::pre_pull(&world).unwrap();
    world.set("initial_start_time_in_utc", "2024-05-30T00:00:00Z");
    pull::pre_pull(&world).unwrap();
    assert_eq!(world.state().initial_start_time_in_utc, Some("2024-05-24T12:00:00Z".parse().unwrap()));
    world.set("reset_persistence_auth", "now");
    pull::pre_pull(&world).unwrap();
    assert_eq!(world.state().initial_start_time_in_utc, Some("2024-05-30T00:00:00Z".parse().unwrap()));
}

#[test]
fn a_state_that_cant_be_read_stops_the_service_and_stays_as_it_is() {
    for (stored, code) in [("", 200), ("garbage", 200), ("{}", 200), (r#"{"@persistence_version":5}"#, 201)] {
        let world = World::new(PLAIN, &[("reset_persistence_auth", "new")]);
        world.source(|source| source.add_history(5, start(), minutes(97)));
        world.inner().state = Some(stored.as_bytes().to_vec());
        for failure in [pull::pre_pull(&world).unwrap_err(), world.pull().unwrap_err()] {
            assert_eq!((failure.class, failure.code), (Class::PrePull, code));
        }
        let inner = world.inner();
        assert_eq!(inner.state.as_deref(), Some(stored.as_bytes()));
        assert!(inner.trace.is_empty() && inner.arrived.is_empty());
    }
}
