//! The same component on several platforms, held against one list of cases: whoever runs it, it walks,
//! remembers and fails in the same way.
//!
//! A [`Scene`] is a source and a [`Platform`] that runs the collector. A [`Case`] does something to the
//! source and says what the next cycle must do.

mod cases;
mod peer;
mod platform;
mod scene;

pub use cases::{CASES, Case};
pub use peer::{Peer, Summary, node, python};
pub use platform::Platform;
pub use scene::Scene;

use std::fmt;

/// How a cycle ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All that the source has is delivered. How many events that took.
    UpToDate {
        /// Events sent and confirmed.
        sent: u64,
    },
    /// It reported a failure.
    Failed(Failed),
}

/// A failure, as an operator looks it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// `ApiError` and the like.
    pub class: String,
    /// `401` is written `[CODE:0401]`.
    pub code: u16,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [CODE:{:04}]", self.class, self.code)
    }
}

/// The staged component: the file that the host embeds and all others run.
pub fn component() -> std::path::PathBuf {
    crate::collector::workspace().join("target/guest/cloudsek-xvigil.wasm")
}
