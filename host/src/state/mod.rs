//! What lasts from one pull to the next: one value per key, each in a file of its own. What a value means, and that a
//! service needs only one, is left to the component. All calls block; on an async thread, run them with
//! `spawn_blocking`.

mod error;
mod file;
mod folder;
mod name;
mod original;
mod store;

pub use error::{Damage, FolderProblem, StateError};
pub use folder::StateFolder;
pub use original::{OriginalError, find as find_original};
pub use store::{Bucket, Store};
