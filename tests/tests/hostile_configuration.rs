//! Configurations of tenants that mean harm: to the host's time, its log, its network, and the requests that
//! leave it.

use std::fmt::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use nix::sys::signal::Signal;
use sandbox::PATIENCE;
use sandbox::collector::{Collector, binary};
use sandbox::hosting::Hosting;
use sandbox::stage::Stage;

const UNKNOWN: usize = 80_000;

#[test]
fn of_eighty_thousand_unknown_keys_the_first_are_named_and_nobody_waits() {
    let hosting = Hosting::new("hostile-keys").unwrap();
    let neighbour = hosting.add("neighbour", 10).unwrap();
    let attacker = hosting.add_prepared("attacker", 10, |stage| {
        let mut yaml = stage.settings.yaml();
        for number in 0..UNKNOWN {
            writeln!(yaml, "k{number:05}: 1")?;
        }
        assert!((800_000..1_000_000).contains(&yaml.len()));
        stage.installation.write_config(&yaml)
    });
    let attacker = attacker.unwrap();
    let collector = hosting.start().unwrap();
    neighbour.wait_for_all(&collector).unwrap();
    attacker.wait_for_all(&collector).unwrap();
    let named = collector.lines_with(&[" attacker/", "is not known and has no effect"]);
    assert_eq!(named.len(), 20, "{named:?}");
    collector.wait_for_line(&[" attacker/", "79980 more keys are not known and have no effect"], PATIENCE).unwrap();
    // Rewritten again and again, it is in nobody's way.
    let text = std::fs::read_to_string(attacker.installation.config()).unwrap();
    for round in 0..3 {
        attacker.installation.write_config(&format!("{text}again{round}: 1\n")).unwrap();
        let new = hosting.add(&format!("new-{round}"), 10).unwrap();
        new.wait_for_all(&collector).unwrap();
    }
}

#[test]
fn a_value_of_a_megabyte_is_no_line_of_a_megabyte() {
    let hosting = Hosting::new("hostile-value").unwrap();
    let attacker = hosting.add_prepared("attacker", 1, |stage| {
        let long = format!("    enabled: '{}'\n", "x".repeat(900_000));
        stage.installation.write_config(&stage.settings.yaml().replace("    enabled: true\n", &long))
    });
    let _attacker = attacker.unwrap();
    let collector = hosting.start().unwrap();
    let line =
        collector.wait_for_complaint(&["The tenant attacker: ", "[CODE:0005]", "inputs.cloudsek.enabled"]).unwrap();
    assert!(line.len() < 70_000, "{} bytes: {}", line.len(), &line[..400]);
}

#[test]
fn a_token_in_a_header_about_the_request_itself_is_refused() {
    let hosting = Hosting::new("hostile-headers").unwrap();
    let headers = [
        "host",
        "Content-Length",
        "connection",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "expect",
        "x-forwarded-host",
    ];
    let tenants: Vec<(String, Stage)> = headers
        .iter()
        .map(|header| {
            let name = format!("of-{}", header.to_ascii_lowercase());
            let stage = hosting.add_prepared(&name, 1, |stage| {
                stage.settings.input += &format!("request: {{auth_header: {header}, auth_prefix: ''}}\n");
                stage.configure()
            });
            (name, stage.unwrap())
        })
        .collect();
    let collector = hosting.start().unwrap();
    for (name, stage) in &tenants {
        let told =
            [&*format!("The tenant {name}: "), "[CODE:0005]", "inputs.cloudsek.request.auth_header", "can't carry"];
        collector.wait_for_complaint(&told).unwrap();
        assert_eq!(stage.simulator.request_count(), 0);
    }
}

#[test]
fn a_network_that_the_operator_denies_is_reached_by_nobody() {
    let hosting = Hosting::new("denied-networks").unwrap();
    hosting.decide("egress: {allow_private_addresses: true, deny_networks: [127.0.0.0/8, '::1']}\n").unwrap();
    let by_name = hosting.add("by-name", 1).unwrap();
    let by_address = hosting.add_prepared("by-address", 1, |stage| {
        stage.settings.address = "127.0.0.1".into();
        stage.configure()
    });
    let by_address = by_address.unwrap();
    let collector = hosting.start().unwrap();
    collector.wait_for_complaint(&[" by-name/", "a denied address", "egress.deny_networks"]).unwrap();
    let told =
        ["The tenant by-address: ", "[CODE:0008]", "outputs.devo_us_1.config.address", "in a network that is denied"];
    collector.wait_for_complaint(&told).unwrap();
    for stage in [&by_name, &by_address] {
        assert_eq!(stage.simulator.request_count(), 0);
        assert!(stage.receiver.frames_from(0).is_empty());
    }
}

#[test]
fn a_crash_leaves_no_memory_behind() {
    let stage = Stage::new("no-core", 1).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c unlimited; exec \"$0\" --config config.yaml"]).arg(binary().unwrap());
    let collector = Collector::start_by(stage.installation.product(), command).unwrap();
    stage.wait_for_all(&collector).unwrap();
    collector.signal(Signal::SIGABRT).unwrap();
    let status = collector.wait_for_exit(PATIENCE).unwrap();
    assert_eq!((status.signal(), status.core_dumped()), (Some(Signal::SIGABRT as i32), false));
}
