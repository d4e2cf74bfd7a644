//! Every type of output, alone and beside another: each receives all alerts as they were, and one that is
//! down holds back what counts as delivered.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::time::Duration;

use sandbox::check::{Report, compare};
use sandbox::collector::Collector;
use sandbox::receiver::{self, Behaviour, End, Frame, Receiver};
use sandbox::stage::{Plan, Stage};
use sandbox::{ALERTS_TABLE, PATIENCE};

/// An operator who stops the collector does not expect to wait longer.
const SOON: Duration = Duration::from_secs(20);

/// Devo's waits for a real outage are of no use here.
const IMPATIENT: &str = "connecting_initial_wait_in_seconds: 1\nconnecting_max_wait_in_seconds: 2\nsending_timeout: 2\n\
                         confirm_timeout_in_seconds: 2\n";

fn without_tls() -> receiver::Settings {
    receiver::Settings { tls: false, ..receiver::Settings::default() }
}

/// A stage whose receiver takes plain TCP, with this type of output.
fn plain_stage(kind: &str, alerts: usize) -> Stage {
    let mut stage = Stage::set(kind, &Plan { receiver: without_tls(), ..Plan::new(alerts) }).unwrap();
    stage.settings.kind = kind.into();
    stage.settings.output = IMPATIENT.into();
    stage.configure().unwrap();
    stage
}

#[test]
fn every_alert_arrives_once_and_as_it_was_over_plain_tcp() {
    for kind in ["in_house_relay", "syslog", "sidecar"] {
        let stage = plain_stage(kind, 250);
        let collector = stage.start().unwrap();
        collector.wait_until_sent(250).unwrap();
        // The comparison is one of bytes, and of the date in front with the alert's own time.
        stage.compare().exactly_once().unwrap();
        let arrived = stage.arrived();
        assert!(arrived.iter().any(|frame| String::from_utf8_lossy(&frame.line).contains("例え株式会社")), "{kind}");
        assert!(arrived.iter().all(|frame| std::str::from_utf8(&frame.line).is_ok()), "{kind}");
        // The original names the threads of such an output so.
        let thread = "OutputProcess::MainThread -> SyslogSender(standard_senders,syslog_sender_0) -> Starting thread";
        assert_eq!(collector.lines_with(&[thread]).len(), 1, "{kind}");
    }
}

#[test]
fn an_outage_over_plain_tcp_loses_nothing() {
    let mut stage = plain_stage("syslog", 10_000);
    let collector = stage.start().unwrap();
    stage.receiver.wait_for(ALERTS_TABLE, 500, PATIENCE).unwrap();
    stage.receiver.stop();
    let before = stage.receiver.count(ALERTS_TABLE);
    stage.receiver.resume().unwrap();
    stage.wait_for_all(&collector).unwrap();
    stage.compare().at_least_once().unwrap();
    assert!(before < 10_000, "the outage came too late to be one");
}

#[test]
fn what_is_not_confirmed_over_plain_tcp_is_not_a_delivery() {
    for behaviour in [Behaviour::NeverConfirm, Behaviour::CloseWithoutReading, Behaviour::StopReading] {
        let stage = plain_stage("syslog", 40);
        stage.receiver.behave(behaviour);
        let collector = stage.start().unwrap();
        collector.wait_for_complaint(&[&format!("localhost:{}", stage.receiver.port())]).unwrap();
        assert_eq!(collector.sent().unwrap(), 0, "{behaviour:?}");
        stage.receiver.behave(Behaviour::Healthy);
        collector.wait_until_sent(40).unwrap();
        stage.compare().at_least_once().unwrap();
    }
}

