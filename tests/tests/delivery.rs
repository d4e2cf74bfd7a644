//! What arrives at Devo where nothing breaks: all of it, as it was, and once. What happens where something
//! does is in the fault matrix.

use std::time::Duration;

use chrono::TimeDelta;
use nix::sys::signal::Signal;
use sandbox::receiver::Behaviour;
use sandbox::simulator::Fault;
use sandbox::stage::{Plan, Stage};
use sandbox::{ALERTS_TABLE, PATIENCE};

/// An operator who stops the collector does not expect to wait longer.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn every_alert_arrives_once_and_as_it_was() {
    let stage = Stage::new("once", 1050).unwrap();
    let collector = stage.start().unwrap();
    let cycles = collector.wait_until_sent(1050).unwrap();
    stage.compare().exactly_once().unwrap();
    assert_eq!(cycles.iter().map(|cycle| cycle.received - cycle.duplicates).sum::<u64>(), 1050);
    assert!(cycles.iter().map(|cycle| cycle.requests).sum::<u64>() >= 11, "1,050 alerts are on 11 pages");
    assert!(stage.simulator.requests().iter().all(|request| request.authorized));
}

#[test]
fn plain_http_is_possible_with_the_operators_leave() {
    let stage = Stage::set("http", &Plan { https: false, ..Plan::new(250) }).unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(250).unwrap();
    stage.compare().exactly_once().unwrap();
}

#[test]
fn a_later_cycle_delivers_only_what_is_new() {
    let mut stage = Stage::new("later-cycle", 300).unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(300).unwrap();
    stage.add_newer(50);
    collector.wait_until_sent(350).unwrap();
    let cycles = collector.statistics().unwrap().len();
    collector.wait_for_cycles(cycles + 2).unwrap();
    stage.compare().exactly_once().unwrap();
    assert_eq!(collector.statistics().unwrap().iter().map(|cycle| cycle.sent).sum::<u64>(), 350);
}

#[test]
fn a_cycle_without_alerts_says_that_the_data_is_up_to_date() {
    let stage = Stage::new("nothing", 0).unwrap();
    let collector = stage.start().unwrap();
    let cycles = collector.wait_for_cycles(2).unwrap();
    assert!(cycles.iter().all(|cycle| cycle.received == 0 && cycle.sent == 0));
    collector.wait_for_line(&["-> The data is up to date!"], PATIENCE).unwrap();
    assert_eq!(stage.receiver.count(ALERTS_TABLE), 0);
}

#[test]
fn an_alert_that_appears_late_is_delivered() {
    let mut stage = Stage::new("late", 300).unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(300).unwrap();
    // Older than everything that was delivered in the last hours: a cursor alone would never see them.
    stage.add_late(7, TimeDelta::hours(6));
    collector.wait_until_sent(307).unwrap();
    stage.compare().exactly_once().unwrap();
}

#[test]
fn alerts_of_the_newest_second_are_neither_lost_nor_repeated() {
    let mut stage = Stage::new("second", 50).unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(50).unwrap();
    // The same second as the newest alert, which a comparison with `>` would leave out.
    stage.add_late(3, TimeDelta::zero());
    collector.wait_until_sent(53).unwrap();
    stage.compare().exactly_once().unwrap();
}

#[test]
fn a_restart_goes_on_where_it_stood() {
    let mut stage = Stage::new("restart", 300).unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(300).unwrap();
    assert_eq!(collector.stop(SOON).unwrap().code(), Some(0));
    stage.add_newer(20);
    let collector = stage.start().unwrap();
    collector.wait_until_sent(20).unwrap();
    stage.compare().exactly_once().unwrap();
}

#[test]
fn a_signal_ends_it_in_order() {
    for (signal, name) in [(Signal::SIGTERM, "Terminated"), (Signal::SIGINT, "Interrupt")] {
        let stage = Stage::new("signal", 20).unwrap();
        let collector = stage.start().unwrap();
        collector.wait_until_sent(20).unwrap();
        collector.signal(signal).unwrap();
        assert_eq!(collector.wait_for_exit(SOON).unwrap().code(), Some(0), "{name}");
        let line = format!("Received the \"{name}\" system signal (code: {})", signal as i32);
        assert_eq!(collector.lines_with(&[&line]).len(), 1, "{line}");
    }
}

#[test]
fn a_signal_ends_it_even_when_the_other_side_hangs() {
    for hang in ["the API", "Devo"] {
        let stage = Stage::new("hang", 20).unwrap();
        match hang {
            "Devo" => stage.receiver.behave(Behaviour::StopReading),
            _ => stage.simulator.fail(1000, Fault::Stall),
        }
        let collector = stage.start().unwrap();
        match hang {
            "Devo" => stage
                .receiver
                .wait_for_connections("a connection", PATIENCE, |connections| connections.first().map(|_| ()))
                .unwrap(),
            _ => stage.simulator.wait_for_requests(1, PATIENCE).unwrap(),
        }
        assert_eq!(collector.stop(SOON).unwrap().code(), Some(0), "{hang} hangs");
    }
}

#[test]
fn an_alert_that_is_too_large_for_the_output_is_kept_aside_and_not_in_the_way() {
    let mut stage = Stage::new("too-large", 200).unwrap();
    let mut sizes: Vec<usize> = stage.source.iter().map(|alert| alert.text.len()).collect();
    sizes.sort_unstable();
    stage.settings.output = format!("max_event_in_bytes: {}\n", sizes[150]);
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(200).unwrap();
    collector.wait_for_complaint(&["were not sent", "dead_letters/devo_us_1.ndjson"]).unwrap();
    let report = stage.compare();
    assert!(report.doubled.is_empty() && report.wrong.is_empty() && report.arrived < 200, "{report}");
    let letters = std::fs::read_to_string(stage.installation.product().join("dead_letters/devo_us_1.ndjson")).unwrap();
    let mut kept: Vec<String> = letters.lines().map(|line| id_of_letter(line).unwrap()).collect();
    let mut missing = report.missing;
    kept.sort_unstable();
    missing.sort_unstable();
    assert_eq!(kept, missing);
}

/// The id of the event in a dead letter, as it is written there.
fn id_of_letter(line: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Letter<'a> {
        #[serde(borrow)]
        event: Event<'a>,
    }
    #[derive(serde::Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        id: &'a serde_json::value::RawValue,
    }
    serde_json::from_str::<Letter<'_>>(line).ok().map(|letter| letter.event.id.get().to_owned())
}
