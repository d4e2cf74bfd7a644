//! The host of the collector: everything that a sandboxed collector component needs to carry a vendor's alerts to Devo.
//!
//! `collector` runs one configuration and `tenants` hosts many, each of which is a `tenant`; `config` says what to do,
//! `sandbox` runs the component, `capabilities` are what the component can reach; `egress`, `rate`, `state` and `senders`
//! do that work, `service` decides when; `log`, `internal`, `status` and `admin` tell the
//! operator.

pub mod admin;
pub mod capabilities;
pub mod collector;
pub mod devo_compat;
pub mod internal;
pub mod log;
pub mod sandbox;
pub mod service;
pub mod status;
pub mod tenant;
pub mod tenants;
