//! Another vendor's collector in place of the bundled one: the same host, its own API, settings, table and
//! state.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{TimeDelta, Utc};
use sandbox::PATIENCE;
use sandbox::alerts::Batch;
use sandbox::check::date;
use sandbox::collector::{Collector, workspace};
use sandbox::compact::compact;
use sandbox::feed::{self, Feed};
use sandbox::receiver::Frame;
use sandbox::stage::Stage;
use sandbox::waiting::poll;

/// Where the records of the other vendor go.
const TABLE: &str = "my.app.acme.events";

/// Few records a page: many pages, and the last one is never for long the same.
const PAGE_SIZE: usize = 20;

/// XVigil's simulator beside a feed, and a collector for both.
struct Neighbours {
    stage: Stage,
    feed: Feed,
}

impl Neighbours {
    fn new(name: &str, alerts: usize, records: usize) -> Result<Self> {
        let neighbours = Self { stage: Stage::new(name, alerts)?, feed: Feed::start(PAGE_SIZE)? };
        neighbours.add(records);
        let poller = workspace().join("target/guest/json-poller.wasm");
        std::fs::copy(&poller, neighbours.stage.installation.product().join("json-poller.wasm"))
            .with_context(|| format!("there is no {}: run `just guest`", poller.display()))?;
        neighbours.configure("json-poller.wasm")?;
        Ok(neighbours)
    }

    fn configure(&self, component: &str) -> Result<()> {
        let acme = format!(
            "  acme:
    id: acme_1
    component: {component}
    base_url: {}
    allow_http: true
    allow_private_addresses: true
    credentials: {{token: {}}}
    requests_limits: [{{period: 1m, number_of_requests: -1}}]
    poll: {{next: /paging/next, records: /events, id: /id}}
    services:
      events:
        request_period_in_seconds: 1
        override_devo_tag: {TABLE}
        poll: {{path: {}, cursor_param: from, time: /incident_time}}
",
            self.feed.base_url(),
            feed::TOKEN,
            feed::PATH,
        );
        self.stage.installation.write_config(&(self.stage.settings.yaml() + &acme))
    }

    fn add(&self, count: usize) {
        let first = self.feed.records().len() as u64;
        self.feed.add(Batch { count, first, seed: 2, newest: Utc::now(), spread: TimeDelta::hours(1) }.make());
    }

    /// How often each record has arrived.
    fn arrived(&self) -> BTreeMap<String, usize> {
        let mut times = BTreeMap::new();
        let frames = self.stage.receiver.events(TABLE);
        for parts in frames.iter().filter_map(Frame::parts) {
            *times.entry(line(parts.date, parts.message)).or_default() += 1;
        }
        times
    }

    /// What has to arrive.
    fn expected(&self) -> Vec<String> {
        let mut lines: Vec<_> =
            self.feed.records().iter().map(|record| line(&date(record.incident_time), &record.text)).collect();
        lines.sort();
        lines
    }

    fn wait_for_all(&self) -> Result<()> {
        let expected = self.expected();
        let all = |frames: &[Frame]| (frames.len() >= expected.len()).then_some(());
        self.stage.receiver.wait_for_frames("as many frames as there are records", PATIENCE, all)?;
        poll("every record", PATIENCE, || {
            let arrived = self.arrived();
            Ok(expected.iter().all(|line| arrived.contains_key(line)).then_some(()))
        })
    }
}

fn line(date: &str, body: &[u8]) -> String {
    format!("{date} {}", String::from_utf8_lossy(&compact(body)))
}

#[test]
fn two_vendors_in_one_process_are_each_delivered_once() {
    let neighbours = Neighbours::new("any-component", 300, 250).unwrap();
    let collector = neighbours.stage.start().unwrap();
    collector.wait_until_sent(300).unwrap();
    // Onto the last page, and over its end.
    for added in [0, 3, PAGE_SIZE, 1] {
        neighbours.add(added);
        neighbours.wait_for_all().unwrap();
    }
    let pulled = ["(acme,acme_1,events", "Data collection completed"];
    collector.wait_for_lines(collector.lines_with(&pulled).len() + 2, &pulled, PATIENCE).unwrap();
    neighbours.stage.compare().exactly_once().unwrap();
    let arrived = neighbours.arrived();
    assert!(arrived.values().all(|&times| times == 1));
    assert_eq!(arrived.into_keys().collect::<Vec<_>>(), neighbours.expected());
    assert!(collector.lines_with(&[feed::TOKEN]).is_empty());
}

