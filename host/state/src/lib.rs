//! What lasts from one pull to the next: one value per key, in a file of its own, in redis, or in memory.
//! What is read is what was written, or an error, whenever the process or the machine stopped.
//!
//! What a value means, and that a service needs only one, is left to the component. The state of the original
//! collector is read by [`find_original`], and left where it is. All calls block; on an async thread, run
//! them on [`Bucket::threads`].
//!
//! ```
//! use collector_files::RootedPath;
//! use collector_state::{StateFolder, Store};
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path().join("state");
//! let folder = RootedPath::of_operator(folder);
//! let store = Store::files(StateFolder::open(folder.clone())?);
//! let bucket = store.bucket("cloudsek;cloudsek_1;alerts");
//! bucket.set("state", b"where the last pull stood")?;
//! assert_eq!(bucket.get("state")?.as_deref(), Some(&b"where the last pull stood"[..]));
//!
//! // The folder is locked: a second collector on it would overwrite what the first one knows.
//! assert!(StateFolder::open(folder).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(missing_docs)]

mod envelope;
mod error;
mod file;
mod folder;
mod name;
mod original;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod quota;
mod redis;
mod store;

pub use error::{Damage, FolderProblem, RedisProblem, StateError};
pub use folder::StateFolder;
pub use name::file_stem;
pub use original::{OriginalError, find as find_original};
pub use redis::{RedisDatabase, RedisSettings};
pub use store::{Bucket, Store};

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;
