//! Devo's receiver: TLS with client certificates or plain TCP, events line by line, and the ways in which it
//! can fail a sender.
//!
//! It keeps every event as it came, in the order in which it came, and which connection brought it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::runtime::Runtime;

use crate::certificates::{Certificates, Pair};
use crate::tls;
use crate::waiting::Watched;

mod connection;
mod frame;

pub use connection::add;
pub use frame::{Frame, Parts};

/// What the receiver does with the connections that it accepts from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Behaviour {
    /// Reads to the end, then closes its own side in order: everything has arrived.
    #[default]
    Healthy,
    /// Refuses the client's certificate. With TLS 1.3 the client learns of it only when it reads.
    RefuseClientCertificate,
    /// Resets a connection that has brought `bytes` bytes of events; `times` connections in all, the others
    /// are healthy. What was read before counts as arrived.
    ResetAfter {
        /// After how many.
        bytes: u64,
        /// How many connections.
        times: u32,
    },
    /// Takes the connection and closes it at once, hard: what the client sent was not read, and so its kernel
    /// is told. A process that reads everything into a buffer and then closes in order can't be told from one
    /// that has processed it.
    CloseWithoutReading,
    /// Takes the connection and reads nothing.
    StopReading,
    /// Takes the TCP connection and never says anything.
    NeverAnswer,
    /// Reads everything and never closes its side: nothing is confirmed.
    NeverConfirm,
    /// Reads the beginning of a connection that carries the collector's own messages (tables of `devo.`) and
    /// then nothing more; the others are healthy.
    StallMessages,
}

/// Reads a number from the text of an event; `None` where it has none.
pub type Number = fn(&[u8]) -> Option<u64>;

/// How the receiver is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// TLS with client certificates, or plain TCP.
    pub tls: bool,
    /// TLS versions that it takes.
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// Keep the events themselves. Without it they are only counted, for measurements.
    pub keep: bool,
    /// Reads a number from the text of an event, for [`Receiver::sums`].
    pub number: Option<Number>,
    /// Threads that serve connections.
    pub threads: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { tls: true, versions: tls::TLS_12_AND_13.to_vec(), keep: true, number: None, threads: 1 }
    }
}

/// How a connection ended, seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With a close_notify.
    CloseNotify,
    /// With an end of the stream but no close_notify: as Devo's own SDK does it, and every sender without
    /// TLS.
    EndOfStream,
    /// By an error while reading.
    Broken,
    /// The handshake failed.
    NoHandshake,
    /// Cut off from here on purpose.
    CutOff,
}

/// One connection.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// Bytes of events that came (decrypted, as sent, not unpacked).
    pub bytes: u64,
    /// Events that came.
    pub events: usize,
    /// What came after the last line break.
    pub unfinished: Bytes,
    /// Whether its events came in gzip.
    pub compressed: bool,
    /// `None` while it is open.
    pub end: Option<End>,
}

/// A running receiver.
#[derive(Debug)]
pub struct Receiver {
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
    port: u16,
    threads: usize,
    versions: Vec<&'static SupportedProtocolVersion>,
}

#[derive(Debug)]
struct Shared {
    state: Watched<State>,
    keep: bool,
    number: Option<Number>,
}

/// What the handshake of a connection is made with.
#[derive(Debug, Clone)]
struct Handshake {
    accepts: Arc<ServerConfig>,
    refuses: Arc<ServerConfig>,
}

#[derive(Debug, Default)]
struct State {
    /// Without one, connections are plain.
    handshake: Option<Handshake>,
    behaviour: Behaviour,
    resets_done: u32,
    frames: Vec<Frame>,
    counts: HashMap<String, usize>,
    sums: [u64; 2],
    connections: Vec<Connection>,
}

impl Receiver {
    /// Starts on a free port of the loopback interface.
    pub fn start(certificates: &Certificates, settings: &Settings) -> Result<Self> {
        let Settings { versions, threads, keep, number, .. } = settings.clone();
        let shared = Arc::new(Shared { state: Watched::default(), keep, number });
        let mut receiver = Self { shared, runtime: None, port: 0, threads, versions };
        if settings.tls {
            receiver.present(certificates, &certificates.server)?;
        }
        receiver.listen()?;
        Ok(receiver)
    }

