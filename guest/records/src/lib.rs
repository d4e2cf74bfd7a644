//! What is done with every record and every key: found in an answer, told apart, timed, remembered. Apart
//! from the rest of the component, which is compiled to be small, for this is compiled to be fast.

pub mod bytes;
pub mod digests;
pub mod json;
pub mod key;
pub mod keys;
pub mod page;
pub mod record;
pub mod timestamp;
