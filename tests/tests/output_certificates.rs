//! What can be wrong with the certificates of an output, on either side: each fault has its own message,
//! nothing counts as delivered meanwhile, and everything arrives once it is mended.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use sandbox::certificates::{Pair, weak_server};
use sandbox::collector::Collector;
use sandbox::stage::Stage;
use sandbox::{ALERTS_TABLE, PATIENCE};

/// Devo's waits for a real outage are of no use here.
const IMPATIENT: &str = "connecting_initial_wait_in_seconds: 1\nconnecting_max_wait_in_seconds: 2\n";

const PASSWORD: &str = "Vorsicht-geheim-4711";

/// A collector that ends at once: with one error that contains all of `parts`, and before it has asked the
/// API anything.
fn assert_refused(stage: &Stage, collector: &Collector, parts: &[&str]) {
    let status = collector.wait_for_exit(PATIENCE).unwrap();
    assert_eq!(status.code(), Some(1));
    let errors = collector.lines_with(&[" ERROR "]);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(errors[0].contains("CollectorConfigurationException [CODE:0006]"), "{}", errors[0]);
    parts.iter().for_each(|part| assert!(errors[0].contains(part), "no {part:?} in {}", errors[0]));
    assert_eq!(stage.simulator.request_count(), 0);
}

#[test]
fn an_expired_client_certificate_is_refused_at_the_start() {
    let mut stage = Stage::new("expired-client", 20).unwrap();
    stage.installation.copy_pair(&stage.certificates.expired_client).unwrap();
    stage.settings.cert = "expired-domain.crt".into();
    stage.settings.key = "expired-domain.key".into();
    stage.configure().unwrap();
    let fault = ["the cert file", "certs/expired-domain.crt", "expired on 2001-01-01"];
    assert_refused(&stage, &stage.start().unwrap(), &fault);

    stage.settings.cert = "example-domain.crt".into();
    stage.settings.key = "example-domain.key".into();
    stage.configure().unwrap();
    stage.start().unwrap().wait_until_sent(20).unwrap();
    stage.compare().exactly_once().unwrap();
}

/// Starts the collector while the receiver shows `bad`, waits for a message with its address and all of
/// `fault`, and lets the receiver show its good certificate to the same collector, which then delivers.
fn assert_named_and_mended(stage: &Stage, bad: &Pair, fault: &[&str]) {
    stage.receiver.present(&stage.certificates, bad).unwrap();
    let collector = stage.start().unwrap();
    let address = format!("localhost:{}", stage.receiver.port());
    let mut parts = vec!["output \"devo_us_1\"", address.as_str()];
    parts.extend(fault);
    // Of the pull: not just another try, but given up for this time.
    parts.push("PullError [CODE:0300]");
    collector.wait_for_complaint(&parts).unwrap();
    assert_eq!(collector.sent().unwrap(), 0);
    assert_eq!(stage.receiver.count(ALERTS_TABLE), 0);
    assert!(collector.is_running());
    stage.receiver.present(&stage.certificates, &stage.certificates.server).unwrap();
    collector.wait_until_sent(20).unwrap();
    stage.compare().exactly_once().unwrap();
}

fn impatient_stage(name: &str) -> Stage {
    let mut stage = Stage::new(name, 20).unwrap();
    stage.settings.output = IMPATIENT.into();
    stage.configure().unwrap();
    stage
}

#[test]
fn a_receiver_of_a_foreign_authority_is_sent_nothing() {
    let stage = impatient_stage("foreign-server");
    let fault = ["the receiver's certificate is not signed by an authority in the chain file", "\"chain\""];
    assert_named_and_mended(&stage, &stage.certificates.foreign_server, &fault);
}

#[test]
fn a_receiver_with_an_expired_certificate_is_sent_nothing() {
    let stage = impatient_stage("expired-server");
    let fault = ["the receiver's certificate is not valid at this time", "expired on 2001-01-01"];
    assert_named_and_mended(&stage, &stage.certificates.expired_server, &fault);
}

#[test]
fn a_receiver_with_the_certificate_of_another_host_is_sent_nothing() {
    let stage = impatient_stage("wrong-name");
    let fault = ["the receiver's certificate is for another name", "elsewhere.test", "\"verify_hostname\""];
    assert_named_and_mended(&stage, &stage.certificates.wrong_name_server, &fault);
}

