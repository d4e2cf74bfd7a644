//! Compiling what a tenant brings, where it hurts nobody: after a look at its sizes, in a process of its own
//! that has limits, knows nothing, and is the only one of its kind.
//!
//! A component of 90 KB can keep the compiler busy for minutes and make it take gigabytes, and nothing within
//! a process can be stopped from the outside. So this program starts itself once more, under another name,
//! hands the component over on standard input and takes the code from standard output. What comes back is
//! native code that runs outside the sandbox: it is trusted as much as the compiler is, see
//! `docs/decisions/0012-compiling-in-a-child.md`.

mod child;
mod process;
mod sizes;

use collector_model::CompilationLimits;
use tokio::sync::Semaphore;

pub use child::compile_if_asked;
pub use sizes::Size;
pub(crate) use sizes::{check_memories, check_sizes};

use crate::error::ComponentError;

/// Compiles components of tenants, one at a time.
pub(crate) struct Compiler {
    limits: CompilationLimits,
    /// Whoever waits has its turn in the order in which it came.
    turns: Semaphore,
}

impl Compiler {
    pub(crate) fn new(limits: CompilationLimits) -> Self {
        Self { limits, turns: Semaphore::new(1) }
    }

    /// Waits until nobody else compiles.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        // The semaphore is never closed.
        Turn { limits: self.limits, _permit: self.turns.acquire().await.ok() }
    }
}

/// The right to compile. Until it is dropped, nobody else has it.
pub(crate) struct Turn<'a> {
    limits: CompilationLimits,
    _permit: Option<tokio::sync::SemaphorePermit<'a>>,
}

impl Turn<'_> {
    /// The code of a component. Dropping the future ends the process that computes it.
    pub(crate) async fn compile(&self, component: &[u8]) -> Result<Vec<u8>, ComponentError> {
        process::compile(component, &self.limits).await
    }
}
