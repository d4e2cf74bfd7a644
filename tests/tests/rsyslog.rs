//! A receiver that nobody wrote for this test: Debian's rsyslogd, with GnuTLS and client certificates or over plain TCP, takes
//! the events as they were sent.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sandbox::PATIENCE;
use sandbox::certificates::Certificates;
use sandbox::check::{Report, compare};
use sandbox::process::Process;
use sandbox::receiver::Frame;
use sandbox::stage::Stage;
use sandbox::waiting::poll;

/// A running rsyslogd with files of its own.
struct Rsyslog {
    process: Process,
    events: PathBuf,
    port: u16,
}

impl Rsyslog {
    /// Starts it with TLS; clients must have a certificate of the test authority with the name `client`.
    fn start(folder: &Path, certificates: &Certificates, client: &str) -> Result<Self> {
        let global = format!(
            r#"
    defaultNetstreamDriver="gtls"
    defaultNetstreamDriverCAFile="{chain}"
    defaultNetstreamDriverCertFile="{cert}"
    defaultNetstreamDriverKeyFile="{key}""#,
            chain = certificates.chain.display(),
            cert = certificates.server.cert.display(),
            key = certificates.server.key.display(),
        );
        let module = format!(
            r#"
    streamDriver.name="gtls"
    streamDriver.mode="1"
    streamDriver.authMode="x509/name"
    permittedPeer=["{client}"]"#
        );
        Self::start_with(folder, &global, &module)
    }

    /// Starts it without TLS.
    fn start_plain(folder: &Path) -> Result<Self> {
        Self::start_with(folder, "", "")
    }

    /// Starts it with these parameters of the whole and of its module for TCP.
    fn start_with(folder: &Path, global: &str, module: &str) -> Result<Self> {
        let program =
            ["/usr/sbin/rsyslogd", "/usr/local/sbin/rsyslogd"].into_iter().find(|path| Path::new(path).is_file());
        let Some(program) = program else { bail!("there is no rsyslogd: run ./setup.sh") };
        let folder = folder.join("rsyslog");
        std::fs::create_dir_all(&folder)?;
        let file = |name: &str| folder.join(name);
        let (events, port_file, configuration) = (file("events"), file("port"), file("rsyslog.conf"));
        let text = format!(
            r#"global(
    workDirectory="{folder}"
    maxMessageSize="256k"
    parser.escapeControlCharactersOnReceive="off"{global}
)
module(
    load="imtcp"{module}
)
# As it came: neither the time nor the tag taken apart and put together anew.
template(name="asSent" type="string" string="%rawmsg%\n")
ruleset(name="events") {{
    action(type="omfile" file="{events}" template="asSent")
}}
input(type="imtcp" address="127.0.0.1" port="0" listenPortFileName="{port}" ruleset="events")
# Whatever rsyslogd has to say itself goes to its standard error, for the log of the test.
if $syslogfacility-text == "syslog" then {{
    action(type="omfile" file="/dev/stderr")
    stop
}}
"#,
            folder = folder.display(),
            events = events.display(),
            port = port_file.display(),
        );
        std::fs::write(&configuration, text)?;
        let mut command = Command::new(program);
        command.arg("-n").arg("-f").arg(&configuration).arg("-i").arg(file("pid"));
        let process = Process::start("rsyslogd", command, &file("log"))?;
        let port = poll("rsyslogd to listen", PATIENCE, || {
            if !process.is_running() {
                bail!("rsyslogd ended: {:#?}", process.lines());
            }
            let text = std::fs::read_to_string(&port_file).unwrap_or_default();
            Ok(text.trim().parse().ok())
        })?;
        Ok(Self { process, events, port })
    }

    /// What it has written so far, in whole lines.
    fn frames(&self) -> Result<Vec<Frame>> {
        let bytes = std::fs::read(&self.events).with_context(|| format!("reading {}", self.events.display()))?;
        let lines = bytes.split_inclusive(|&byte| byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
        Ok(lines.map(|line| Frame { connection: 0, line: line.to_vec().into() }).collect())
    }

    /// Waits until it has written all alerts of the stage, and compares.
    fn wait_for_all(&self, stage: &Stage) -> Result<Report> {
        poll("rsyslogd to write all alerts", PATIENCE, || {
            let report = compare(&stage.source, &self.frames()?);
            Ok(report.missing.is_empty().then_some(report))
        })
    }
}

#[test]
fn rsyslog_receives_every_alert_once_and_as_it_was() {
    let mut stage = Stage::new("rsyslog", 1000).unwrap();
    let rsyslog = Rsyslog::start(stage.folder.path(), &stage.certificates, "example-domain").unwrap();
    stage.settings.port = rsyslog.port;
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    // Counted as sent only because rsyslogd closed its side after it had read everything.
    collector.wait_until_sent(1000).unwrap();
    rsyslog.wait_for_all(&stage).unwrap().exactly_once().unwrap();
}

#[test]
fn rsyslog_without_tls_receives_every_alert_once_and_as_it_was() {
    let mut stage = Stage::new("rsyslog-plain", 1000).unwrap();
    let rsyslog = Rsyslog::start_plain(stage.folder.path()).unwrap();
    stage.settings.kind = "syslog".into();
    stage.settings.port = rsyslog.port;
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(1000).unwrap();
    rsyslog.wait_for_all(&stage).unwrap().exactly_once().unwrap();
    assert_eq!(stage.receiver.connections().len(), 0, "the other receiver is none of the output's");
}

#[test]
fn a_client_that_rsyslog_does_not_permit_delivers_nothing() {
    let mut stage = Stage::new("rsyslog-refused", 20).unwrap();
    let rsyslog = Rsyslog::start(stage.folder.path(), &stage.certificates, "another-domain").unwrap();
    stage.settings.port = rsyslog.port;
    stage.settings.output = "connecting_initial_wait_in_seconds: 1\nconnecting_max_wait_in_seconds: 2\n".into();
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_for_complaint(&[&format!("localhost:{}", rsyslog.port)]).unwrap();
    assert_eq!(collector.statistics().unwrap().iter().map(|cycle| cycle.sent).sum::<u64>(), 0);
    assert!(rsyslog.process.is_running());
    assert!(!rsyslog.events.exists() || rsyslog.frames().unwrap().is_empty());
}
