//! A deterministic simulation: the collector against sources, clocks, hosts and outputs that misbehave, made
//! from one seed.
//!
//! A seed makes a [`history::History`]: a source with a shape, the records on it, the host that calls the
//! collector, and a list of events (a record appears, a page fails, the collector is killed) with the moments
//! at which they happen. [`host`] lives through it: cycles with events first, then a day and more of rest.
//! [`check`] holds what happened against the promises, each under its conditions. A history that breaks one
//! is made smaller by [`shrink`] and printed.
//!
//! The collector is a black box here: it is called as a host calls it, and seen through its platform only.
//!
//! `just simulate 100000` runs so many seeds, `SEED=7 cargo test --release -p cloudsek-xvigil --lib one_seed
//! -- --nocapture` one of them with all that happened.

mod answer;
mod check;
mod history;
mod hooks;
mod host;
mod imported;
mod platform;
mod random;
mod reader;
mod runner;
mod scenarios;
mod shrink;
mod source;
mod tests;
mod verdict;
mod world;

use crate::planted::Planted;

use check::Failure;
use history::History;

/// Lives through the history of this seed, and tells the first promise that was broken.
pub fn simulate(seed: u64, planted: Option<Planted>) -> Result<(), Failure> {
    host::run(&History::of(seed), planted, false).result
}
