//! A receiver that nobody wrote for these tests: Debian's rsyslogd, with GnuTLS and client certificates or
//! over plain TCP.
//!
//! It writes every event to a file as it came, and before it reads the next one: what it has confirmed by
//! closing its side is written, even if it is killed. An event in the middle of which it is killed stays
//! without its end, so that each life has a file of its own: the next one would go on in that line.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::PATIENCE;
use crate::alerts::Alert;
use crate::certificates::Certificates;
use crate::check::{Report, compare};
use crate::process::Process;
use crate::receiver::Frame;
use crate::waiting::poll;

/// A running rsyslogd with files of its own. It never outlives its owner.
#[derive(Debug)]
pub struct Rsyslog {
    process: Process,
    folder: PathBuf,
    transport: Transport,
    port: u16,
    /// How many times it was started.
    lives: usize,
}

/// How it is spoken to: parameters of the whole, and of its module for TCP.
#[derive(Debug, Default)]
struct Transport {
    global: String,
    module: String,
}

impl Rsyslog {
    /// Starts it with TLS on a free port; clients must have a certificate of the test authority with the name
    /// `client`.
    pub fn start(folder: &Path, certificates: &Certificates, client: &str) -> Result<Self> {
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
        Self::start_in(folder, Transport { global, module })
    }

    /// Starts it without TLS on a free port.
    pub fn start_plain(folder: &Path) -> Result<Self> {
        Self::start_in(folder, Transport::default())
    }

    fn start_in(folder: &Path, transport: Transport) -> Result<Self> {
        let folder = folder.join("rsyslog");
        std::fs::create_dir_all(&folder)?;
        let (process, port) = run(&folder, &transport, 0, 1)?;
        Ok(Self { process, folder, transport, port, lives: 1 })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// Ends it with SIGKILL.
    pub fn kill(&self) -> Result<()> {
        self.process.kill()
    }

    /// Starts it again after its end, on the same port.
    pub fn start_again(&mut self) -> Result<()> {
        self.lives += 1;
        (self.process, self.port) = run(&self.folder, &self.transport, self.port, self.lives)?;
        Ok(())
    }

    /// What it has written so far in all of its lives, in whole lines.
    pub fn frames(&self) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        for life in 1..=self.lives {
            let path = self.folder.join(events_of(life));
            // It makes the file with the first event.
            if path.exists() {
                let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
                frames.extend(whole_lines(&bytes).map(|line| Frame { connection: life, line: line.to_vec().into() }));
            }
        }
        Ok(frames)
    }

    /// Waits until it has written `count` lines.
    pub fn wait_for(&self, count: usize) -> Result<()> {
        let what = format!("rsyslogd to write {count} lines");
        poll(&what, PATIENCE, || Ok((self.frames()?.len() >= count).then_some(())))
    }

    /// Waits until it has written all of these alerts, and compares.
    pub fn wait_for_all(&self, source: &[Alert]) -> Result<Report> {
        poll("rsyslogd to write all alerts", PATIENCE, || {
            let report = compare(source, &self.frames()?);
            Ok(report.missing.is_empty().then_some(report))
        })
    }
}

/// The file for the events of one life.
fn events_of(life: usize) -> String {
    format!("events-{life}")
}

/// The lines that have their end.
fn whole_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|&byte| byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"))
}

/// Starts it on this port, or on a free one if it is 0.
fn run(folder: &Path, transport: &Transport, port: u16, life: usize) -> Result<(Process, u16)> {
    let program = ["/usr/sbin/rsyslogd", "/usr/local/sbin/rsyslogd"].into_iter().find(|path| Path::new(path).is_file());
    let Some(program) = program else { bail!("there is no rsyslogd: run ./setup.sh") };
    let file = |name: &str| folder.join(name);
    let (configuration, port_file) = (file("rsyslog.conf"), file("port"));
    std::fs::write(&configuration, configure(folder, transport, port, life))?;
    let _ = std::fs::remove_file(&port_file);
    // The process that wrote it may have been killed.
    let _ = std::fs::remove_file(file("pid"));
    let mut command = Command::new(program);
    command.arg("-n").arg("-f").arg(&configuration).arg("-i").arg(file("pid"));
    let process = Process::start("rsyslogd", command, &file("log"))?;
    let port = poll("rsyslogd to listen", PATIENCE, || {
        ensure!(process.is_running(), "rsyslogd ended: {:#?}", process.lines());
        // It writes a port that it has chosen itself, and no other.
        let port = match port {
            0 => std::fs::read_to_string(&port_file).unwrap_or_default().trim().parse().ok(),
            known => Some(known),
        };
        Ok(port.filter(|&port| TcpStream::connect(("127.0.0.1", port)).is_ok()))
    })?;
    Ok((process, port))
}

/// Its configuration. Without queues: an event is written by whom it was read.
fn configure(folder: &Path, Transport { global, module }: &Transport, port: u16, life: usize) -> String {
    format!(
        r#"global(
    workDirectory="{folder}"
    maxMessageSize="256k"
    parser.escapeControlCharactersOnReceive="off"{global}
)
main_queue(queue.type="Direct")
module(
    load="imtcp"{module}
)
# As it came: neither the time nor the tag taken apart and put together anew.
template(name="asSent" type="string" string="%rawmsg%\n")
ruleset(name="events" queue.type="Direct") {{
    action(type="omfile" file="{folder}/{events}" template="asSent" queue.type="Direct")
}}
input(type="imtcp" address="127.0.0.1" port="{port}" listenPortFileName="{folder}/port" ruleset="events")
# Whatever rsyslogd has to say itself goes to its standard error, for the log of the test.
if $syslogfacility-text == "syslog" then {{
    action(type="omfile" file="/dev/stderr")
    stop
}}
"#,
        folder = folder.display(),
        events = events_of(life),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_which_it_was_killed_is_none() {
        assert_eq!(whole_lines(b"one\ntwo\nthr").collect::<Vec<_>>(), [b"one", b"two"]);
        assert_eq!(whole_lines(b"thr").count(), 0);
    }
}
