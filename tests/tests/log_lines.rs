//! The log lines that operators of the original collector have dashboards and alarms on: each appears, in
//! that order.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::time::Duration;

use chrono::DateTime;
use sandbox::PATIENCE;
use sandbox::collector::Collector;
use sandbox::simulator::Fault;
use sandbox::stage::Stage;
use serde_json::Value;

/// The specification's "Setup output". `#` stands for a number, `...` for what differs from run to run.
const SETUP: [&str; 25] = [
    "INFO InputProcess::MainThread -> Validating service input config",
    "INFO InputProcess::MainThread -> Running overriding rules",
    "INFO InputProcess::MainThread -> Validating the rate limiter config given by the user",
    "INFO InputProcess::MainThread -> <requests_limits> setting has not been defined. The generic settings will be used instead.",
    "INFO InputProcess::MainThread -> Adding raw config to the collector store",
    "INFO InputProcess::MainThread -> Running custom validation rules",
    "INFO InputProcess::MainThread -> CloudSekPuller(cloudsek,cloudsek_1,alerts,predefined) Finalizing the execution of init_variables()",
    "INFO InputProcess::MainThread -> InputThread(cloudsek,cloudsek_1) - Starting thread (execution_period=#s)",
    "INFO InputProcess::MainThread -> ServiceThread(cloudsek,cloudsek_1,alerts,predefined) - Starting thread (execution_period=#s)",
    "INFO InputProcess::MainThread -> CloudSekPullerSetup(cloudsek,cloudsek#cloudsek_1,alerts#predefined) -> Starting thread",
    "INFO InputProcess::MainThread -> CloudSekPuller(cloudsek,cloudsek_1,alerts,predefined) - Starting thread",
    "WARNING InputProcess::CloudSekPullerSetup(cloudsek,cloudsek#cloudsek_1,alerts#predefined) -> The token/header/authentication has not been created yet",
    "WARNING InputProcess::CloudSekPuller(cloudsek,cloudsek_1,alerts,predefined) -> Waiting until setup will be executed",
    "INFO OutputProcess::MainThread -> DevoSender(standard_senders,devo_sender_0) -> Starting thread",
    "INFO OutputProcess::MainThread -> DevoSenderManagerMonitor(standard_senders,devo_us_1) -> Starting thread (every # seconds)",
    "INFO OutputProcess::MainThread -> DevoSenderManager(standard_senders,manager,devo_us_1) -> Starting thread",
    "INFO OutputProcess::MainThread -> DevoSender(lookup_senders,devo_sender_0) -> Starting thread",
    "INFO OutputProcess::MainThread -> DevoSenderManagerMonitor(lookup_senders,devo_us_1) -> Starting thread (every # seconds)",
    "INFO OutputProcess::MainThread -> DevoSenderManager(lookup_senders,manager,devo_us_1) -> Starting thread",
    "INFO OutputProcess::MainThread -> DevoSender(internal_senders,devo_sender_0) -> Starting thread",
    "INFO OutputProcess::MainThread -> DevoSenderManagerMonitor(internal_senders,devo_us_1) -> Starting thread (every # seconds)",
    "INFO OutputProcess::MainThread -> DevoSenderManager(internal_senders,manager,devo_us_1) -> Starting thread",
    "INFO InputProcess::MainThread -> [GC] global: #% -> #%, process: RSS(#MiB -> #MiB), VMS(#MiB -> #MiB)",
    "INFO InputProcess::MainThread -> global_status: {\"input_process\": {\"process_id\": #, \"process_status\": \"running\", \"thread_counter\": #, \"thread_names\": [\"MainThread\", ...",
    "INFO InputProcess::CloudSekPullerSetup(cloudsek,cloudsek#cloudsek_1,alerts#predefined) -> Setup for module <CloudSekPuller> has been successfully executed",
];

