//! How events leave the collector, and how it becomes certain that they arrived.
//!
//! An [`Output`] takes events and confirms them; [`Outputs`] are all outputs of one service, each of which
//! gets every event. The rule of the whole: what `flush` has not confirmed may have arrived or not, and is
//! sent again. At least once, never less. Where events come from, when to flush, and what to do when a flush
//! fails are left to the callers.
//!
//! ```
//! use bytes::Bytes;
//! use collector_delivery::{ConsoleHandle, Event, Framer, Output, Outputs};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let console = ConsoleHandle::new("screen", Framer::new("host"));
//! let outputs = Outputs::new(vec![Output::Console(console)]);
//! let table = "drp.cloudsek.xvigil.alerts".parse()?;
//! let event = Event { time: chrono::DateTime::UNIX_EPOCH, body: Bytes::from_static(b"{\"id\":1}") };
//! outputs.send(&table, &[event]).await?;
//! outputs.flush().await?; // an error where anything of it may not have arrived
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! - `frame`: the bytes of an event on the wire, plain or compressed;
//! - `connection`: one connection, and the half-close that proves that all of it was read; `tls`: who is
//!   talked to, and as whom;
//! - `devo`: a Devo output, which keeps what is not acknowledged in `devo/unacked`, within the bound of
//!   `devo/queue`;
//! - `console`: standard output instead;
//! - `dead_letters`: files for what can't be sent: events that are too large, records that can't become
//!   events;
//! - `error`: what the operator is told.

#![deny(missing_docs)]

mod connection;
mod console;
mod dead_letters;
mod devo;
mod error;
mod event;
mod frame;
mod join;
mod outputs;
mod settings;
mod statistics;
mod tls;

#[cfg(test)]
mod tests;

pub use connection::{Address, AddressError};
pub use console::ConsoleHandle;
pub use dead_letters::{DeadLetters, RecordLetter, RecordLetters};
pub use devo::DevoHandle;
pub use error::{Cause, SendError};
pub use event::Event;
pub use frame::{Compression, Framer};
pub use outputs::{Output, Outputs};
pub use settings::{DevoSettings, Transport};
pub use statistics::{Checkpoint, Delivered, Statistics, Trouble};
#[cfg(any(test, fuzzing))]
pub use tls::properties;
pub use tls::{Pkcs12File, Tls, TlsError, TlsFiles};

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;
