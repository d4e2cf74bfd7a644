//! What an operator can get wrong, and what can be wrong with the others: one clear line, the right exit
//! status, and nothing lost once it is mended.

use std::time::Duration;

use anyhow::Result;
use sandbox::collector::Collector;
use sandbox::stage::Stage;
use sandbox::{ALERTS_TABLE, PATIENCE};

/// What the process returns when its configuration can't be used.
const CONFIGURATION_ERROR: i32 = 1;

/// An operator who stops the collector does not expect to wait longer.
const SOON: Duration = Duration::from_secs(20);

/// Devo's waits for a real outage are of no use here.
const IMPATIENT: &str = "connecting_initial_wait_in_seconds: 1\nconnecting_max_wait_in_seconds: 2\n";

/// The only line that is an error, of a collector that ends at once because of its configuration.
fn refused(collector: &Collector) -> Result<String> {
    let status = collector.wait_for_exit(PATIENCE)?;
    let errors = collector.lines_with(&["ERROR"]);
    anyhow::ensure!(status.code() == Some(CONFIGURATION_ERROR), "{status}: {:#?}", collector.lines());
    anyhow::ensure!(errors.len() == 1, "one clear line: {:#?}", collector.lines());
    anyhow::ensure!(errors[0].contains("CollectorConfigurationException [CODE:"), "{}", errors[0]);
    Ok(errors[0].clone())
}

/// What was wrong is mended: everything arrives.
fn mended(stage: &Stage) -> Result<()> {
    let collector = stage.start()?;
    collector.wait_until_sent(stage.source.len() as u64)?;
    stage.compare().exactly_once()
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let stage = Stage::new("no-config", 5).unwrap();
    std::fs::remove_file(stage.installation.config()).unwrap();
    let line = refused(&stage.start().unwrap()).unwrap();
    assert!(line.contains("config/config.yaml"), "{line}");
    stage.configure().unwrap();
    mended(&stage).unwrap();
}

#[test]
fn yaml_that_can_not_be_read_is_named_with_its_line() {
    let stage = Stage::new("bad-yaml", 5).unwrap();
    let good = stage.settings.yaml();
    let number = 1 + good.lines().position(|line| line == "inputs:").unwrap();
    stage.installation.write_config(&good.replace("\ninputs:\n", "\ninputs: [\n")).unwrap();
    let line = refused(&stage.start().unwrap()).unwrap();
    assert!(line.contains("config.yaml"), "{line}");
    // A reader may find the fault only where the next line does not fit.
    let named = |number| [format!("line {number}"), format!(":{number}:")].iter().any(|place| line.contains(place));
    assert!((number..number + 3).any(named), "{line}");
    stage.configure().unwrap();
    mended(&stage).unwrap();
}

#[test]
fn a_mistyped_key_is_named_with_the_key_that_was_probably_meant() {
    let mut stage = Stage::new("mistyped", 5).unwrap();
    stage.settings.output = "conecting_retries: 3\n".into();
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    let line = collector.wait_for_line(&["WARNING", "conecting_retries", "connecting_retries"], PATIENCE).unwrap();
    assert!(!line.contains("ERROR"), "{line}");
    collector.wait_until_sent(5).unwrap();
}

#[test]
fn a_missing_address_of_the_api_is_named() {
    let stage = Stage::new("no-base-url", 5).unwrap();
    let yaml = stage.settings.yaml();
    let without: String =
        yaml.lines().filter(|line| !line.contains("base_url:")).map(|line| format!("{line}\n")).collect();
    stage.installation.write_config(&without).unwrap();
    let collector = stage.start().unwrap();
    collector.wait_for_line(&["[CODE:", "base_url"], PATIENCE).unwrap();
    collector.stop(SOON).unwrap();
    assert_eq!(stage.simulator.request_count(), 0);
    stage.configure().unwrap();
    mended(&stage).unwrap();
}

#[test]
fn a_missing_token_is_named() {
    let stage = Stage::new("no-token", 5).unwrap();
    let yaml = stage.settings.yaml();
    let without: String = yaml
        .lines()
        .filter(|line| !line.contains("token:") && !line.contains("credentials:"))
        .map(|line| format!("{line}\n"))
        .collect();
    stage.installation.write_config(&without).unwrap();
    let collector = stage.start().unwrap();
    collector.wait_for_line(&["[CODE:", "token"], PATIENCE).unwrap();
    collector.stop(SOON).unwrap();
    assert_eq!(stage.simulator.request_count(), 0);
    stage.configure().unwrap();
    mended(&stage).unwrap();
}

#[test]
fn a_start_time_that_is_none_is_an_init_variables_error() {
    for (time, code, reason) in [
        (
            "the day before",
            "0001",
            "Invalid initial_start_time_in_utc: the day before.  Must be in parseable datetime format.",
        ),
        (
            "2999-01-01T00:00:00Z",
            "0002",
            "Invalid initial_start_time_in_utc: 2999-01-01T00:00:00Z. Must be in the past.",
        ),
    ] {
        let mut stage = Stage::new("start-time", 5).unwrap();
        let good = std::mem::replace(&mut stage.settings.service, format!("initial_start_time_in_utc: \"{time}\"\n"));
        stage.configure().unwrap();
        let collector = stage.start().unwrap();
        collector.wait_for_line(&[&format!("InitVariablesError [CODE:{code}]"), reason], PATIENCE).unwrap();
        collector.stop(SOON).unwrap();
        assert_eq!(stage.receiver.count(ALERTS_TABLE), 0);
        stage.settings.service = good;
        stage.configure().unwrap();
        mended(&stage).unwrap();
    }
}

