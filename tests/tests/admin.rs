//! What the operator is shown while the collector runs: metrics, health and the status page.

use std::net::TcpListener;

use sandbox::PATIENCE;
use sandbox::admin::Admin;
use sandbox::collector::Collector;
use sandbox::hosting::{Hosting, wait_for_more_cycles};
use sandbox::stage::Stage;
use sandbox::waiting::poll;

/// Any free port of this machine alone.
const ANYWHERE: &str = "127.0.0.1:0";

fn start(stage: &Stage) -> anyhow::Result<Collector> {
    Collector::start_with(&stage.installation, &["--config", "config.yaml", "--admin", ANYWHERE])
}

#[test]
fn one_collector_shows_what_it_has_done() {
    let stage = Stage::new("admin", 150).unwrap();
    let collector = start(&stage).unwrap();
    let statistics = collector.wait_until_sent(150).unwrap();
    let requests: u64 = statistics.iter().map(|cycle| cycle.requests).sum();
    let admin = Admin::of(&collector).unwrap();
    let service = ["tenant=\"\"", "input=\"cloudsek\"", "service=\"alerts\""];
    let metrics = poll("a finished cycle in the metrics", PATIENCE, || {
        let metrics = admin.metrics(None)?;
        let has = |name: &str, count| metrics.value(&format!("devo_collector_{name}"), &service) >= Some(count);
        Ok((has("cycles_total", 1.0) && has("events_sent_total", 150.0)).then_some(metrics))
    })
    .unwrap();
    let value = |name: &str| metrics.value(&format!("devo_collector_{name}"), &service).unwrap();
    assert_eq!((value("events_sent_total"), value("ready"), value("failures_total")), (150.0, 1.0, 0.0));
    assert!(value("requests_total") >= requests as f64 && value("events_received_total") >= 150.0);
    assert!(value("computed_seconds_total") > 0.0 && value("last_cycle_seconds") > 0.0);
    assert!(value("last_cycle_timestamp_seconds") > 1_700_000_000.0);
    let limit = |name: &str, limit: &str| metrics.value(name, &[&*format!("limit=\"{limit}\"")]);
    for used in ["memory_in_bytes", "requests", "log_lines", "state_in_bytes", "host_call_in_bytes", "queue_in_bytes"] {
        let (most, peak) = (limit("devo_collector_limit", used), limit("devo_collector_limit_peak", used));
        assert!(peak > Some(0.0) && peak < most, "{used}: {peak:?} of {most:?}");
    }
    assert_eq!(limit("devo_collector_limit", "cpu_in_milliseconds"), Some(60_000.0));
    assert!(!metrics.text().contains("devo_collector_limits_exceeded_total{"));
    // How things stand, as far as it is known.
    assert_eq!((value("dead_letters_total"), value("gaps")), (0.0, 0.0));
    assert!(metrics.value("process_resident_memory_bytes", &[]) > Some(1e6));
    assert!(metrics.value("process_open_fds", &[]) > Some(5.0));

    let health: serde_json::Value = serde_json::from_str(&admin.get("/health").unwrap()).unwrap();
    assert_eq!(
        (&health["status"], &health["services"], &health["services_ready"]),
        (&"ok".into(), &1.into(), &1.into())
    );
    let page = admin.get("/").unwrap();
    assert!(page.contains("cloudsek / alerts") && page.contains("delivering"), "{page}");
    for shown in [metrics.text(), &page] {
        assert!(!shown.contains(&stage.simulator.token()));
    }
}

#[test]
fn what_went_wrong_is_on_the_page_and_is_no_markup() {
    let mut stage = Stage::new("admin-failure", 10).unwrap();
    stage.settings.input += "request: {path: '/<b>nowhere'}\n";
    stage.configure().unwrap();
    let collector = start(&stage).unwrap();
    collector.wait_for_line(&["ApiError [CODE:0"], PATIENCE).unwrap();
    let admin = Admin::of(&collector).unwrap();
    let page = admin.get("/").unwrap();
    assert!(page.contains("source failing") && page.contains("ApiError [CODE:0"), "{page}");
    assert!(!page.contains("<b>"), "{page}");
    let failures = admin.metrics(None).unwrap().value("devo_collector_failures_total", &[]);
    assert!(failures >= Some(1.0), "{failures:?}");
}

#[test]
fn each_tenant_has_series_of_its_own_for_as_long_as_it_is_there() {
    let hosting = Hosting::new("admin-hosting").unwrap();
    hosting.decide(&format!("egress: {{allow_private_addresses: true}}\nadmin: {ANYWHERE}\n")).unwrap();
    let acme = hosting.add("acme", 30).unwrap();
    // No state is as small as that.
    let greedy = hosting.add_prepared("greedy", 250, |stage| {
        stage.settings.input += "limits: {state_in_bytes: 100}\n";
        stage.configure()
    });
    let _greedy = greedy.unwrap();
    let collector = hosting.start().unwrap();
    acme.wait_for_all(&collector).unwrap();
    collector.wait_for_line(&[" greedy/", "over the limit of 100 (limits.state_in_bytes)"], PATIENCE).unwrap();
    wait_for_more_cycles(&collector, "acme", 1).unwrap();

    let admin = Admin::of(&collector).unwrap();
    let metrics = admin.metrics(None).unwrap();
    let sent = |tenant: &str| metrics.value("devo_collector_events_sent_total", &[&*format!("tenant=\"{tenant}\"")]);
    assert_eq!((sent("acme"), sent("greedy")), (Some(30.0), Some(0.0)));
    let exceeded =
        metrics.value("devo_collector_limits_exceeded_total", &["tenant=\"greedy\"", "limit=\"state_in_bytes\""]);
    assert!(exceeded >= Some(1.0), "{exceeded:?}");
    let exceeded_of_acme = metrics.value("devo_collector_limits_exceeded_total", &["tenant=\"acme\""]);
    assert_eq!(exceeded_of_acme, None);

    let own = admin.metrics(Some("acme")).unwrap();
    assert!(own.text().contains("tenant=\"acme\"") && !own.text().contains("greedy"));
    let health: serde_json::Value = serde_json::from_str(&admin.get("/health").unwrap()).unwrap();
    assert_eq!(health["tenants"], 2);

    std::fs::rename(hosting.product("greedy"), hosting.tenants().join(".greedy")).unwrap();
    collector.wait_for_line(&["The tenant greedy is gone"], PATIENCE).unwrap();
    poll("the end of a tenant's series", PATIENCE, || {
        Ok((!admin.metrics(None)?.text().contains("greedy")).then_some(()))
    })
    .unwrap();
}

#[test]
fn an_address_that_is_taken_is_an_error_at_the_start() {
    let stage = Stage::new("admin-taken", 1).unwrap();
    let taken = TcpListener::bind(ANYWHERE).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let collector =
        Collector::start_with(&stage.installation, &["--config", "config.yaml", "--admin", &address]).unwrap();
    assert_eq!(collector.wait_for_exit(PATIENCE).unwrap().code(), Some(1));
    collector
        .wait_for_line(&[&format!("the admin address {address} can't be used; nothing was started")], PATIENCE)
        .unwrap();
}
