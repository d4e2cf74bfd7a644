//! What one call of the component may use: exceeding a limit ends it, names the limit, and loses nothing.

use anyhow::Result;
use chrono::TimeDelta;
use sandbox::simulator::{self, Fault};
use sandbox::stage::{Plan, Stage};

fn staged(name: &str, limit: &str) -> Result<Stage> {
    // Pages of 5 MB: room for the set-up's single record, not for these.
    let simulator = simulator::Settings { max_limit: 5000, ..simulator::Settings::default() };
    let mut stage = Stage::set(name, &Plan { simulator, ..Plan::new(5000) })?;
    stage.settings.input += &format!("request: {{limit: 5000}}\nlimits: {{{limit}}}\n");
    stage.configure()?;
    Ok(stage)
}

/// The limit is raised: everything arrives, and nothing twice, for nothing was sent before.
fn raised(mut stage: Stage) -> Result<()> {
    assert!(stage.arrived().is_empty());
    stage.settings.input =
        stage.settings.input.lines().filter(|line| !line.starts_with("limits")).collect::<Vec<_>>().join("\n");
    stage.configure()?;
    let collector = stage.start()?;
    collector.wait_until_sent(5000)?;
    stage.compare().exactly_once()
}

#[test]
fn too_little_memory_ends_the_call_and_names_the_limit() {
    let stage = staged("memory", "memory_in_bytes: 3000000").unwrap();
    let collector = stage.start().unwrap();
    collector.wait_for_complaint(&["PullError [CODE:0310]", "limits.memory_in_bytes"]).unwrap();
    drop(collector);
    raised(stage).unwrap();
}

#[test]
fn too_much_computing_ends_the_call_and_names_the_limit() {
    let stage = staged("computing", "cpu_in_milliseconds: 0").unwrap();
    let collector = stage.start().unwrap();
    // The first call computes too.
    collector.wait_for_complaint(&["SetupError [CODE:0110]", "limits.cpu_in_milliseconds"]).unwrap();
    drop(collector);
    raised(stage).unwrap();
}

#[test]
fn too_long_a_call_ends_and_names_the_limit() {
    let stage = staged("wall", "wall_in_seconds: 1").unwrap();
    stage.simulator.fail(1, Fault::Stall);
    let collector = stage.start().unwrap();
    // It is the set-up that asks first.
    collector.wait_for_complaint(&["SetupError [CODE:0110]", "limits.wall_in_seconds"]).unwrap();
    drop(collector);
    stage.simulator.heal();
    raised(stage).unwrap();
}

/// Limits that the bundled collector keeps to by far, lowered until it can't.
#[test]
fn each_other_limit_ends_the_call_and_is_named() {
    for (error, limit) in [
        ("SetupError [CODE:0110]", "handles: 2"),
        ("SetupError [CODE:0110]", "requests: 0"),
        ("SetupError [CODE:0110]", "concurrent_requests: 0"),
        ("PrePullError [CODE:0210]", "log_lines: 1"),
        ("PrePullError [CODE:0210]", "host_call_in_bytes: 1000"),
    ] {
        let mut stage = Stage::new("limit", 100).unwrap();
        let usual = stage.settings.input.clone();
        stage.settings.input += &format!("limits: {{{limit}}}\n");
        stage.configure().unwrap();
        let collector = stage.start().unwrap();
        let key = limit.split(':').next().unwrap_or_default();
        collector.wait_for_complaint(&[error, &format!("(limits.{key})")]).unwrap();
        assert_eq!(collector.sent().unwrap(), 0, "{limit}");
        drop(collector);
        stage.settings.input = usual;
        stage.configure().unwrap();
        let collector = stage.start().unwrap();
        collector.wait_until_sent(100).unwrap();
        stage.compare().exactly_once().unwrap();
    }
}

#[test]
fn a_state_over_its_limit_is_not_stored_and_nothing_counts_as_delivered() {
    // All of them within the window, so that their ids are in the state.
    let plan = Plan { spread: TimeDelta::hours(12), ..Plan::new(100) };
    let mut stage = Stage::set("limit-state", &plan).unwrap();
    let usual = stage.settings.input.clone();
    stage.settings.input += "limits: {state_in_bytes: 1000}\n";
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_for_complaint(&["PullError [CODE:0301]", "(limits.state_in_bytes)"]).unwrap();
    assert_eq!(collector.sent().unwrap(), 0);
    drop(collector);
    stage.settings.input = usual;
    stage.configure().unwrap();
    stage.start().unwrap().wait_until_sent(100).unwrap();
    stage.compare().at_least_once().unwrap();
}
