//! The host of the collector: everything that a sandboxed collector component needs to carry a vendor's alerts to Devo.
//!
//! `collector` runs one configuration and `tenants` hosts many, each of which is a `tenant`; `config` says what to do,
//! `sandbox` runs the component, `capabilities` are what the component can reach; `egress`, `rate`, `state` and `senders`
//! do that work, `service` decides when; `log`, `internal`, `status` and `admin` tell the
//! operator. Fuzzing needs no more than the
//! decoders, and builds without whatever needs the engine.

#[cfg(not(fuzzing))]
pub mod admin;
#[cfg(not(fuzzing))]
pub mod capabilities;
#[cfg(not(fuzzing))]
pub mod collector;
pub mod config;
#[cfg(not(fuzzing))]
pub mod devo_compat;
#[cfg(not(fuzzing))]
pub mod internal;
pub mod log;
#[cfg(not(fuzzing))]
pub mod sandbox;
#[cfg(not(fuzzing))]
pub mod service;
#[cfg(not(fuzzing))]
pub mod status;
#[cfg(not(fuzzing))]
pub mod tenant;
#[cfg(not(fuzzing))]
pub mod tenants;

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;