#[test]
fn a_certificate_that_is_not_there_is_named_with_its_key() {
    for (key, name) in [("chain", "chain.crt"), ("cert", "example-domain.crt"), ("key", "example-domain.key")] {
        let mut stage = Stage::new("no-certificate", 5).unwrap();
        // The API's own authority stays where it is, so that only one thing is wrong.
        let wanted = format!("missing-{name}");
        let setting = match key {
            "chain" => &mut stage.settings.chain,
            "cert" => &mut stage.settings.cert,
            _ => &mut stage.settings.key,
        };
        let good = std::mem::replace(setting, wanted.clone());
        stage.configure().unwrap();
        let line = refused(&stage.start().unwrap()).unwrap();
        assert!(line.contains(&format!("certs/{wanted}")) && line.contains(key), "{line}");
        assert_eq!(stage.simulator.request_count(), 0);
        match key {
            "chain" => stage.settings.chain = good,
            "cert" => stage.settings.cert = good,
            _ => stage.settings.key = good,
        }
        stage.configure().unwrap();
        mended(&stage).unwrap();
    }
}

#[test]
fn a_key_of_another_certificate_is_named() {
    let mut stage = Stage::new("mismatched", 5).unwrap();
    stage.installation.copy_certificate(&stage.certificates.mismatched_client.key).unwrap();
    stage.settings.key = "expired-domain.key".into();
    stage.configure().unwrap();
    let line = refused(&stage.start().unwrap()).unwrap();
    assert!(line.contains("expired-domain.key") && line.contains("example-domain.crt"), "{line}");
    assert_eq!(stage.simulator.request_count(), 0);
    stage.settings.key = "example-domain.key".into();
    stage.configure().unwrap();
    mended(&stage).unwrap();
}

#[test]
fn a_private_address_needs_the_operators_leave() {
    let stage = Stage::new("private", 5).unwrap();
    let yaml = stage.settings.yaml().replace("    allow_private_addresses: true\n", "");
    stage.installation.write_config(&yaml).unwrap();
    let collector = stage.start().unwrap();
    collector.wait_for_complaint(&["allow_private_addresses"]).unwrap();
    assert_eq!(stage.simulator.request_count(), 0);
    collector.stop(SOON).unwrap();
    stage.configure().unwrap();
    mended(&stage).unwrap();
}

#[test]
fn an_api_that_can_not_be_reached_is_tried_again() {
    let mut stage = Stage::new("no-api", 5).unwrap();
    stage.simulator.stop();
    let collector = stage.start().unwrap();
    let host = format!("localhost:{}", stage.simulator.port());
    collector.wait_for_line(&["ApiError [CODE:049", &host], PATIENCE).unwrap();
    assert!(collector.is_running());
    stage.simulator.resume().unwrap();
    collector.wait_until_sent(5).unwrap();
    stage.compare().exactly_once().unwrap();
}

#[test]
fn an_api_with_a_certificate_of_an_unknown_authority_is_not_given_the_token() {
    let mut stage = Stage::new("foreign-api", 5).unwrap();
    stage.simulator.stop();
    stage.simulator.change(|settings| settings.certificate = Some(stage.certificates.foreign_server.clone()));
    stage.simulator.resume().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_for_line(&["ApiError [CODE:049", "ertificate"], PATIENCE).unwrap();
    assert!(collector.is_running());
    collector.stop(SOON).unwrap();
    assert_eq!(stage.simulator.request_count(), 0);
    stage.simulator.stop();
    stage.simulator.change(|settings| settings.certificate = Some(stage.certificates.server.clone()));
    stage.simulator.resume().unwrap();
    mended(&stage).unwrap();
}

#[test]
fn a_devo_that_can_not_be_reached_is_tried_again() {
    let mut stage = Stage::new("no-devo", 5).unwrap();
    stage.settings.output = IMPATIENT.into();
    stage.configure().unwrap();
    stage.receiver.stop();
    let collector = stage.start().unwrap();
    collector.wait_for_complaint(&[&format!("localhost:{}", stage.receiver.port())]).unwrap();
    assert!(collector.is_running());
    assert_eq!(collector.statistics().unwrap().iter().map(|cycle| cycle.sent).sum::<u64>(), 0);
    stage.receiver.resume().unwrap();
    collector.wait_until_sent(5).unwrap();
    stage.compare().exactly_once().unwrap();
}

#[test]
fn a_refused_token_is_an_api_error_with_the_code_of_the_status() {
    for (code, token) in [("0401", "wrong"), ("0403", "test-token-without-rights")] {
        let mut stage = Stage::new("token", 5).unwrap();
        let good = std::mem::replace(&mut stage.settings.token, token.into());
        stage.configure().unwrap();
        let collector = stage.start().unwrap();
        collector.wait_for_line(&["ERROR", &format!("ApiError [CODE:{code}] reason: ")], PATIENCE).unwrap();
        assert!(collector.is_running());
        assert_eq!(collector.stop(SOON).unwrap().code(), Some(0));
        assert_eq!(stage.receiver.count(ALERTS_TABLE), 0);
        stage.settings.token = good;
        stage.configure().unwrap();
        mended(&stage).unwrap();
    }
}
