//! Tenants that use as much as they can of what all share without any call of theirs exceeding its limits:
//! log, disk, stored values, memory, calls. Each has its quota, and its neighbours go on.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::path::Path;

use anyhow::{Context, Result, ensure};
use hostile::Behaviour;
use sandbox::PATIENCE;
use sandbox::admin::Admin;
use sandbox::collector::{Collector, workspace};
use sandbox::hosting::{Hosting, wait_for_more_cycles};
use sandbox::stage::Stage;
use sandbox::waiting::poll;

const MISBEHAVES: &str = "override_devo_tag: my.app.hostile, behaviour";

/// What the operator allows, with these lines besides.
fn hosting(name: &str, more: &str) -> Hosting {
    let hosting = Hosting::new(name).unwrap();
    let allowed = "egress: {allow_private_addresses: true}\nallow_components: true\nadmin: 127.0.0.1:0\n";
    hosting.decide(&format!("{allowed}{more}")).unwrap();
    hosting
}

/// Adds a tenant with so many services that misbehave in this way, every `period` seconds.
fn add_hostile(hosting: &Hosting, name: &str, behaviour: Behaviour, services: usize, period: u32) -> Stage {
    let prepare = |stage: &mut Stage| -> Result<()> {
        let component = workspace().join("target/guest/hostile.wasm");
        std::fs::copy(component, stage.installation.product().join("hostile.wasm")).context("run `just guest`")?;
        let yaml = stage.settings.yaml().replace("    type: filesystem\n", "    type: memory\n");
        let (before, after) = yaml.split_once("    services:\n").context("services")?;
        ensure!(after.starts_with("      alerts:"), "another service than alerts: {after}");
        let behaviour = behaviour.name();
        let service =
            |number| format!("      s{number}: {{request_period_in_seconds: {period}, {MISBEHAVES}: {behaviour}}}\n");
        let services: String = (0..services).map(service).collect();
        let input = "    component: hostile.wasm\n    services:\n";
        stage.installation.write_config(&format!("{before}{input}{services}"))
    };
    hosting.add_prepared(name, 1, prepare).unwrap()
}

/// Neighbours that pull every second.
fn add_neighbours(hosting: &Hosting) -> Vec<(String, Stage)> {
    let often = |stage: &mut Stage| {
        stage.settings.period = 1;
        stage.configure()
    };
    let name = |number| format!("good-{number}");
    (0..5).map(|number| (name(number), hosting.add_prepared(&name(number), 20, often).unwrap())).collect()
}

/// They deliver what is new, in time.
fn go_on(collector: &Collector, neighbours: &mut [(String, Stage)]) {
    for (_, stage) in &mut *neighbours {
        stage.add_newer(10);
    }
    for (name, stage) in &mut *neighbours {
        stage.wait_for_all(collector).unwrap();
        wait_for_more_cycles(collector, name, 1).unwrap();
        stage.compare().exactly_once().unwrap();
        assert!(collector.lines_with(&[&format!(" {name}/"), " ERROR "]).is_empty(), "{name} has noticed something");
    }
}

fn metric(collector: &Collector, name: &str, tenant: &str) -> f64 {
    let metrics = Admin::of(collector).unwrap().metrics(Some(tenant)).unwrap();
    metrics.value(name, &[&format!("tenant=\"{tenant}\"")]).unwrap_or_default()
}

fn size_of(folder: &Path) -> u64 {
    let size = |entry: std::fs::DirEntry| {
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() { size_of(&entry.path()) } else { metadata.len() }
    };
    std::fs::read_dir(folder).map_or(0, |entries| entries.map(|entry| size(entry.unwrap())).sum())
}

#[test]
fn a_tenant_fills_its_part_of_the_log_and_no_more() {
    let hosting = hosting("quota-log", "quota: {log_in_bytes_a_minute: 50000}\n");
    let mut neighbours = add_neighbours(&hosting);
    let _flood = add_hostile(&hosting, "flood", Behaviour::LogFlood, 4, 1);
    let collector = hosting.start().unwrap();
    let dropped = "devo_collector_log_dropped_lines_total";
    poll("lines to be dropped", PATIENCE, || Ok((metric(&collector, dropped, "flood") > 1_000.0).then_some(())))
        .unwrap();
    go_on(&collector, &mut neighbours);
    assert_eq!(metric(&collector, dropped, "good-0"), 0.0);
    assert_eq!(collector.stop(PATIENCE).unwrap().code(), Some(0));
    let log = hosting.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(" flood/")).collect();
    let bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
    // The test may last longer than a minute.
    assert!((40_000..150_000).contains(&bytes), "{bytes}");
    let told = log.lines().filter(|line| line.contains("The tenant flood has written more than 50000 bytes"));
    let told: Vec<&str> = told.collect();
    assert!(!told.is_empty() && told.iter().all(|line| line.contains("lines of") && line.contains("were dropped")));
}

#[test]
fn errors_of_a_configuration_that_is_rewritten_again_and_again_count_too() {
    let hosting = hosting("quota-rewritten", "quota: {log_in_bytes_a_minute: 200000}\n");
    let mut neighbours = add_neighbours(&hosting);
    let attacker = hosting.add("attacker", 1).unwrap();
    let collector = hosting.start().unwrap();
    attacker.wait_for_all(&collector).unwrap();
    let dropped = "devo_collector_log_dropped_bytes_total";
    let mut round = 0;
    poll("errors to be dropped", PATIENCE, || {
        round += 1;
        let long = format!("    enabled: '{round}{}'\n", "x".repeat(900_000));
        attacker.installation.write_config(&attacker.settings.yaml().replace("    enabled: true\n", &long))?;
        Ok((metric(&collector, dropped, "attacker") > 200_000.0).then_some(()))
    })
    .unwrap();
    go_on(&collector, &mut neighbours);
    let lines = collector.lines_with(&["The tenant attacker: ", "[CODE:0005]"]);
    // Three of 64 KiB in each minute.
    assert!((1..=6).contains(&lines.len()), "{} lines", lines.len());
}

