//! What an output does beside events and what it says of itself: several connections, statistics, and the
//! collector's own messages in Devo's tables.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::HashMap;
use std::time::Duration;

use chrono::NaiveDateTime;
use sandbox::collector::Collector;
use sandbox::receiver::{self, Behaviour, Frame, Receiver};
use sandbox::simulator::Fault;
use sandbox::stage::Stage;
use sandbox::{ALERTS_TABLE, PATIENCE};
use serde_json::Value;

/// An operator who stops the collector does not expect to wait longer.
const SOON: Duration = Duration::from_secs(20);

const MONITOR: &str = "OutputProcess::DevoSenderManagerMonitor";

/// How many connections carried these frames at the same time, at most. A connection is at work from its
/// first frame to its last.
fn most_at_the_same_time(frames: &[Frame]) -> usize {
    let mut work: HashMap<usize, (usize, usize)> = HashMap::new();
    for (place, frame) in frames.iter().enumerate() {
        work.entry(frame.connection).or_insert((place, place)).1 = place;
    }
    let at_work = |place: usize| work.values().filter(|(first, last)| (*first..=*last).contains(&place)).count();
    work.values().map(|&(first, _)| at_work(first)).max().unwrap_or(0)
}

#[test]
fn events_are_spread_over_as_many_connections_as_configured() {
    let mut stage = Stage::new("concurrent", 20_000).unwrap();
    stage.settings.output = "concurrent_connections: 3\n".into();
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(20_000).unwrap();
    assert_eq!(collector.stop(SOON).unwrap().code(), Some(0));
    stage.compare().exactly_once().unwrap();
    let most = most_at_the_same_time(&stage.arrived());
    assert!((2..=3).contains(&most), "{most} connections at the same time");
    for (number, times) in [(0, 1), (1, 1), (2, 1), (3, 0)] {
        let start = format!("MainThread -> DevoSender(standard_senders,devo_sender_{number}) -> Starting thread");
        assert_eq!(collector.lines_with(&[&start]).len(), times, "{start}");
    }
    assert_eq!(report(&collector, "standard_senders", "Standard").senders, 3);
}

#[test]
fn one_connection_at_a_time_is_the_default() {
    let stage = Stage::new("one-connection", 10_000).unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(10_000).unwrap();
    assert_eq!(most_at_the_same_time(&stage.arrived()), 1);
}

/// The two lines of a monitor, which a collector that was stopped has written once.
#[derive(Debug, PartialEq)]
struct Report {
    senders: usize,
    queued: usize,
    sent_in_all: usize,
    sent: usize,
    seconds: f64,
}

fn report(collector: &Collector, service: &str, title: &str) -> Report {
    let thread = format!("INFO {MONITOR}({service},devo_us_1) -> ");
    let lines: Vec<String> = collector
        .lines_with(&[&thread])
        .iter()
        .map(|line| line.split_once(" -> ").unwrap().1.to_owned())
        .filter(|text| !text.starts_with("Starting thread"))
        .collect();
    let [senders, sent] = &lines[..] else { panic!("not the two lines of {service}: {lines:#?}") };
    let senders = senders.strip_prefix("Number of available senders: ").unwrap();
    let (senders, queued) = senders.split_once(", sender manager internal queue size: ").unwrap();
    let sent = sent.strip_prefix(&format!("{title} - Total number of messages sent: ")).unwrap();
    let (sent_in_all, rest) = sent.split_once(", messages sent since \"").unwrap();
    let (since, rest) = rest.split_once("\": ").unwrap();
    // As Python prints a time with its zone.
    assert!(NaiveDateTime::parse_from_str(since, "%Y-%m-%d %H:%M:%S%.6f+00:00").is_ok(), "{since}");
    let (sent, seconds) = rest.split_once(" (elapsed ").unwrap();
    Report {
        senders: senders.parse().unwrap(),
        queued: queued.parse().unwrap(),
        sent_in_all: sent_in_all.parse().unwrap(),
        sent: sent.parse().unwrap(),
        seconds: seconds.strip_suffix(" seconds)").unwrap().parse().unwrap(),
    }
}

