//! Which collector component a service runs.

use std::path::PathBuf;

/// Where the code comes from that pulls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Component {
    /// The one that this program carries.
    Bundled,
    /// Another one, in this file. `key` names it in the configuration, for errors.
    File { path: PathBuf, key: String },
}

impl Component {
    /// The name of the module that pulls: the original's, or one that is of no vendor.
    pub fn puller(&self) -> &'static str {
        match self {
            Self::Bundled => "CloudSekPuller",
            Self::File { .. } => "CollectorPuller",
        }
    }
}
