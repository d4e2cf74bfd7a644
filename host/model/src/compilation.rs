//! What compiling a component may use.

use std::time::Duration;

/// What compiling one component of a tenant may use. At each of them it is ended, and the component refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompilationLimits {
    /// Address space of the process that compiles, its program included.
    pub memory_in_bytes: u64,
    /// Time in which it computes.
    pub cpu: Duration,
    /// Time from its start to its end, while others may need the machine more.
    pub wall: Duration,
}

impl Default for CompilationLimits {
    fn default() -> Self {
        Self {
            // The collector's own component takes 40 MB of memory and a second of computing for half a
            // megabyte of code: one of the 4 MiB that a tenant's file may have takes seven times as long.
            memory_in_bytes: 512 * 1024 * 1024,
            cpu: Duration::from_secs(30),
            wall: Duration::from_secs(120),
        }
    }
}
