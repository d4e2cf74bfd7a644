//! The sender services: how events leave the collector, and how it becomes certain that they arrived.
//!
//! An [`Output`] takes events and confirms them; [`Outputs`] are all outputs of one service, each of which gets every
//! event. The rule of the whole: what `flush` has not confirmed may have arrived or not, and is sent again. At least
//! once, never less.
//!
//! - [`Event`], [`Table`] and [`Framer`]: what an event is, where it goes, and its bytes on the wire;
//! - [`Tls`] and [`Address`]: who is talked to, and as whom; `pkcs12`, `certificate` and `verifier` go with it;
//! - `devo`: a Devo output, over `sender` (one connection and what it has to confirm), `connection` (the connection
//!   alone), `stream` (TLS or plain TCP), `retained` (the unconfirmed events), `gzip` and `retry`;
//! - `console`: standard output instead;
//! - [`DeadLetters`]: a file for events that are too large for an output; [`RecordLetters`]: one for records that can't become
//!   events;
//! - [`BestEffort`]: the collector's own messages, which may be lost but never hold anything up;
//! - [`Statistics`]: what was delivered;
//! - [`SendError`] and [`Cause`]: what the operator is told.

mod address;
mod best_effort;
mod certificate;
mod connection;
mod console;
mod dead_letters;
mod devo;
mod error;
mod event;
mod frame;
mod gzip;
mod letter_file;
mod pkcs12;
mod record_letters;
mod retained;
mod retry;
mod sender;
mod settings;
mod statistics;
mod stream;
mod tls;
mod verifier;

#[cfg(test)]
mod tests;

use collector_model::Table;
use futures_util::future::join_all;

pub use address::{Address, AddressError};
pub use best_effort::BestEffort;
pub use console::ConsoleHandle;
pub use dead_letters::DeadLetters;
pub use devo::DevoHandle;
pub use error::{Cause, SendError};
pub use event::Event;
pub use frame::Framer;
pub use gzip::Compression;
pub use pkcs12::Pkcs12File;
pub use record_letters::{RecordLetter, RecordLetters};
pub use settings::{DevoSettings, Transport};
pub use statistics::{Checkpoint, Delivered, Statistics};
pub use tls::{Tls, TlsError, TlsFiles};

/// One configured output.
pub enum Output {
    /// A receiver that speaks Devo's protocol.
    Devo(DevoHandle),
    /// Standard output.
    Console(ConsoleHandle),
}

impl Output {
    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        match self {
            Self::Devo(devo) => devo.name(),
            Self::Console(console) => console.name(),
        }
    }

    /// Totals of what it has confirmed.
    pub fn statistics(&self) -> &Statistics {
        match self {
            Self::Devo(devo) => devo.statistics(),
            Self::Console(console) => console.statistics(),
        }
    }

    /// How many bytes it has taken that are not confirmed yet.
    pub fn queued_in_bytes(&self) -> usize {
        match self {
            Self::Devo(devo) => devo.queued_in_bytes(),
            Self::Console(_) => 0,
        }
    }

    /// How many events it has taken that are not confirmed yet.
    pub fn queued_messages(&self) -> usize {
        match self {
            Self::Devo(devo) => devo.queued_messages(),
            Self::Console(_) => 0,
        }
    }

    /// How many connections its events are spread over; 1 for standard output.
    pub fn senders(&self) -> usize {
        match self {
            Self::Devo(devo) => devo.senders(),
            Self::Console(_) => 1,
        }
    }

    fn check(&self, events: &[Event<impl AsRef<[u8]>>]) -> Result<(), SendError> {
        match self {
            Self::Devo(devo) => devo.check(events),
            Self::Console(console) => console.check(events),
        }
    }

    async fn send<B: AsRef<[u8]> + Clone>(&self, table: &Table, events: &[Event<B>]) -> Result<(), SendError> {
        match self {
            Self::Devo(devo) => devo.send(table, events).await,
            Self::Console(console) => console.send(table, events).await,
        }
    }

    async fn flush(&self) -> Result<(), SendError> {
        match self {
            Self::Devo(devo) => devo.flush().await,
            Self::Console(console) => console.flush().await,
        }
    }

    async fn discard(&self) {
        match self {
            Self::Devo(devo) => devo.discard(),
            Self::Console(console) => console.discard().await,
        }
    }
}

/// All outputs of one service. Every event goes to each of them, and is delivered when all have confirmed it.
///
/// For one user at a time: a failed flush gives up everything that is unconfirmed, whoever sent it. Services that work
/// at the same time get `Outputs` of their own.
pub struct Outputs {
    outputs: Vec<Output>,
}

impl Outputs {
    /// These outputs together.
    pub fn new(outputs: Vec<Output>) -> Self {
        Self { outputs }
    }

    /// Each output, in the order given.
    pub fn iter(&self) -> std::slice::Iter<'_, Output> {
        self.outputs.iter()
    }

    /// Hands the events to every output. Waits while the queue of any is full, which doesn't keep the others from
    /// sending.
    ///
    /// When one refuses an event, none of the list was taken by any. After any other error call [`Outputs::discard`].
    pub async fn send<B: AsRef<[u8]> + Clone>(&self, table: &Table, events: &[Event<B>]) -> Result<(), SendError> {
        self.outputs.iter().try_for_each(|output| output.check(events))?;
        all(self.outputs.iter().map(|output| output.send(table, events))).await
    }

    /// Returns when every output has confirmed all events taken so far. With an error when one can't, but not before
    /// the others have confirmed or failed as well. After an error call [`Outputs::discard`].
    pub async fn flush(&self) -> Result<(), SendError> {
        all(self.outputs.iter().map(Output::flush)).await
    }

    /// Gives up what no output has confirmed yet: after a cycle that failed or was abandoned, whose events will be sent
    /// again.
    pub async fn discard(&self) {
        for output in &self.outputs {
            output.discard().await;
        }
    }
}

/// Drives all futures to their end, at the same time; the first error in their order.
async fn all<F>(futures: impl Iterator<Item = F>) -> Result<(), SendError>
where
    F: Future<Output = Result<(), SendError>>,
{
    join_all(futures).await.into_iter().collect()
}
