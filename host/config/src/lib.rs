//! From Devo's `config.yaml` to what the collector does, with every value checked and errors that name the
//! key.
//!
//! `read` finds a file and parses it, `document` says which keys there are, `plan` checks what they mean
//! together, in the settings types of the crates that do the work; `policy` is what the operator of a host
//! lets a tenant have, and `host_config` where the operator says so. Nothing is opened or started here but
//! the files that are read; whether a plan can be carried out is found out by whoever does.
//!
//! ```
//! use collector_config::{Place, Plan, Policy, read};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("config.yaml");
//! std::fs::write(&path, "
//! outputs: {screen: {type: console}}
//! inputs:
//!   cloudsek: {id: 1, base_url: https://a.example.com, credentials: {token: t0ken}, services: {alerts: {}}}
//! ")?;
//! let plan = Plan::new(read(&Place::OnPremise(path.clone()))?, &Policy::permissive())?;
//! assert_eq!(plan.services[0].table.as_str(), "drp.cloudsek.xvigil.alerts");
//!
//! // A tenant of a host may not write to the host's standard output.
//! let refused = Plan::new(read(&Place::OnPremise(path))?, &Policy::hosted()).unwrap_err();
//! assert_eq!(refused.code(), collector_model::error_code::POLICY_REFUSED);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(missing_docs)]

mod admin;
mod document;
mod error;
mod files;
mod host_config;
mod maps;
mod permissions;
mod plan;
mod policy;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod quota;
mod read;
mod redis_server;
mod schema;
mod unknown;
mod variables;

pub use admin::{AdminAddress, AdminSettings};
pub use error::{Cause, ConfigError};
pub use files::{Files, Fingerprint};
pub use host_config::HostConfig;
pub use plan::{Component, OutputPlan, Persistence, Plan, Receiver, ServicePlan};
pub use policy::Policy;
pub use read::{Place, Source, read, read_tenant};
pub use schema::Schema;

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;
