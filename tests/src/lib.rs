//! The collector's surroundings, made of native Rust and loopback sockets: the vendor's API, Devo's receiver,
//! certificates, a product folder and the collector's process.
//!
//! End-to-end tests, benchmarks and the demo all use the same pieces, so that a figure and a test speak of
//! the same work. Every server runs on a thread of its own behind a blocking interface, and every wait has a
//! bound and says what it waited for.

use std::time::Duration;

pub mod admin;
pub mod alerts;
pub mod certificates;
pub mod check;
pub mod collector;
pub mod compact;
pub mod conformance;
pub mod document;
pub mod faults;
pub mod feed;
pub mod folder;
pub mod hosting;
pub mod ingestion;
pub mod installation;
pub mod process;
pub mod progress;
pub mod proxy;
pub mod receiver;
pub mod redis;
pub mod rsyslog;
pub mod schema;
pub mod simulator;
pub mod stage;
pub mod statistics;
pub mod tls;
pub mod torture;
pub mod waiting;

/// How long a test waits for something that should happen at once or after a few retries.
///
/// Long, because it is only spent when something is broken, and a busy machine must not look like a broken
/// product.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The table that XVigil alerts go to.
pub const ALERTS_TABLE: &str = "drp.cloudsek.xvigil.alerts";
