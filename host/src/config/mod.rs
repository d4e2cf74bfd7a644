//! From Devo's `config.yaml` to what the collector does: `read` finds and parses it, `document` says which keys there are,
//! [`plan`] checks what they mean together.

pub mod document;
mod error;
#[cfg(any(test, fuzzing))]
pub mod laws;
mod permissions;
mod plan;
mod read;
mod unknown;
mod variables;

pub use error::{Cause, ConfigError};
pub use plan::{Component, Identity, Limits, OutputPlan, Persistence, Plan, Receiver, ServicePlan};
pub use read::{Place, Source, read, schema};
