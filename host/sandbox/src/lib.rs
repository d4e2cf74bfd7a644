//! The sandbox: a compiled component, and a fresh instance with fresh limits for every call.
//!
//! Scopes that are never mixed: an [`Engine`] lives as long as the process; a [`Sandbox`], the compiled
//! component, as long as somebody runs it; a [`Guest`], the component with what one service lets it reach, as
//! long as the service; an instance as long as one call. [`host`] has the functions that a component can
//! call, each over a view of its own. When a call is due, what its failure means, and where the component
//! comes from are left to the caller.
//!
//! ```
//! use collector_sandbox::{ComponentError, Engine};
//!
//! let engine = Engine::alone(None, &[])?;
//! // What is no component is refused before anything of it runs.
//! let Err(error) = engine.sandbox(b"\0asm\x0d\0\x01\0") else { panic!("it has no exports") };
//! assert!(matches!(error, ComponentError::NoService(_)));
//! assert_eq!(error.remedy(), "Build it for the world devo:collector/collector@2.0.0 in wit/.");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(missing_docs)]

mod bindings;
mod budget;
mod cache;
mod call;
mod compile;
mod engine;
mod error;
mod failed;
mod guest;
pub mod host;
mod instances;
mod linker;
mod meter;
mod pool;
mod sandbox;
mod slow_lane;
mod stopwatch;
mod terminated;
mod ticker;
mod views;
mod world;

#[cfg(test)]
mod tests;

pub use bindings::exports::devo::collector::service::{Budget, Failure, Fault};
pub use budget::{BudgetUse, CallBudget, CallMemory, TenantBudget};
pub use cache::usual_folder as usual_cache_folder;
pub use compile::{Size, compile_if_asked};
pub use engine::Engine;
pub use error::{Compilation, ComponentError};
pub use failed::Failed;
pub use guest::{Guest, Outcome};
pub use sandbox::Sandbox;
pub use terminated::Terminated;
pub use views::Views;