#[test]
fn the_values_of_all_services_together_have_a_bound_in_memory_too() {
    let hosting = hosting("quota-stored", "quota: {stored_in_bytes: 1000000}\n");
    let mut neighbours = add_neighbours(&hosting);
    let _fills = add_hostile(&hosting, "fills", Behaviour::FillStore, 16, 60);
    let collector = hosting.start().unwrap();
    let told = [" fills/", "[CODE:0399]", "and may have 1000000 (quota.stored_in_bytes)"];
    collector.wait_for_lines(16, &told, PATIENCE).unwrap();
    assert!(collector.lines_with(&[" fills/", "GOT"]).is_empty());
    go_on(&collector, &mut neighbours);
}

#[test]
fn dead_letters_beyond_the_quota_hold_the_service_back_until_there_is_room() {
    let hosting = hosting("quota-disk", "quota: {disk_in_bytes: 20000000}\n");
    let mut neighbours = add_neighbours(&hosting);
    let letters = hosting.add_prepared("letters", 5, |stage| {
        stage.settings.output += "max_event_in_bytes: 10\n";
        stage.settings.period = 1;
        std::fs::write(stage.installation.product().join("large"), vec![b'x'; 20_000_000])?;
        stage.configure()
    });
    let mut letters = letters.unwrap();
    let endless = add_hostile(&hosting, "endless", Behaviour::EndlessDeadLetters, 1, 1);
    let collector = hosting.start().unwrap();
    let told = [" endless/", "dead_letters", "the 20000000 that it may have (quota.disk_in_bytes)"];
    // Nothing need be kept where the state is in memory: each is told of.
    let said = [&told[..2], &["could not be written", told[2]]].concat();
    collector.wait_for_line(&said, PATIENCE).unwrap();
    assert!(size_of(endless.installation.product()) <= 20_000_000);
    let held_back =
        [" letters/", "[CODE:0301]", ".state can't be written", "(quota.disk_in_bytes)", "remove dead letters"];
    collector.wait_for_complaint(&held_back).unwrap();
    assert!(!letters.installation.product().join("dead_letters/devo_us_1.ndjson").exists());
    std::fs::remove_file(letters.installation.product().join("large")).unwrap();
    letters.add_newer(5);
    let kept = letters.installation.product().join("dead_letters/devo_us_1.ndjson");
    let all = || Ok(std::fs::read_to_string(&kept).is_ok_and(|text| text.lines().count() >= 10).then_some(()));
    poll("all dead letters to be kept", PATIENCE, all).unwrap();
    go_on(&collector, &mut neighbours);
}

#[test]
fn whoever_hoards_memory_has_an_equal_part_at_most_and_who_needs_some_gets_it() {
    let hosting = hosting("quota-memory", "calls: {memory_in_bytes: 300000000}\n");
    let mut neighbours = add_neighbours(&hosting);
    let _hoards: Vec<Stage> =
        (0..12).map(|number| add_hostile(&hosting, &format!("hoard-{number}"), Behaviour::HoardMemory, 1, 1)).collect();
    let collector = hosting.start().unwrap();
    let refused = ["[CODE:0310]", "the memory that this host has for calls", "(calls.memory_in_bytes)"];
    collector.wait_for_lines(5, &refused, PATIENCE).unwrap();
    // One that needs more than an ordinary call: pages of 5 MB.
    let busy = hosting.add_prepared("busy", 5_000, |stage| {
        stage.simulator.change(|settings| settings.max_limit = 5_000);
        stage.settings.input += "request: {limit: 5000}\n";
        stage.configure()
    });
    busy.unwrap().wait_for_all(&collector).unwrap();
    go_on(&collector, &mut neighbours);
    assert!(collector.lines_with(&[" busy/", " ERROR "]).is_empty());
    let peak = collector.memory().unwrap().peak;
    assert!(peak < 480_000, "{peak} KiB");
}

#[test]
fn calls_that_never_end_take_nobodys_turn() {
    let hosting = hosting("quota-calls", "calls: {at_once: 8}\n");
    let mut neighbours = add_neighbours(&hosting);
    let _endless: Vec<Stage> =
        (0..3).map(|number| add_hostile(&hosting, &format!("never-{number}"), Behaviour::NeverReturns, 8, 1)).collect();
    let collector = hosting.start().unwrap();
    collector.wait_for_lines(8, &[" never-", "[CODE:0310]", "(calls.memory_in_bytes)"], PATIENCE).unwrap();
    go_on(&collector, &mut neighbours);
}

#[test]
fn a_component_that_does_nothing_and_says_more_is_not_called_again_at_once() {
    let hosting = hosting("quota-more", "");
    let mut neighbours = add_neighbours(&hosting);
    let _more = add_hostile(&hosting, "more", Behaviour::NothingButMore, 1, 60);
    let collector = hosting.start().unwrap();
    poll("a call", PATIENCE, || Ok((metric(&collector, "devo_collector_calls_total", "more") > 3.0).then_some(())))
        .unwrap();
    wait_for_more_cycles(&collector, "good-0", 5).unwrap();
    go_on(&collector, &mut neighbours);
    let calls = metric(&collector, "devo_collector_calls_total", "more");
    assert!(calls < 20.0, "{calls}");
}
