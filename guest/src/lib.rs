//! The CloudSEK XVigil collector: what it asks of the API, what it makes of the answers, and what it
//! remembers.
//!
//! Everything here is plain Rust against the [`platform::Platform`] trait, so that it runs natively in tests;
//! `component` alone binds it to the WIT world, and is compiled for wasm only.
//!
//! The life of an alert: [`walk`] decides which page to ask for, [`api`] fetches it, [`alert_records`] finds
//! the records in it, their ids and times, [`memory`] knows whether they were delivered before, [`alert`]
//! makes events of what is new, [`batch`] sorts them, and a [`call`] sends them, has them confirmed, and only
//! then stores what was delivered and the [`state`]. [`pull`] has the four things that the host asks for.

pub mod alert;
pub mod api;
pub mod batch;
pub mod call;
pub mod failure;
pub mod ledger;
pub mod memory;
pub mod obfuscation;
pub mod planted;
pub mod platform;
pub mod progress;
pub mod pull;
pub mod settings;
pub mod state;
pub mod statistics;
pub mod walk;

#[cfg(target_arch = "wasm32")]
mod component;

#[cfg(any(test, fuzzing))]
pub mod properties;

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod simulation;
