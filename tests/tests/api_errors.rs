//! The errors of the API that the specification lists, each from a real cause: its words are in the log,
//! nothing is lost, and once the cause is gone it all goes on without a restart.

use anyhow::{Context, Result, ensure};
use chrono::{TimeDelta, Utc};
use sandbox::collector::Collector;
use sandbox::simulator::{self, Fault};
use sandbox::stage::{Plan, Stage};
use sandbox::{ALERTS_TABLE, PATIENCE};

/// The words of the specification's table "Common logic" that stay the same. In between stands what differs.
const CODE_401: &[&str] = &["ApiError [CODE:0401] reason: Unauthorized API response"];
const CODE_403: &[&str] = &["ApiError [CODE:0403] reason: Forbidden API response"];
const CODE_495: &[&str] =
    &["ApiError [CODE:0495] reason: Failed to parse alerts page object from response: ", ". Exception: "];
const CODE_496: &[&str] =
    &["ApiError [CODE:0496] reason: Connection Timeout Error. Verify that endpoint and URL parameters are correct."];
/// Requests after which no page has been read although each was asked for as often as is worth it, and others
/// too.
const EVERY_ATTEMPT: usize = 14;

const CODE_497: &[&str] = &[
    "ApiError [CODE:0497] reason: Connection Error. Ensure the URL parameters are correct and that host has access to \
     server.",
];
const CODE_498: &[&str] =
    &["ApiError [CODE:0498] reason: Max Retries Error. Request attempts with ", " retries failed."];

/// A collector that has delivered all there was.
fn delivered(stage: &Stage) -> Result<Collector> {
    let collector = stage.start()?;
    collector.wait_until_sent(stage.source.len() as u64)?;
    Ok(collector)
}

/// Waits for an error with these words, in this order.
fn wait_for_error(collector: &Collector, words: &[&str]) -> Result<String> {
    let in_order = |line: &str| {
        let mut rest = line;
        words.iter().all(|word| rest.split_once(word).map(|(_, after)| rest = after).is_some())
    };
    let what = format!("are errors with {words:?} in this order");
    let mut lines = collector
        .wait_for_lines_that(&what, 1, PATIENCE, |line| line.contains("   ERROR InputProcess::") && in_order(line))?;
    lines.pop().context("a line")
}

/// The cause is gone: what there was and what is added now arrives, from the same process, and the token has
/// got nowhere.
fn goes_on(stage: &mut Stage, collector: &Collector) -> Result<()> {
    stage.add_newer(10);
    collector.wait_until_sent(stage.source.len() as u64)?;
    stage.compare().exactly_once()?;
    ensure!(collector.is_running(), "it ended{}", collector.tail());
    let token = stage.simulator.token();
    ensure!(collector.lines_with(&[&token]).is_empty(), "the token is in the log");
    ensure!(stage.simulator.requests().iter().any(|request| request.authorized), "nobody asked for anything");
    Ok(())
}