#[test]
fn the_statistics_of_the_senders_are_true() {
    let mut stage = Stage::new("statistics", 730).unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(730).unwrap();
    stage.add_newer(20);
    collector.wait_until_sent(750).unwrap();
    // The first connection with messages was confirmed before the second one was opened.
    let messages = stage
        .receiver
        .wait_for_frames("messages on two connections", PATIENCE, |frames| {
            let mut carriers: Vec<_> = frames.iter().filter(|frame| is_message(frame)).map(|f| f.connection).collect();
            let first = *carriers.first()?;
            let all = carriers.len();
            carriers.retain(|&carrier| carrier == first);
            (carriers.len() < all).then_some(carriers.len())
        })
        .unwrap();
    assert_eq!(collector.stop(SOON).unwrap().code(), Some(0));
    assert_eq!(stage.receiver.count(ALERTS_TABLE), 750);

    let standard = report(&collector, "standard_senders", "Standard");
    assert_eq!((standard.senders, standard.queued, standard.sent_in_all, standard.sent), (1, 0, 750, 750));
    assert!(standard.seconds > 0.0, "{standard:?}");
    // There are no lookups; the service only reports.
    let lookup = report(&collector, "lookup_senders", "Lookup");
    assert_eq!((lookup.queued, lookup.sent_in_all, lookup.sent), (0, 0, 0));
    let internal = report(&collector, "internal_senders", "Internal");
    let arrived = stage.receiver.frames_from(0).iter().filter(|frame| is_message(frame)).count();
    assert_eq!(internal.senders, 1);
    assert!((messages..=arrived).contains(&internal.sent_in_all), "{messages}, {internal:?}, {arrived}");
    assert_eq!(internal.sent, internal.sent_in_all);
}

fn is_message(frame: &Frame) -> bool {
    frame.parts().is_some_and(|parts| parts.tag.starts_with("devo."))
}

/// The messages of this table that have arrived.
fn messages(receiver: &Receiver, table: &str) -> Vec<Value> {
    let events = receiver.events(table);
    events.iter().map(|frame| serde_json::from_slice(frame.parts().unwrap().message).unwrap()).collect()
}