#[test]
fn the_host_name_is_not_looked_at_where_the_operator_says_so() {
    let mut stage = impatient_stage("any-name");
    stage.settings.output.push_str("verify_hostname: false\n");
    stage.configure().unwrap();
    stage.receiver.present(&stage.certificates, &stage.certificates.wrong_name_server).unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(20).unwrap();
    stage.compare().exactly_once().unwrap();
}

#[test]
fn without_a_look_at_the_host_name_the_authority_still_counts() {
    let mut stage = impatient_stage("any-name-foreign");
    stage.settings.output.push_str("verify_hostname: false\n");
    stage.configure().unwrap();
    assert_named_and_mended(&stage, &stage.certificates.foreign_server, &["not signed by an authority"]);
}

#[test]
fn a_chain_that_is_too_weak_is_called_so() {
    let mut stage = impatient_stage("weak");
    let (server, chain) = weak_server(stage.folder.path()).unwrap();
    // Both authorities: the weak one is known, and the good one is for what comes after.
    let both = [chain, stage.certificates.chain.clone()].map(|file| std::fs::read_to_string(file).unwrap()).concat();
    std::fs::write(stage.installation.certs().join("both.crt"), both).unwrap();
    stage.settings.chain = "both.crt".into();
    stage.configure().unwrap();
    let fault = ["too weak to be trusted", "the RSA key of \"CN=Weak Authority\" has 1024 bits"];
    assert_named_and_mended(&stage, &server, &fault);
}

/// A stage with certificate and key in `certs/domain.p12`, and with these settings of the output's `pkcs`.
fn pkcs12_stage(name: &str, pkcs: &str) -> Stage {
    let mut stage = Stage::new(name, 20).unwrap();
    let file = stage.installation.certs().join("domain.p12");
    stage.certificates.write_pkcs12(&file, PASSWORD).unwrap();
    stage.settings.cert.clear();
    stage.settings.key.clear();
    stage.settings.output = format!("pkcs:\n  path: domain.p12\n{pkcs}");
    // As much as can be said is said.
    stage.settings.debug = true;
    stage.configure().unwrap();
    stage
}

/// The password is in no line of the log, and in nothing that was sent.
fn assert_secret(stage: &Stage, collector: &Collector) {
    assert_eq!(collector.lines_with(&[PASSWORD]), [""; 0]);
    let sent = stage.receiver.frames_from(0);
    assert!(!sent.iter().any(|frame| String::from_utf8_lossy(&frame.line).contains(PASSWORD)));
}

fn assert_delivers(stage: &Stage) {
    let collector = stage.start().unwrap();
    collector.wait_until_sent(20).unwrap();
    assert_eq!(collector.stop(PATIENCE).unwrap().code(), Some(0));
    stage.compare().exactly_once().unwrap();
    assert!(!collector.lines_with(&[" DEBUG "]).is_empty(), "the log says as much as it can");
    assert_secret(stage, &collector);
}

#[test]
fn certificate_and_key_may_come_from_a_pkcs12_file() {
    let stage = pkcs12_stage("pkcs12", &format!("  password: {PASSWORD}\n"));
    assert_delivers(&stage);
}

#[test]
fn the_pkcs12_file_may_hold_the_chain_as_well() {
    let mut stage = pkcs12_stage("pkcs12-chain", &format!("  password: {PASSWORD}\n"));
    stage.settings.chain.clear();
    stage.configure().unwrap();
    assert_delivers(&stage);
}

#[test]
fn the_password_of_a_pkcs12_file_may_stand_in_a_file() {
    let stage = pkcs12_stage("pkcs12-file", "  password_file: config/password\n");
    let password = stage.installation.product().join("config/password");
    std::fs::write(password, format!("{PASSWORD}\n")).unwrap();
    assert_delivers(&stage);
}

#[test]
fn a_wrong_password_of_a_pkcs12_file_is_refused_at_the_start() {
    let mut stage = pkcs12_stage("pkcs12-wrong", "  password: another\n");
    let collector = stage.start().unwrap();
    assert_refused(&stage, &collector, &["the pkcs file", "certs/domain.p12", "can't be opened with this password"]);
    assert_eq!(collector.lines_with(&["another"]), [""; 0]);
    stage.settings.output = format!("pkcs: {{path: domain.p12, password: {PASSWORD}}}\n");
    stage.configure().unwrap();
    assert_delivers(&stage);
}