#[test]
fn an_output_without_tls_is_told_that_its_receiver_speaks_tls() {
    let mut stage = Stage::new("plain-to-tls", 40).unwrap();
    stage.settings.kind = "syslog".into();
    stage.settings.output = IMPATIENT.into();
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_for_complaint(&[&format!("localhost:{}", stage.receiver.port()), "speaks TLS"]).unwrap();
    assert_eq!(collector.sent().unwrap(), 0);
    collector.stop(SOON).unwrap();
    stage.settings.kind = "relay".into();
    stage.configure().unwrap();
    stage.start().unwrap().wait_until_sent(40).unwrap();
    stage.compare().exactly_once().unwrap();
}

#[test]
fn a_relay_is_sent_to_as_the_platform_is() {
    let mut stage = Stage::new("relay", 250).unwrap();
    stage.settings.kind = "relay".into();
    stage.settings.output = IMPATIENT.into();
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(250).unwrap();
    stage.compare().exactly_once().unwrap();
    let arrived = stage.arrived();
    let carrier = &stage.receiver.connections()[arrived[0].connection];
    assert_eq!(carrier.end, Some(End::CloseNotify), "TLS ends with a close_notify");

    stage.receiver.behave(Behaviour::RefuseClientCertificate);
    stage.add_newer(10);
    collector.wait_for_complaint(&["ertificate", &format!("localhost:{}", stage.receiver.port())]).unwrap();
    assert_eq!(collector.sent().unwrap(), 250);
    stage.receiver.behave(Behaviour::Healthy);
    collector.wait_until_sent(260).unwrap();
    stage.compare().exactly_once().unwrap();
}

/// The stage's own receiver has TLS; a relay without is added.
struct Two {
    stage: Stage,
    relay: Receiver,
}

impl Two {
    fn new(name: &str, alerts: usize) -> Self {
        let mut stage = Stage::new(name, alerts).unwrap();
        let relay = Receiver::start(&stage.certificates, &without_tls()).unwrap();
        stage.settings.output = IMPATIENT.into();
        let indented: String = IMPATIENT.lines().map(|line| format!("    {line}\n")).collect();
        let port = relay.port();
        stage.settings.more_outputs =
            format!("relay_1:\n  type: syslog\n  config:\n    address: localhost\n    port: {port}\n{indented}");
        stage.configure().unwrap();
        Self { stage, relay }
    }

    fn receiver(&mut self, name: &str) -> &mut Receiver {
        if name == "devo_us_1" { &mut self.stage.receiver } else { &mut self.relay }
    }

    fn compare(&self) -> [Report; 2] {
        [self.stage.compare(), compare(&self.stage.source, &self.relay.frames_from(0))]
    }
}

#[test]
fn two_outputs_each_receive_every_alert_once() {
    let mut two = Two::new("two", 300);
    let collector = two.stage.start().unwrap();
    collector.wait_until_sent(300).unwrap();
    two.stage.add_newer(20);
    collector.wait_until_sent(320).unwrap();
    two.compare().iter().for_each(|report| report.exactly_once().unwrap());
}

#[test]
fn while_one_of_two_outputs_is_down_nothing_is_committed_and_afterwards_each_has_all() {
    for down in ["devo_us_1", "relay_1"] {
        let mut two = Two::new("one-down", 300);
        let collector = two.stage.start().unwrap();
        collector.wait_until_sent(300).unwrap();
        assert_eq!(collector.stop(SOON).unwrap().code(), Some(0));
        let state = two.stage.installation.state_files().unwrap();
        assert!(!state.is_empty(), "what was delivered is recorded");

        two.receiver(down).stop();
        two.stage.add_newer(50);
        let port = two.receiver(down).port();
        let collector = two.stage.start().unwrap();
        let given_up = ["PullError [CODE:0300]", &format!("output \"{down}\" at localhost:{port}")];
        collector.wait_for_complaint(&given_up).unwrap();
        assert_eq!(collector.sent().unwrap(), 0, "{down} is down");
        assert_eq!(two.stage.installation.state_files().unwrap(), state, "{down} is down");

        two.receiver(down).resume().unwrap();
        collector.wait_until_sent(50).unwrap();
        two.compare().iter().for_each(|report| report.at_least_once().unwrap());
        // What was down has nothing twice; the other may have been sent the same again.
        let frames = two.receiver(down).frames_from(0);
        compare(&two.stage.source, &frames).exactly_once().unwrap();
    }
}