/// The specification's "Puller output", without what every line begins with, for a start that finds a state.
const PULLER: [&str; 15] = [
    "CloudSekPuller(cloudsek,cloudsek_1,alerts,predefined) Starting the execution of pre_pull()",
    "Reading persisted data",
    "Data retrieved from the persistence: {'initial_start_time_in_utc': ..., 'last_event_time_in_utc': ..., 'last_ids': [...], '@persistence_version': #}",
    "Running the persistence upgrade steps",
    "Running the persistence corrections steps",
    "Running the persistence corrections steps",
    "No changes were detected in the persistence",
    "CloudSekPuller(cloudsek,cloudsek_1,alerts,predefined) Finalizing the execution of pre_pull()",
    "Starting data collection every # seconds",
    "Pull Started",
    "Retrieving/sending alerts events since last # day(s)",
    "(Partial) Statistics for this pull cycle (@devo_pulling_id=#):Number of requests made: #; Number of events received: #; Number of duplicated events filtered out: #; Number of events generated and sent: #; Average of events per second: #.",
    "Statistics for this pull cycle (@devo_pulling_id=#):Number of requests made: #; Number of events received: #; Number of duplicated events filtered out: #; Number of events generated and sent: #; Average of events per second: #.",
    "The data is up to date!",
    "Data collection completed. Elapsed time: # seconds. Waiting for # second(s) until the next one",
];

const PULLER_THREAD: &str = "INFO InputProcess::CloudSekPuller(cloudsek,cloudsek_1,alerts,predefined) -> ";

/// Whether `line` is `pattern` with numbers and the rest filled in, or begins with it.
fn matches(pattern: &str, line: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix("...") {
        // Whatever comes next, there must be a place from which on the rest fits.
        return rest.is_empty() || (0..=line.len()).any(|at| line.is_char_boundary(at) && matches(rest, &line[at..]));
    }
    let mut expected = pattern.chars();
    match (expected.next(), line.chars().next()) {
        (None, _) => true,
        // A hash is a number, unless the line has one itself: threads are named `cloudsek#cloudsek_1`.
        (Some('#'), Some(found)) if found != '#' => {
            let length = line.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(line.len());
            // A full stop after the number may belong to the sentence.
            (1..=length).rev().any(|length| matches(expected.as_str(), &line[length..]))
        }
        (Some(expected_char), Some(found)) if expected_char == found => {
            matches(expected.as_str(), &line[found.len_utf8()..])
        }
        _ => false,
    }
}

/// Finds each pattern after the one before, and names the first that isn't there.
fn assert_in_order<'a>(patterns: impl IntoIterator<Item = &'a str>, lines: &[String]) {
    let mut rest = lines.iter();
    for pattern in patterns {
        let found = rest.any(|line| message(line).is_some_and(|message| matches(pattern, message)));
        assert!(found, "no line {pattern:?} in its place among:\n{}", lines.join("\n"));
    }
}

/// A line without its time: `2024-02-16T11:55:03.475    INFO ...`, where the level is right-aligned to seven
/// characters.
fn message(line: &str) -> Option<&str> {
    let (time, rest) = line.split_at_checked("2024-02-16T11:55:03.475".len())?;
    let well_formed = matches("#-#-#T#:#:#.#", time) && rest.len() > 8 && !rest[1..8].ends_with(' ');
    well_formed.then(|| rest.trim_start())
}

#[test]
fn the_setup_says_what_the_specification_says() {
    let mut stage = Stage::new("setup-lines", 20).unwrap();
    stage.settings.input.clear();
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(20).unwrap();
    assert_in_order(SETUP, &collector.lines());
}

#[test]
fn the_puller_says_what_the_specification_says() {
    let stage = Stage::new("puller-lines", 20).unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(20).unwrap();
    collector.stop(PATIENCE).unwrap();
    let again = stage.start().unwrap();
    again.wait_for_line(&["Waiting for"], Duration::from_secs(60)).unwrap();
    let lines: Vec<String> = PULLER.iter().map(|text| format!("{PULLER_THREAD}{text}")).collect();
    assert_in_order(lines.iter().map(String::as_str), &again.lines());
}