    /// Shows this certificate on the connections that it accepts from now on.
    pub fn present(&self, certificates: &Certificates, server: &Pair) -> Result<()> {
        let with = |authority| tls::mutual_server(server, authority, &self.versions);
        let handshake = Handshake { accepts: with(&certificates.chain)?, refuses: with(&certificates.foreign_chain)? };
        self.shared.state.change(|state| state.handshake = Some(handshake));
        Ok(())
    }

    /// Stops: open connections break and new ones are refused until [`Receiver::resume`]. What has arrived
    /// stays.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
        // Their tasks are gone and can't say it themselves.
        self.shared.state.change(|state| {
            for connection in state.connections.iter_mut().filter(|connection| connection.end.is_none()) {
                connection.end = Some(End::CutOff);
            }
        });
    }

    /// Receives again, on the same port.
    pub fn resume(&mut self) -> Result<()> {
        if self.runtime.is_some() {
            bail!("the receiver runs already");
        }
        self.listen()
    }

    fn listen(&mut self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.threads)
            .thread_name("receiver")
            .enable_all()
            .build()?;
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind(("127.0.0.1", self.port)))
            .with_context(|| format!("listening on port {}", self.port))?;
        self.port = listener.local_addr()?.port();
        runtime.spawn(connection::accept(listener, Arc::clone(&self.shared)));
        self.runtime = Some(runtime);
        Ok(())
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How connections are treated that are accepted from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shared.state.change(|state| {
            state.behaviour = behaviour;
            state.resets_done = 0;
        });
    }

    /// How many connections have been reset as [`Behaviour::ResetAfter`] asks, since [`Receiver::behave`].
    pub fn resets(&self) -> u32 {
        self.shared.state.read(|state| state.resets_done)
    }

    /// How many events of `tag` have arrived.
    pub fn count(&self, tag: &str) -> usize {
        self.shared.state.read(|state| state.count(tag))
    }

    /// The events of `tag`, in the order in which they arrived.
    pub fn events(&self, tag: &str) -> Vec<Frame> {
        self.shared.state.read(|state| state.frames.iter().filter(|frame| frame.has_tag(tag)).cloned().collect())
    }

    /// The sum of the numbers of all events that have one, and that of their squares, both modulo 2^64: what
    /// tells sets apart that are too large to keep.
    pub fn sums(&self) -> [u64; 2] {
        self.shared.state.read(|state| state.sums)
    }

    /// All frames from number `start` on, whatever their tag.
    pub fn frames_from(&self, start: usize) -> Vec<Frame> {
        self.shared.state.read(|state| state.frames.get(start..).unwrap_or_default().to_vec())
    }

    /// The connections, in the order in which they were accepted.
    pub fn connections(&self) -> Vec<Connection> {
        self.shared.state.read(|state| state.connections.clone())
    }

    /// Waits until `count` events of `tag` have arrived since the start.
    pub fn wait_for(&self, tag: &str, count: usize, timeout: Duration) -> Result<()> {
        if self.shared.state.wait(timeout, |state| (state.count(tag) >= count).then_some(())).is_none() {
            bail!("waited {timeout:?} for {count} events of {tag}; {} arrived", self.count(tag));
        }
        Ok(())
    }

    /// Waits until more than `known` frames have arrived, whatever their tag, and returns the new ones.
    pub fn wait_for_more(&self, known: usize, timeout: Duration) -> Option<Vec<Frame>> {
        self.shared
            .state
            .wait(timeout, |state| state.frames.get(known..).filter(|new| !new.is_empty()).map(<[_]>::to_vec))
    }

    /// Waits until the frames so far are such that `look` finds what it looks for; `what` names it.
    pub fn wait_for_frames<R>(
        &self,
        what: &str,
        timeout: Duration,
        mut look: impl FnMut(&[Frame]) -> Option<R>,
    ) -> Result<R> {
        let found = self.shared.state.wait(timeout, |state| look(&state.frames));
        found.with_context(|| format!("waited {timeout:?} for {what}"))
    }

    /// Waits until the connections so far are such that `look` finds what it looks for; `what` names it.
    pub fn wait_for_connections<R>(
        &self,
        what: &str,
        timeout: Duration,
        mut look: impl FnMut(&[Connection]) -> Option<R>,
    ) -> Result<R> {
        let found = self.shared.state.wait(timeout, |state| look(&state.connections));
        found.with_context(|| format!("waited {timeout:?} for {what}; the connections were {:?}", self.connections()))
    }
}

impl State {
    fn count(&self, tag: &str) -> usize {
        self.counts.get(tag).copied().unwrap_or(0)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests;
