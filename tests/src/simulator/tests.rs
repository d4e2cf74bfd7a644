//! The simulator is asked with plain sockets, so that no client can smooth over what it sends.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use chrono::{DateTime, TimeDelta};
use serde_json::Value;

use super::*;
use crate::alerts::Batch;

fn alerts(first: u64, count: usize) -> Vec<Alert> {
    let newest = DateTime::UNIX_EPOCH + TimeDelta::seconds(1_700_000_000 + first as i64);
    Batch { count, first, seed: 0, newest, spread: TimeDelta::hours(3) }.make()
}

fn start(settings: Settings, count: usize) -> Simulator {
    Simulator::start(settings, &alerts(0, count)).unwrap()
}

/// All bytes of one answer; what the connection ended with, if not in order.
fn raw(simulator: &Simulator, target: &str, token: &str) -> (Vec<u8>, Option<ErrorKind>) {
    let mut stream = TcpStream::connect(("127.0.0.1", simulator.port())).unwrap();
    stream.set_read_timeout(Some(crate::PATIENCE)).unwrap();
    let head = format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: sockets\r\nAuthorization: Bearer {token}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer).err().map(|error| error.kind());
    (answer, end)
}

fn get(simulator: &Simulator, target: &str, token: &str) -> (u16, String, Value) {
    let (answer, end) = raw(simulator, target, token);
    assert_eq!(end, None);
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), serde_json::from_str(&body.replace("\\ud83d,", "")).unwrap_or(Value::Null))
}

fn page(simulator: &Simulator, query: &str) -> Value {
    let (status, _, body) = get(simulator, &format!("{PATH}?{query}"), &simulator.token());
    assert_eq!(status, 200);
    body
}

#[test]
fn pages_are_newest_first_and_count_themselves() {
    let simulator = start(Settings::default(), 250);
    let source = alerts(0, 250);
    let first = page(&simulator, "limit=100&page=1");
    assert_eq!(first["data"][0]["id"].to_string(), source[249].id);
    assert_eq!((&first["current_page"], &first["total_page"]), (&1.into(), &3.into()));
    assert_eq!((&first["current_count"], &first["total_count"]), (&100.into(), &250.into()));
    let last = page(&simulator, "limit=100&page=3");
    assert_eq!(last["data"].as_array().unwrap().len(), 50);
    assert_eq!(last["data"][49]["id"].to_string(), source[0].id);
    assert_eq!(page(&simulator, "limit=100&page=4")["data"], serde_json::json!([]));
    assert_eq!(page(&simulator, "limit=100000")["current_limit"], 100, "the limit is cut to the largest one");
}

#[test]
fn added_alerts_appear_where_the_order_puts_them() {
    for (order, place) in [(Order::NewestFirst, 0), (Order::OldestFirst, 9)] {
        let simulator = start(Settings { order, ..Settings::default() }, 9);
        let added = alerts(1000, 1);
        simulator.add(&added);
        assert_eq!(page(&simulator, "limit=20&page=1")["data"][place]["id"].to_string(), added[0].id);
    }
}

#[test]
fn tokens_are_checked_and_errors_have_the_documented_form() {
    let simulator = start(Settings { prefix: "/tenant".into(), ..Settings::default() }, 1);
    let target = format!("/tenant{PATH}");
    let (status, _, body) = get(&simulator, &target, "wrong");
    assert_eq!((status, &body["error"]["code"], &body["success"]), (401, &"UNAUTHORIZED".into(), &false.into()));
    let (status, _, _) = get(&simulator, &target, "test-token-without-rights");
    assert_eq!(status, 403);
    assert_eq!(get(&simulator, PATH, &simulator.token()).0, 404);
    assert_eq!(get(&simulator, &target, &simulator.token()).0, 200);
    let requests = simulator.requests();
    assert_eq!(requests.iter().map(|request| request.authorized).collect::<Vec<_>>(), [false, false, true, true]);
    assert_eq!(requests[3].status, Some(200));
    assert_eq!(requests[3].user_agent.as_deref(), Some("sockets"));
}

