//! The CloudSEK XVigil collector: what it asks of the API, what it makes of the answers, and what it remembers.
//!
//! Everything here is plain Rust against the [`platform::Platform`] trait, so that it runs natively in tests; `component`
//! alone binds it to the WIT world, and is compiled for wasm only.
//!
//! The life of an alert: [`api`] fetches a page, [`alert_records`] finds the records in it, their ids and times, [`ledger`]
//! knows whether it was delivered before, [`walk`] decides which page comes next, [`alert`] makes events of what is new,
//! [`batch`] sorts them, [`pull`] sends them, has them confirmed, and only then stores the [`state`].

pub mod alert;
pub mod api;
pub mod batch;
pub mod failure;
pub mod ledger;
pub mod obfuscation;
pub mod platform;
pub mod pull;
pub mod settings;
pub mod state;
pub mod statistics;
pub mod trend;
pub mod walk;

#[cfg(target_arch = "wasm32")]
mod component;

#[cfg(any(test, fuzzing))]
pub mod laws;

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;
