//! The collector: everything that runs around a sandboxed component so that it carries a vendor's alerts to
//! Devo.
//!
//! A library for its own binary and for the benchmarks; what does the work is in the crates below it
//! (`collector_sandbox`, `collector_config`, `collector_egress`, `collector_delivery`, `collector_state`,
//! `collector_net`, `collector_model`). What is inside this one has an order too, from the lowest:
//! `devo_compat`, the names that the original fixed; `service`, when a call is due and what a failure means;
//! [`observe`], what the operator sees; `tenant`, what one configuration asks for, running; [`collector`],
//! one of them, and [`tenants`], many. `tests/layers.rs` holds every `use` against it.
//!
//! ```no_run
//! use collector_config::{AdminSettings, Place, Plan, Policy, read};
//! use devo_collector::{collector, observe::telemetry::Messages};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn example() -> anyhow::Result<()> {
//! let plan = Plan::new(read(&Place::OnPremise("config.yaml".into()))?, &Policy::permissive())?;
//! let (admin, messages) = (AdminSettings::default(), Messages::default());
//! collector::run(plan, None, &admin, messages, CancellationToken::new()).await;
//! # Ok(())
//! # }
//! ```

#![deny(missing_docs)]

pub mod collector;
mod component;
mod devo_compat;
pub mod observe;
mod service;
mod tenant;
pub mod tenants;

pub use service::End;