#[test]
fn kill_9_of_another_component_loses_nothing() {
    let neighbours = Neighbours::new("any-component-kill", 50, 30).unwrap();
    for arrived in [1, 60, 90, 130] {
        let collector = neighbours.stage.start().unwrap();
        neighbours.add(50);
        neighbours.stage.receiver.wait_for(TABLE, arrived, PATIENCE).unwrap();
        collector.kill().unwrap();
    }
    let collector = neighbours.stage.start().unwrap();
    neighbours.add(7);
    neighbours.wait_for_all().unwrap();
    neighbours.stage.wait_for_all(&collector).unwrap();
    neighbours.stage.compare().at_least_once().unwrap();
    assert_eq!(neighbours.arrived().into_keys().collect::<Vec<_>>(), neighbours.expected());
}

#[test]
fn what_the_api_and_the_settings_lack_is_told_in_the_components_words() {
    let neighbours = Neighbours::new("any-component-failures", 10, 10).unwrap();
    let config = std::fs::read_to_string(neighbours.stage.installation.config()).unwrap();
    for (from, to, complaint) in [
        (feed::TOKEN, "another-token", "ApiError [CODE:0401] reason: the API answered with the status 401."),
        ("records: /events", "records: /data", "ApiError [CODE:0495] reason: there is no list at /data of the answer."),
        (
            ", cursor_param: from",
            "",
            "InitVariablesError [CODE:0003] reason: the setting poll.cursor_param is missing.",
        ),
    ] {
        neighbours.stage.installation.write_config(&config.replace(from, to)).unwrap();
        let collector = neighbours.stage.start().unwrap();
        collector.wait_for_complaint(&[complaint]).unwrap();
        // The neighbour has no part in it.
        collector.wait_for_cycles(1).unwrap();
    }
    neighbours.stage.compare().exactly_once().unwrap();
}

#[test]
fn what_is_no_collector_stops_the_start_and_is_named() {
    let neighbours = Neighbours::new("no-component", 10, 10).unwrap();
    let product = neighbours.stage.installation.product();
    std::fs::write(product.join("module.wasm"), b"\0asm\x01\0\0\0").unwrap();
    std::fs::write(product.join("empty.wasm"), b"\0asm\x0d\0\x01\0").unwrap();
    for (component, reason) in [
        ("nowhere.wasm", "nowhere.wasm can't be read: No such file"),
        ("module.wasm", "module.wasm is not a component: it is a core module"),
        ("empty.wasm", "it does not export devo:collector/service@2.0.0"),
    ] {
        neighbours.configure(component).unwrap();
        let collector = neighbours.stage.start().unwrap();
        let complaint = ["CollectorConfigurationException [CODE:0005]", "inputs.acme.component", reason];
        collector.wait_for_complaint(&complaint).unwrap();
        assert_eq!(collector.wait_for_exit(PATIENCE).unwrap().code(), Some(1));
    }
    assert!(neighbours.stage.arrived().is_empty() && neighbours.arrived().is_empty());
    assert_eq!(neighbours.stage.simulator.request_count(), 0);
}

fn start_with_cache(stage: &Stage, cache: &Path) -> Result<Collector> {
    Collector::start_with(&stage.installation, &["--config", "config.yaml", "--cache", &cache.to_string_lossy()])
}

#[test]
fn compiled_components_are_kept_and_a_damaged_one_is_compiled_anew() {
    let neighbours = Neighbours::new("cache", 10, 10).unwrap();
    let cache = neighbours.stage.folder.path().join("cache");
    let mut files = Vec::new();
    for start in ["the first", "the second", "a damaged"] {
        let collector = start_with_cache(&neighbours.stage, &cache).unwrap();
        collector.wait_for_cycles(2).unwrap();
        files = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 2, "{start} start");
        let warnings = collector.lines_with(&["WARNING", "it is damaged. The component is compiled anew"]);
        assert_eq!(warnings.len(), usize::from(start == "a damaged"), "{start} start: {warnings:?}");
        assert_eq!(collector.stop(Duration::from_secs(20)).unwrap().code(), Some(0));
        if start == "the second" {
            let mut code = std::fs::read(&files[0]).unwrap();
            let middle = code.len() / 2;
            code[middle] ^= 1;
            std::fs::write(&files[0], code).unwrap();
        }
    }
    neighbours.stage.compare().exactly_once().unwrap();
    assert_eq!(files.len(), 2);
}

#[test]
fn without_a_folder_for_the_cache_everything_works() {
    let mut stage = Stage::new("no-cache", 10).unwrap();
    stage.settings.debug = true;
    stage.configure().unwrap();
    let collector = start_with_cache(&stage, &stage.installation.config()).unwrap();
    collector.wait_until_sent(10).unwrap();
    assert_eq!(collector.lines_with(&["DEBUG", "Compiled components are not kept"]).len(), 1);
}