fn answer(status: u16, headers: &[(&'static str, &str)], body: impl Into<bytes::Bytes>) -> Fault {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Fault::Answer { status, headers, body: body.into() }
}

#[test]
fn a_token_that_is_refused_from_now_on_is_error_401_or_403() {
    for (words, says, refuse) in [
        (
            CODE_401,
            "UNAUTHORIZED: Invalid or expired API token",
            (|settings| settings.token = "the-one-of-next-month".into()) as fn(&mut simulator::Settings),
        ),
        (CODE_403, "FORBIDDEN: The API token has no access to this resource", |settings| {
            settings.forbidden_token = settings.token.clone();
        }),
    ] {
        let mut stage = Stage::new("refused-token", 20).unwrap();
        let collector = delivered(&stage).unwrap();
        let good = stage.simulator.token();
        stage.simulator.change(refuse);
        let line = wait_for_error(&collector, words).unwrap();
        assert!(line.contains("Ensure the API token is properly created and configured in the collector."), "{line}");
        assert!(line.contains(&format!("API response. The API says: \"{says}\".")), "{line}");
        stage.simulator.change(|settings| {
            settings.token = good;
            settings.forbidden_token = "another".into();
        });
        goes_on(&mut stage, &collector).unwrap();
    }
}

#[test]
fn what_the_api_says_about_a_refused_request_is_shown_with_a_remedy() {
    let body = |message: &str| {
        format!(r#"{{"success":false,"error":{{"code":"THE_CODE","message":"{message}","details":null}}}}"#)
    };
    for (status, body, shown, remedy) in [
        (
            400,
            body("limit must not be greater than 50"),
            "THE_CODE: limit must not be greater than 50",
            "lower request.limit",
        ),
        (403, "<html>\r\n<h1>Blocked</h1>".to_owned(), "<html> <h1>Blocked</h1>", "a firewall in front"),
        (404, body("no such\\npath"), "THE_CODE: no such path", "base_url, and request.path"),
        (422, body(&"x".repeat(300)), &format!("THE_CODE: {}..", "x".repeat(190)), "lower request.limit"),
    ] {
        let mut stage = Stage::new("refused-request", 20).unwrap();
        stage.simulator.fail(1, answer(status, &[], body));
        let collector = stage.start().unwrap();
        let line = wait_for_error(&collector, &[&format!("ApiError [CODE:0{status}] reason: ")]).unwrap();
        assert!(line.contains(&format!(" The API says: \"{shown}\".")) && line.contains(remedy), "{line}");
        goes_on(&mut stage, &collector).unwrap();
    }
}

#[test]
fn an_error_that_repeats_the_token_does_not_bring_it_into_the_log() {
    let mut stage = Stage::new("echo", 20).unwrap();
    stage.simulator.fail(1, Fault::Echo(400));
    let collector = stage.start().unwrap();
    let line = wait_for_error(&collector, &["ApiError [CODE:0400] reason: "]).unwrap();
    assert!(line.contains("ECHO: you sent Bearer ***"), "{line}");
    goes_on(&mut stage, &collector).unwrap();
}

#[test]
fn every_request_says_who_asks() {
    let stage = Stage::new("user-agent", 20).unwrap();
    let _collector = delivered(&stage).unwrap();
    let agent = concat!("devo-collector/", env!("CARGO_PKG_VERSION"));
    let requests = stage.simulator.requests();
    assert!(!requests.is_empty());
    assert!(requests.iter().all(|request| request.user_agent.as_deref() == Some(agent)), "{requests:?}");
}

#[test]
fn a_status_that_says_that_there_is_nothing_is_no_error() {
    for status in [204, 304] {
        let mut stage = Stage::new("nothing", 20).unwrap();
        let collector = delivered(&stage).unwrap();
        let before = stage.simulator.request_count();
        stage.simulator.fail(1, answer(status, &[], ""));
        stage.simulator.wait_for_requests(before + 2, PATIENCE).unwrap();
        assert!(stage.simulator.requests().iter().any(|request| request.status == Some(status)));
        assert!(collector.lines_with(&["   ERROR InputProcess::"]).is_empty(), "{}", collector.tail());
        goes_on(&mut stage, &collector).unwrap();
    }
}

#[test]
fn an_encoding_that_was_not_asked_for_is_error_497_with_its_name() {
    let mut stage = Stage::new("encoding", 20).unwrap();
    stage.simulator.fail(4, answer(200, &[("content-encoding", "br")], "opaque"));
    let collector = stage.start().unwrap();
    let line = wait_for_error(&collector, CODE_497).unwrap();
    assert!(line.contains("the Content-Encoding \"br\", which was not asked for"), "{line}");
    goes_on(&mut stage, &collector).unwrap();
}

#[test]
fn a_proxy_that_wants_to_know_who_asks_is_error_497_in_the_proxys_name() {
    let mut stage = Stage::set("proxy-credentials", &Plan { https: false, ..Plan::new(20) }).unwrap();
    // The API stands in for a proxy in front of it: the requests are the same.
    let proxy = format!("http://127.0.0.1:{}", stage.simulator.port());
    stage.settings.input += &format!("proxy_url: {proxy}\n");
    stage.configure().unwrap();
    stage.simulator.fail(4, Fault::Status(407));
    let collector = stage.start().unwrap();
    let line = wait_for_error(&collector, CODE_497).unwrap();
    let refused = format!("the proxy {proxy} did not connect to the API: it wants a user and a password (status 407)");
    assert!(line.contains(&refused) && line.contains("into proxy_url"), "{line}");
    goes_on(&mut stage, &collector).unwrap();
}

#[test]
fn an_answer_that_can_not_be_parsed_is_error_495_and_shown() {
    let mut stage = Stage::new("unreadable", 20).unwrap();
    let collector = delivered(&stage).unwrap();
    for (fault, shown) in [
        (Fault::Html, "<!DOCTYPE html><html>"),
        (Fault::ErrorInside200, r#"{"success":false,"error":{"code":"INTERNAL_ERROR""#),
        // As long as it says, and cut all the same: by a proxy, for example.
        (
            answer(200, &[], r#"{"data":[{"id":"1","incident_time":"2024-0"#),
            r#"{"data":[{"id":"1","incident_time":"2024-0"#,
        ),
        (answer(200, &[], r#"{"alerts":[]}"#), r#"{"alerts":[]}"#),
        (answer(200, &[], ""), " object from response: . Exception: "),
    ] {
        let before = collector.lines_with(CODE_495).len();
        stage.simulator.fail(EVERY_ATTEMPT, fault.clone());
        collector.wait_for_lines(before + 1, CODE_495, PATIENCE).unwrap();
        let line = wait_for_error(&collector, CODE_495).unwrap();
        assert!(line.contains(shown), "{fault:?}: {line}");
        stage.simulator.recover();
        goes_on(&mut stage, &collector).unwrap();
    }
}

#[test]
fn a_connection_that_does_not_come_about_in_time_is_error_496() {
    let mut stage = Stage::new("time-out", 20).unwrap();
    stage.simulator.change(|settings| settings.mute = true);
    let collector = stage.start().unwrap();
    wait_for_error(&collector, CODE_496).unwrap();
    stage.simulator.change(|settings| settings.mute = false);
    goes_on(&mut stage, &collector).unwrap();
}

#[test]
fn a_connection_that_is_refused_is_error_497() {
    let mut stage = Stage::new("refused-connection", 20).unwrap();
    let collector = delivered(&stage).unwrap();
    stage.simulator.stop();
    let line = wait_for_error(&collector, CODE_497).unwrap();
    assert!(line.contains(&format!("localhost:{}: connection refused", stage.simulator.port())), "{line}");
    stage.simulator.resume().unwrap();
    goes_on(&mut stage, &collector).unwrap();
}

#[test]
fn a_storm_of_server_errors_is_error_498() {
    let mut stage = Stage::new("storm", 20).unwrap();
    let collector = delivered(&stage).unwrap();
    for status in [500, 502, 503, 504, 429, 408] {
        stage.simulator.fail(1, Fault::Status(status));
    }
    let line = wait_for_error(&collector, CODE_498).unwrap();
    assert!(line.contains("attempts with 3 retries failed. The last answer had status 504"), "{line}");
    goes_on(&mut stage, &collector).unwrap();
}

/// The specification's error 499 is about closing a session of the original's HTTP library. Here an answer
/// counts only when its end has been read too, so that what goes wrong there is met while there is still
/// something to be done about it.
#[test]
fn an_answer_that_is_not_what_it_says_is_asked_for_again() {
    let body = r#"{"data":[{"id":"an alert that the source never had","incident_time":"2024-01-01T00:00:00Z"}]}"#;
    let short = body.len() - 20;
    let long = body.len() + 20;
    let chunk = format!("{:x}\r\n{body}\r\n", body.len());
    let raw = |head: String, body: &str| Fault::Raw(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}").into());
    for (what, fault) in [
        ("longer than it is", raw(format!("Content-Length: {long}"), body)),
        ("two lengths", raw(format!("Content-Length: {short}\r\nContent-Length: {long}"), body)),
        ("a chunk without an end", raw("Transfer-Encoding: chunked".into(), &chunk)),
        ("an end that is none", raw("Transfer-Encoding: chunked".into(), &format!("{chunk}0\r\nno trailer\r\n\r\n"))),
        ("gzip that is none", raw(format!("Content-Encoding: gzip\r\nContent-Length: {}", body.len()), body)),
        ("no HTTP", Fault::Raw("SSH-2.0-OpenSSH_9.2\r\n".into())),
    ] {
        let mut stage = Stage::set("damaged-answer", &Plan { https: false, ..Plan::new(20) }).unwrap();
        let collector = delivered(&stage).unwrap();
        stage.simulator.fail(1, fault);
        let again = "The API could not be reached: ";
        collector.wait_for_complaint(&[again, "Attempt 1 of 3 follows in 1."]).with_context(|| what).unwrap();
        goes_on(&mut stage, &collector).with_context(|| what).unwrap();
    }
}

#[test]
fn an_answer_that_is_longer_than_it_says_is_error_495_and_the_rest_is_never_read() {
    let mut stage = Stage::set("surplus", &Plan { https: false, ..Plan::new(20) }).unwrap();
    let collector = delivered(&stage).unwrap();
    // What follows would be the answer to the next request, for whoever reads on.
    let smuggled = "HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n{\"data\":[{\"id\":\"evil\"}]}";
    stage.simulator.fail(
        EVERY_ATTEMPT,
        Fault::Raw(format!("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{{\"data\":[]}}{smuggled}").into()),
    );
    wait_for_error(&collector, CODE_495).unwrap();
    stage.simulator.recover();
    goes_on(&mut stage, &collector).unwrap();
}

/// The seconds that a line says until the next attempt.
fn announced(line: &str) -> Option<f64> {
    let (_, rest) = line.split_once("follows in ")?;
    rest.split(' ').next()?.parse().ok()
}

#[test]
fn a_busy_api_is_left_alone_for_as_long_as_it_asks() {
    let mut stage = Stage::new("retry-after", 20).unwrap();
    let collector = delivered(&stage).unwrap();
    stage.simulator.fail(1, answer(429, &[("retry-after", "3")], ""));
    let line = collector.wait_for_complaint(&["The API answered with status 429. Attempt 1 of 3 follows in "]).unwrap();
    // A quarter more at the most, so that not all clients come back at once.
    assert!((3.0..=3.75).contains(&announced(&line).unwrap()), "{line}");
    goes_on(&mut stage, &collector).unwrap();

    // Far enough ahead not to be over when it is read, even on a busy machine; without it a second would be
    // announced.
    let date = (Utc::now() + TimeDelta::seconds(15)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    stage.simulator.fail(1, answer(503, &[("retry-after", &date)], ""));
    let line = collector.wait_for_complaint(&["The API answered with status 503. Attempt 1 of 3 follows in "]).unwrap();
    assert!((1.26..=18.75).contains(&announced(&line).unwrap()), "{line}");
    goes_on(&mut stage, &collector).unwrap();
}

#[test]
fn an_api_that_asks_for_no_wait_is_not_asked_without_a_pause() {
    for retry_after in ["0", "-1", "Thu, 01 Jan 1970 00:00:00 GMT"] {
        let mut stage = Stage::new("no-wait", 20).unwrap();
        let collector = delivered(&stage).unwrap();
        stage.simulator.fail(1, answer(429, &[("retry-after", retry_after)], ""));
        let words = "The API answered with status 429. Attempt 1 of 3 follows in ";
        let line = collector.wait_for_complaint(&[words]).unwrap();
        assert!((1.0..=1.25).contains(&announced(&line).unwrap()), "{line}");
        goes_on(&mut stage, &collector).unwrap();
    }
}

#[test]
fn an_api_that_asks_for_an_hour_is_error_498_and_not_slept_through() {
    let mut stage = Stage::new("an-hour", 20).unwrap();
    let collector = delivered(&stage).unwrap();
    stage.simulator.fail(1, answer(429, &[("retry-after", "3600")], ""));
    let line = wait_for_error(&collector, CODE_498).unwrap();
    assert!(line.contains("status 429, and asked to wait 3600 seconds"), "{line}");
    goes_on(&mut stage, &collector).unwrap();
}

#[test]
fn an_address_that_does_not_exist_is_error_404_and_not_an_empty_source() {
    let simulator = simulator::Settings { prefix: "/moved".into(), ..simulator::Settings::default() };
    let mut stage = Stage::set("not-found", &Plan { simulator, ..Plan::new(20) }).unwrap();
    stage.settings.base_url = stage.settings.base_url.replace("/moved", "");
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    let line =
        wait_for_error(&collector, &["ApiError [CODE:0404] reason: Unexpected API response: status 404."]).unwrap();
    assert!(line.contains("base_url"), "{line}");
    assert_eq!(stage.receiver.count(ALERTS_TABLE), 0);
    stage.simulator.change(|settings| settings.prefix.clear());
    goes_on(&mut stage, &collector).unwrap();
}

#[test]
fn a_page_over_max_body_in_bytes_is_error_497_and_comes_when_the_limit_is_raised() {
    let mut stage = Stage::new("large-page", 100).unwrap();
    // Room for the one record of the set-up, and not for a page of a hundred.
    let usual = stage.settings.input.clone();
    stage.settings.input += "max_body_in_bytes: 20000\n";
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    // It may be a matter of that page alone, so the collector skips it, and says so.
    let line =
        collector.wait_for_line(&["can't be read", "[CODE:0497]", "larger than max_body_in_bytes"], PATIENCE).unwrap();
    assert!(line.contains("WARNING") && line.contains("CloudSekPuller("), "{line}");
    assert_eq!(stage.receiver.count(ALERTS_TABLE), 0);
    drop(collector);
    stage.settings.input = usual;
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    goes_on(&mut stage, &collector).unwrap();
}