#[test]
fn more_requests_than_allowed_are_told_to_come_back() {
    let rate_limit = Some(RateLimit { requests: 2, window: Duration::from_secs(3600) });
    let simulator = start(Settings { rate_limit, ..Settings::default() }, 1);
    page(&simulator, "page=1");
    page(&simulator, "page=1");
    let (status, head, body) = get(&simulator, PATH, &simulator.token());
    assert_eq!((status, &body["error"]["code"]), (429, &"RATE_LIMIT_EXCEEDED".into()));
    assert!(head.contains("retry-after: 3600"), "{head}");
}

#[test]
fn faults_happen_as_often_as_asked() {
    let simulator = start(Settings::default(), 100);
    simulator.fail(2, Fault::Status(503));
    simulator.fail(1, Fault::Html);
    assert_eq!(get(&simulator, PATH, &simulator.token()).0, 503);
    assert_eq!(get(&simulator, PATH, &simulator.token()).0, 503);
    assert!(get(&simulator, PATH, &simulator.token()).1.contains("text/html"));
    assert_eq!(get(&simulator, PATH, &simulator.token()).0, 200);
}

#[test]
fn a_truncated_answer_promises_more_than_it_sends() {
    let simulator = start(Settings::default(), 100);
    simulator.fail(1, Fault::Truncated);
    let (answer, _) = raw(&simulator, &format!("{PATH}?limit=100"), &simulator.token());
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let promised: usize =
        head.to_ascii_lowercase().split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    assert!(!body.is_empty() && body.len() < promised, "{} of {promised}", body.len());
}

#[test]
fn a_reset_is_a_reset() {
    let simulator = start(Settings::default(), 1);
    simulator.fail(1, Fault::Reset);
    assert_eq!(raw(&simulator, PATH, &simulator.token()), (vec![], Some(ErrorKind::ConnectionReset)));
}

#[test]
fn it_can_be_gone_for_a_while() {
    let mut simulator = start(Settings::default(), 1);
    let port = simulator.port();
    simulator.stop();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    simulator.resume().unwrap();
    assert_eq!(simulator.port(), port);
    page(&simulator, "page=1");
}

#[test]
fn every_envelope_holds_the_same_records() {
    let expected = page(&start(Settings::default(), 5), "limit=100")["data"].clone();
    for (envelope, records, total) in [
        (Envelope::BareArray, "", None),
        (Envelope::NullWhenEmpty, "/data", Some("/total_page")),
        (Envelope::NoTotals, "/data", None),
        (Envelope::InPagination, "/data", Some("/pagination/total_page")),
        (Envelope::InMeta, "/data", Some("/meta/total_page")),
        (Envelope::TextNumbers, "/data", Some("/total_page")),
    ] {
        let simulator = start(Settings { envelope, ..Settings::default() }, 5);
        let body = page(&simulator, "limit=100");
        assert_eq!(body.pointer(records), Some(&expected), "{envelope:?}");
        if let Some(total) = total {
            let one = if envelope == Envelope::TextNumbers { Value::from("1") } else { Value::from(1) };
            assert_eq!(body.pointer(total), Some(&one), "{envelope:?}");
        }
        let empty = page(&simulator, "limit=100&page=2");
        let nothing = if envelope == Envelope::NullWhenEmpty { Value::Null } else { Value::Array(vec![]) };
        assert_eq!(empty.pointer(records), Some(&nothing), "{envelope:?}");
    }
}

#[test]
fn any_answer_can_be_given_and_any_bytes() {
    let simulator = start(Settings::default(), 10);
    let headers = vec![("retry-after", "7".to_owned())];
    simulator.fail(1, Fault::Answer { status: 503, headers, body: r#"{"a":1}"#.into() });
    let (status, head, body) = get(&simulator, PATH, "");
    assert_eq!((status, body), (503, serde_json::json!({"a": 1})));
    assert!(head.contains("\r\nretry-after: 7\r\n"), "{head}");

    simulator.fail(1, Fault::Raw("no HTTP at all".into()));
    assert_eq!(raw(&simulator, PATH, "").0, b"no HTTP at all");

    simulator.fail(1, Fault::Echo(400));
    let (status, _, body) = get(&simulator, PATH, "sesame");
    assert_eq!((status, &body["error"]["message"]), (400, &"you sent Bearer sesame".into()));
}
