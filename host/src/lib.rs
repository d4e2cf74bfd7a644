//! The host of the collector: everything that a sandboxed collector component needs to carry a vendor's alerts to Devo.
//!
//! `collector` starts everything, `config` says what to do, `sandbox` runs the component, `capabilities` are what the
//! component can reach; `egress`, `rate`, `state` and `senders` do that work, `service` decides when; `log`, `internal`
//! and `status` tell the operator.

pub mod capabilities;
pub mod collector;
pub mod config;
pub mod egress;
pub mod internal;
pub mod log;
pub mod rate;
pub mod sandbox;
pub mod secret;
pub mod senders;
pub mod service;
pub mod state;
pub mod status;