/// What the console shows once it is `count` events.
fn on_console(collector: &Collector, count: usize) -> Vec<Frame> {
    // The console's lines and those of the log come by two pipes: the log may be ahead.
    let lines = collector.wait_for_lines_that("are events", count, PATIENCE, |line| line.starts_with("<14>")).unwrap();
    lines.into_iter().map(|line| Frame { connection: 0, line: line.into() }).collect()
}

#[test]
fn an_output_and_the_console_each_receive_every_alert_once() {
    for kind in ["console", "stdout"] {
        let mut stage = Stage::new(kind, 300).unwrap();
        stage.settings.more_outputs = format!("screen:\n  type: {kind}\n");
        stage.configure().unwrap();
        let collector = stage.start().unwrap();
        collector.wait_until_sent(300).unwrap();
        stage.compare().exactly_once().unwrap();
        compare(&stage.source, &on_console(&collector, 300)).exactly_once().unwrap();
    }
}

#[test]
fn while_the_output_beside_the_console_is_down_nothing_is_committed() {
    let mut stage = Stage::new("console-alone", 300).unwrap();
    stage.settings.output = IMPATIENT.into();
    stage.settings.more_outputs = "screen:\n  type: console\n".into();
    stage.configure().unwrap();
    stage.receiver.stop();
    let collector = stage.start().unwrap();
    collector.wait_for_complaint(&["PullError [CODE:0300]", "output \"devo_us_1\""]).unwrap();
    assert_eq!(collector.sent().unwrap(), 0);
    stage.receiver.resume().unwrap();
    collector.wait_until_sent(300).unwrap();
    stage.compare().exactly_once().unwrap();
    compare(&stage.source, &on_console(&collector, 300)).at_least_once().unwrap();
}

/// Delivers 500 alerts with these settings of the output. How many bytes that were, and whether they were
/// compressed.
fn delivered(output: &str) -> (u64, bool) {
    let mut stage = Stage::new("gzip", 500).unwrap();
    // Nothing but events, so that the figures of two runs can be compared.
    stage.settings.output = format!("internal_messages: false\n{output}");
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(500).unwrap();
    stage.compare().exactly_once().unwrap();
    let connections = stage.receiver.connections();
    let bytes = connections.iter().map(|connection| connection.bytes).sum();
    let compressed = connections.iter().filter(|connection| connection.compressed).map(|connection| connection.events);
    match compressed.sum() {
        0 => (bytes, false),
        500 => (bytes, true),
        some => panic!("{some} of 500 events were compressed"),
    }
}

#[test]
fn compressed_events_are_the_same_events() {
    // Negative: always.
    let (bytes, compressed) = delivered("threshold_for_using_gzip_in_transport_layer: -1\n");
    // The original's default: never.
    let (plain, plainly_compressed) = delivered("threshold_for_using_gzip_in_transport_layer: 1.1\n");
    assert!(compressed && !plainly_compressed);
    assert!(bytes < plain / 2, "{bytes} of {plain} bytes");
}

#[test]
fn the_level_and_the_buffer_decide_how_small_events_become() {
    let compressed = |settings: &str| {
        let (bytes, compressed) = delivered(&format!("threshold_for_using_gzip_in_transport_layer: -1\n{settings}"));
        assert!(compressed, "{settings}");
        bytes
    };
    let fast = compressed("compression_level: 1\n");
    let small = compressed("compression_level: 9\n");
    let one_by_one = compressed("compression_level: 9\ncompression_buffer_in_bytes: 1\n");
    assert!(small < fast, "{small} bytes at level 9, {fast} at level 1");
    assert!(small < one_by_one / 2, "{small} bytes together, {one_by_one} one by one");
}
