//! A receiver that nobody wrote for these tests, rsyslogd, takes the events as they were sent.

use sandbox::rsyslog::Rsyslog;
use sandbox::stage::Stage;

#[test]
fn rsyslog_receives_every_alert_once_and_as_it_was() {
    let mut stage = Stage::new("rsyslog", 1000).unwrap();
    let rsyslog = Rsyslog::start(stage.folder.path(), &stage.certificates, "example-domain").unwrap();
    stage.settings.port = rsyslog.port();
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    // Counted as sent only because rsyslogd closed its side after it had read everything.
    collector.wait_until_sent(1000).unwrap();
    rsyslog.wait_for_all(&stage.source).unwrap().exactly_once().unwrap();
}

#[test]
fn rsyslog_without_tls_receives_every_alert_once_and_as_it_was() {
    let mut stage = Stage::new("rsyslog-plain", 1000).unwrap();
    let rsyslog = Rsyslog::start_plain(stage.folder.path()).unwrap();
    stage.settings.kind = "syslog".into();
    stage.settings.port = rsyslog.port();
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(1000).unwrap();
    rsyslog.wait_for_all(&stage.source).unwrap().exactly_once().unwrap();
    assert_eq!(stage.receiver.connections().len(), 0, "the other receiver is none of the output's");
}

#[test]
fn a_client_that_rsyslog_does_not_permit_delivers_nothing() {
    let mut stage = Stage::new("rsyslog-refused", 20).unwrap();
    let rsyslog = Rsyslog::start(stage.folder.path(), &stage.certificates, "another-domain").unwrap();
    stage.settings.port = rsyslog.port();
    stage.settings.output = "connecting_initial_wait_in_seconds: 1\nconnecting_max_wait_in_seconds: 2\n".into();
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_for_complaint(&[&format!("localhost:{}", rsyslog.port())]).unwrap();
    assert_eq!(collector.statistics().unwrap().iter().map(|cycle| cycle.sent).sum::<u64>(), 0);
    assert!(rsyslog.is_running());
    assert!(rsyslog.frames().unwrap().is_empty());
}
