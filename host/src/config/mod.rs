//! From Devo's `config.yaml` to what the collector does: `read` finds and parses it, `document` says which keys there are,
//! [`plan`] checks what they mean together,
//! and [`policy`] whether the operator of a host lets a tenant have it.

pub mod document;
mod error;
mod files;
#[cfg(any(test, fuzzing))]
pub mod laws;
mod permissions;
mod plan;
pub mod policy;
mod quota;
mod read;
mod unknown;
mod variables;

pub use document::Limits as AskedLimits;
pub use error::{Cause, ConfigError};
pub use files::{Files, Fingerprint};
pub use plan::{Component, OutputPlan, Persistence, Plan, Receiver, ServicePlan};
pub use policy::Policy;
pub use quota::Quota;
pub use read::{Place, Source, read, read_tenant, schema};
