//! What lasts from one pull to the next: one value per key, in a file of its own or in redis. What a value means, and that a
//! service needs only one, is left to the component. All calls block; on an async thread, run them with
//! `spawn_blocking`.

mod envelope;
mod error;
mod file;
mod folder;
#[cfg(any(test, fuzzing))]
pub mod laws;
mod name;
mod original;
mod redis;
mod store;

pub use error::{Damage, FolderProblem, RedisProblem, StateError};
pub use folder::StateFolder;
#[cfg(test)]
pub(crate) use folder::scratch::Scratch;
pub use name::file_stem;
pub use original::{OriginalError, find as find_original};
pub use redis::{RedisDatabase, RedisSettings};
pub use store::{Bucket, Store};
