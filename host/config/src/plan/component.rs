//! Which collector component a service runs.

use collector_files::RootedPath;

/// Where the code comes from that pulls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Component {
    /// The one that this program carries.
    Bundled,
    /// Another one, in this file. `key` names it in the configuration, for errors.
    File {
        /// The file.
        path: RootedPath,
        /// The key that names it.
        key: String,
    },
}