/// Level and text of the lines of the log, in an order of their own.
fn log(collector: &Collector) -> Vec<(String, String)> {
    let mut lines: Vec<_> = collector
        .lines()
        .iter()
        .map(|line| {
            let (head, text) = line.split_once(" -> ").unwrap();
            (head.split_whitespace().nth(1).unwrap().to_lowercase(), text.to_owned())
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn every_line_of_the_log_arrives_in_the_table_of_its_level() {
    let stage = Stage::new("messages", 20).unwrap();
    stage.simulator.fail(1, Fault::Status(403));
    let collector = stage.start().unwrap();
    collector.wait_until_sent(20).unwrap();
    assert_eq!(collector.stop(SOON).unwrap().code(), Some(0));

    let mut arrived = Vec::new();
    for level in ["info", "warning", "error"] {
        let messages = messages(&stage.receiver, &format!("devo.collectors.out.local.{level}"));
        assert!(!messages.is_empty(), "{level}");
        for message in messages {
            assert_line(&message, level);
            arrived.push((level.to_owned(), message["msg"].as_str().unwrap().to_owned()));
        }
    }
    arrived.sort();
    assert_eq!(arrived, log(&collector));

    let start = messages(&stage.receiver, "devo.collectors.out.global.info");
    assert_eq!(start.len(), 1);
    assert_line(&start[0], "info");
    assert!(start[0]["msg"].as_str().unwrap().contains("has started"), "{}", start[0]);

    let errors = messages(&stage.receiver, "devo.collectors.out.local.error");
    assert!(errors.iter().any(|error| error["msg"].as_str().unwrap().contains("ApiError [CODE:0403]")), "{errors:#?}");
    let pulls = messages(&stage.receiver, "devo.collectors.out.local.info");
    let pull = pulls.iter().find(|message| message["msg"] == "Pull Started").unwrap();
    assert_eq!(
        [&pull["input_name"], &pull["service_name"], &pull["module_name"]],
        ["cloudsek", "alerts", "CloudSekPuller"]
    );
}

/// A message about a line has the members of the original's.
fn assert_line(message: &Value, level: &str) {
    let mut names: Vec<_> = message.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "collector_image",
            "collector_name",
            "collector_version",
            "input_name",
            "level",
            "module_name",
            "msg",
            "service_name",
            "time"
        ]
    );
    assert_eq!((&message["level"], &message["collector_name"]), (&level.into(), &"cloudsek".into()));
    let time = message["time"].as_str().unwrap();
    assert_eq!(time.len(), "2024-02-16T11:55:03.475000Z".len(), "{time}");
    assert!(NaiveDateTime::parse_from_str(time, "%Y-%m-%dT%H:%M:%S%.6fZ").is_ok(), "{time}");
}

#[test]
fn the_metric_says_how_much_was_sent() {
    let mut stage = Stage::new("metric", 300).unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(300).unwrap();
    stage.add_newer(30);
    collector.wait_until_sent(330).unwrap();
    assert_eq!(collector.stop(SOON).unwrap().code(), Some(0));
    let metrics = messages(&stage.receiver, "devo.collector.metric.message_sent");
    let [metric] = &metrics[..] else { panic!("a short run has one metric, at its end: {metrics:#?}") };
    let bytes: usize = stage.arrived().iter().map(|frame| frame.line.len() + "\n".len()).sum();
    assert_eq!(metric["msg_sent"]["part_counter"], 330);
    assert_eq!(metric["msg_sent"]["part_bytes"], bytes);
    assert!(metric["msg_sent"]["since_ts"].as_str().unwrap().ends_with('Z'), "{metric}");
    assert_eq!(metric["col_name"], "cloudsek");
    for member in ["col_id", "col_version", "col_image"] {
        assert!(metric[member].is_string(), "{member} in {metric}");
    }
}

#[test]
fn the_metric_is_about_the_output_that_it_is_sent_to() {
    let mut stage = Stage::new("metrics", 300).unwrap();
    let without_tls = receiver::Settings { tls: false, ..receiver::Settings::default() };
    let relay = Receiver::start(&stage.certificates, &without_tls).unwrap();
    stage.settings.more_outputs = format!(
        "relay_1: {{type: syslog, config: {{address: localhost, port: {}}}}}\nscreen: {{type: console}}\n",
        relay.port()
    );
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(300).unwrap();
    assert_eq!(collector.stop(SOON).unwrap().code(), Some(0));
    for receiver in [&stage.receiver, &relay] {
        let metrics = messages(receiver, "devo.collector.metric.message_sent");
        assert_eq!(metrics.iter().map(|metric| metric["msg_sent"]["part_counter"].as_u64().unwrap()).sum::<u64>(), 300);
        assert_eq!(receiver.count(ALERTS_TABLE), 300);
    }
}

#[test]
fn internal_messages_can_be_switched_off() {
    let mut stage = Stage::new("no-messages", 20).unwrap();
    stage.settings.output = "internal_messages: false\n".into();
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(20).unwrap();
    assert_eq!(collector.stop(SOON).unwrap().code(), Some(0));
    let frames = stage.receiver.frames_from(0);
    assert_eq!(frames.len(), 20);
    assert!(frames.iter().all(|frame| frame.has_tag(ALERTS_TABLE)));
}

#[test]
fn the_token_is_in_no_message() {
    let mut stage = Stage::new("secret", 20).unwrap();
    let right = std::mem::replace(&mut stage.settings.token, "a-token-that-is-refused".into());
    // As much as can be said is said.
    stage.settings.debug = true;
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_for_complaint(&["ApiError [CODE:0401]"]).unwrap();
    assert_eq!(collector.stop(SOON).unwrap().code(), Some(0));
    stage.settings.token.clone_from(&right);
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(20).unwrap();
    assert_eq!(collector.stop(SOON).unwrap().code(), Some(0));

    for level in ["debug", "info", "warning", "error"] {
        assert!(stage.receiver.count(&format!("devo.collectors.out.local.{level}")) > 0, "{level}");
    }
    for frame in stage.receiver.frames_from(0) {
        let line = String::from_utf8_lossy(&frame.line);
        assert!(!line.contains(&right) && !line.contains("a-token-that-is-refused"), "{line}");
    }
}

#[test]
fn messages_that_nobody_reads_hold_up_no_event_and_no_end() {
    let mut stage = Stage::new("stalled-messages", 2_000).unwrap();
    stage.receiver.behave(Behaviour::StallMessages);
    let collector = stage.start().unwrap();
    stage.receiver.wait_for("devo.collectors.out.global.info", 1, PATIENCE).unwrap();
    collector.wait_until_sent(2_000).unwrap();
    stage.add_newer(100);
    collector.wait_until_sent(2_100).unwrap();
    assert_eq!(collector.stop(SOON).unwrap().code(), Some(0));
    stage.compare().exactly_once().unwrap();
    collector.wait_for_complaint(&["The last of the collector's own messages could not be delivered"]).unwrap();
    let stalled = stage.receiver.frames_from(0).iter().find(|frame| is_message(frame)).unwrap().connection;
    assert_eq!(stage.receiver.connections()[stalled].end, None, "it is still open, and nobody reads it");
}