#[test]
fn every_line_has_the_originals_form() {
    let stage = Stage::new("line-form", 20).unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(20).unwrap();
    collector.stop(PATIENCE).unwrap();
    for line in collector.lines() {
        let message = message(&line).unwrap_or_else(|| panic!("no time and level: {line}"));
        let (level, rest) = message.split_once(' ').unwrap();
        assert!(["DEBUG", "INFO", "WARNING", "ERROR"].contains(&level), "{line}");
        assert!(
            ["MainProcess::", "InputProcess::", "OutputProcess::"].iter().any(|process| rest.starts_with(process)),
            "{line}"
        );
        assert!(rest.contains(" -> "), "{line}");
    }
}

/// The lines of a collector that was started with `--log-format json`, each of which must be an object with
/// what a line has.
fn objects(collector: &Collector) -> Vec<Value> {
    let lines = collector.lines();
    let objects: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (line, object) in lines.iter().zip(&objects) {
        for member in ["time", "level", "process", "thread", "message"] {
            assert!(object[member].is_string(), "no {member} in {line}");
        }
        assert!(DateTime::parse_from_rfc3339(object["time"].as_str().unwrap()).is_ok(), "{line}");
        assert!(["DEBUG", "INFO", "WARNING", "ERROR"].contains(&object["level"].as_str().unwrap()), "{line}");
        if object["message"].as_str().unwrap().contains(" [CODE:") {
            let (class, code) = (object["class"].as_str().unwrap_or_default(), object["code"].as_u64());
            // What stands in the text is a fact of its own as well: no program has to take it from there.
            let start = format!("{class} [CODE:{:04}]", code.unwrap_or_default());
            assert!(object["message"].as_str().unwrap().starts_with(&start), "{line}");
        }
    }
    objects
}

/// The last lines of the cycles, once these have sent `total` events together.
fn ends(collector: &Collector, total: u64) -> Vec<Value> {
    let mut ends: Vec<Value> = Vec::new();
    while sum(&ends, "sent") < total {
        let lines = collector.wait_for_lines(ends.len() + 1, &["Data collection completed."], PATIENCE).unwrap();
        ends = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    }
    ends
}

fn sum(ends: &[Value], member: &str) -> u64 {
    ends.iter().map(|end| end[member].as_u64().unwrap()).sum()
}

fn start_with_json(stage: &Stage) -> Collector {
    Collector::start_with(&stage.installation, &["--config", "config.yaml", "--log-format", "json"]).unwrap()
}

#[test]
fn for_programs_every_line_is_an_object() {
    let mut stage = Stage::new("json-lines", 250).unwrap();
    stage.simulator.fail(1, Fault::Status(403));
    let collector = start_with_json(&stage);
    ends(&collector, 250);
    stage.add_newer(7);
    let ends = ends(&collector, 257);
    collector.stop(PATIENCE).unwrap();
    let objects = objects(&collector);
    let errors: Vec<_> = objects.iter().filter(|object| object["level"] == "ERROR").collect();
    assert!(errors.iter().any(|error| error["class"] == "ApiError" && error["code"] == 403), "{errors:#?}");

    assert_eq!(sum(&ends, "sent"), 257);
    assert_eq!(sum(&ends, "received") - sum(&ends, "duplicates"), 257);
    let requests = sum(&ends, "requests");
    assert!((4..=stage.simulator.request_count() as u64).contains(&requests), "250 alerts are on 3 pages: {ends:#?}");
    for end in &ends {
        assert_eq!(
            [&end["input"], &end["id"], &end["service"], &end["process"]],
            ["cloudsek", "cloudsek_1", "alerts", "InputProcess"]
        );
    }
}

#[test]
fn for_programs_a_configuration_error_is_an_object_with_its_code() {
    let mut stage = Stage::new("json-configuration", 5).unwrap();
    stage.settings.kind = "printer".into();
    stage.configure().unwrap();
    let collector = start_with_json(&stage);
    assert_eq!(collector.wait_for_exit(PATIENCE).unwrap().code(), Some(1));
    let objects = objects(&collector);
    let [error] = &objects[..] else { panic!("one clear line: {objects:#?}") };
    assert_eq!((&error["class"], &error["code"]), (&"CollectorConfigurationException".into(), &5.into()));
}
