//! The contract as a WIT package in the binary form that registries take.

use anyhow::{Context, Result};
use wit_parser::Resolve;

use crate::staged::workspace;

/// The package of `wit/`, with all that it depends on.
pub fn package() -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(workspace().join("wit")).context("reading wit/")?;
    wit_component::encode(&resolve, package)
}
