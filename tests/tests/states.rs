//! The one state of each service, where operators look for it: every way to be broken shows as its state, and
//! the state goes when that is mended.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use sandbox::PATIENCE;
use sandbox::admin::Admin;
use sandbox::collector::Collector;
use sandbox::hosting::Hosting;
use sandbox::simulator::Fault;
use sandbox::stage::Stage;
use sandbox::waiting::poll;
use serde_json::Value;

/// More failures than any test waits for.
const ALWAYS: usize = 10_000;

/// The states of all tenants by the tenants' names.
fn states(admin: &Admin) -> Result<BTreeMap<String, String>> {
    let health: Value = serde_json::from_str(&admin.get("/health")?)?;
    let services = health["details"].as_array().context("no details")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(services.iter().map(|service| (text(&service["tenant"]), text(&service["state"]))).collect())
}

fn wait_for(admin: &Admin, expected: &[(&str, &str)]) {
    let mut last = BTreeMap::new();
    let waited = poll("the states", PATIENCE, || {
        last = states(admin)?;
        let is_in = |(tenant, state): &(&str, &str)| last.get(*tenant).is_some_and(|is| is == state);
        Ok(expected.iter().all(is_in).then_some(()))
    });
    waited.unwrap_or_else(|error| panic!("{error:#}: {expected:?} expected, {last:#?} seen"));
}

/// Where all other ways to look must agree with `/health`.
fn assert_shown(admin: &Admin, collector: &Collector, tenant: &str, state: &str) {
    let labels = [format!("tenant=\"{tenant}\""), format!("state=\"{state}\"")];
    let metrics = admin.metrics(Some(tenant)).unwrap();
    assert_eq!(metrics.value("devo_collector_state", &labels.each_ref().map(|label| &**label)), Some(1.0));
    let page = admin.get(&format!("/?tenant={tenant}")).unwrap();
    assert!(page.contains(&format!(">{state}")), "{tenant}: {page}");
    // What does not run has its own lines.
    if !["rejected", "disabled", "stopped"].contains(&state) {
        let line = format!("is \"{state}\"");
        collector.wait_for_line(&[&format!(" {tenant}/"), "The state of", &line], PATIENCE).unwrap();
    }
}

#[test]
fn every_way_to_be_broken_has_its_state_until_it_is_mended() {
    let hosting = Hosting::new("states").unwrap();
    hosting.decide("egress: {allow_private_addresses: true}\nadmin: 127.0.0.1:0\n").unwrap();
    let add = |name: &str, prepare: &dyn Fn(&mut Stage)| {
        let stage = hosting.add_prepared(name, 30, |stage| {
            prepare(stage);
            stage.configure()
        });
        stage.unwrap()
    };
    let good = add("good", &|_| {});
    let token = add("token", &|stage| stage.settings.token = "another".to_owned());
    let source = add("source", &|stage| stage.simulator.fail(ALWAYS, Fault::Status(500)));
    let mut delivery = add("delivery", &|stage| stage.receiver.stop());
    let small = add("small", &|stage| stage.settings.input += "limits: {state_in_bytes: 100}\n");
    let limited = add("limited", &|stage| {
        stage.settings.input = "requests_limits: [{period: 1h, number_of_requests: 3}]\n".to_owned();
    });
    let start_time =
        add("start", &|stage| stage.settings.service = "initial_start_time_in_utc: 2999-01-01T00:00:00Z\n".to_owned());
    let mask = add("rejected", &|stage| stage.settings.service += "request_period_in_seconds: never\n");
    let stale = add("stale", &|_| {});
    let resting = add("resting", &|_| {});
    let text = resting.settings.yaml().replace("enabled: true", "enabled: false");
    resting.installation.write_config(&text).unwrap();

    let collector = hosting.start().unwrap();
    let admin = Admin::of(&collector).unwrap();
    good.wait_for_all(&collector).unwrap();
    wait_for(&admin, &[("stale", "delivering")]);
    stale.installation.write_config(&stale.settings.yaml().replace("inputs:", "inputs: [")).unwrap();
    let broken = [
        ("good", "delivering"),
        ("token", "credentials refused"),
        ("source", "source failing"),
        ("delivery", "delivery failing"),
        ("small", "collector failing"),
        ("limited", "rate limited"),
        ("start", "stopped"),
        ("rejected", "rejected"),
        ("stale", "stale"),
        ("resting", "disabled"),
    ];
    wait_for(&admin, &broken);
    for (tenant, state) in broken {
        assert_shown(&admin, &collector, tenant, state);
    }
    let health: Value = serde_json::from_str(&admin.get("/health").unwrap()).unwrap();
    assert_eq!(health["states"]["stopped"], 1, "{health}");
    // None of them is a reason to send nothing more to the others.
    admin.get("/ready").unwrap();
    for (tenant, is_ready) in [("good", true), ("stale", true), ("rejected", false), ("start", false)] {
        let answer = admin.get(&format!("/ready?tenant={tenant}"));
        assert_eq!(answer.is_ok(), is_ready, "{tenant}: {answer:?}");
    }

    let mend = |stage: &Stage, from: &str, to: &str| {
        let text = stage.settings.yaml();
        assert!(text.contains(from), "{text}");
        stage.installation.write_config(&text.replace(from, to)).unwrap();
    };
    mend(&token, "token: another", &format!("token: {}", token.simulator.token()));
    source.simulator.heal();
    delivery.receiver.resume().unwrap();
    mend(&small, "limits: {state_in_bytes: 100}", "");
    mend(&limited, "number_of_requests: 3", "number_of_requests: 3000");
    mend(&start_time, "initial_start_time_in_utc: 2999-01-01T00:00:00Z", "");
    mend(&mask, "request_period_in_seconds: never", "");
    stale.installation.configure(&stale.settings).unwrap();
    resting.configure().unwrap();
    wait_for(&admin, &broken.map(|(tenant, _)| (tenant, "delivering")));
    for stage in [&token, &source, &delivery, &small, &limited, &start_time, &mask, &stale, &resting] {
        stage.wait_for_all(&collector).unwrap();
    }
}

#[test]
fn a_collector_of_one_is_ready_while_its_service_works() {
    let stage = Stage::new("states-one", 30).unwrap();
    stage.simulator.fail(ALWAYS, Fault::Status(503));
    let collector =
        Collector::start_with(&stage.installation, &["--config", "config.yaml", "--admin", "127.0.0.1:0"]).unwrap();
    let admin = Admin::of(&collector).unwrap();
    wait_for(&admin, &[("", "source failing")]);
    let not_ready = admin.get("/ready").unwrap_err().to_string();
    assert!(not_ready.contains("503"), "{not_ready}");
    admin.get("/health").unwrap();
    stage.simulator.heal();
    stage.wait_for_all(&collector).unwrap();
    wait_for(&admin, &[("", "delivering")]);
    admin.get("/ready").unwrap();
}

#[test]
fn what_is_disabled_is_left_alone_also_if_nothing_else_is_there() {
    let stage = Stage::new("states-disabled", 30).unwrap();
    stage.installation.write_config(&stage.settings.yaml().replace("enabled: true", "enabled: false")).unwrap();
    let collector =
        Collector::start_with(&stage.installation, &["--config", "config.yaml", "--admin", "127.0.0.1:0"]).unwrap();
    let admin = Admin::of(&collector).unwrap();
    wait_for(&admin, &[("", "disabled")]);
    admin.get("/ready").unwrap();
    assert_eq!(stage.simulator.request_count(), 0);
    collector.stop(PATIENCE).unwrap();
}
