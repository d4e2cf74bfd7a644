//! The components that `just guest` has built.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The collector's name.
pub const COLLECTOR: &str = "cloudsek-xvigil";

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Where the component of that name is.
pub fn path(name: &str) -> PathBuf {
    workspace().join("target/guest").join(format!("{name}.wasm"))
}

/// Its bytes.
pub fn read(name: &str) -> Result<Vec<u8>> {
    let path = path(name);
    std::fs::read(&path).with_context(|| format!("there is no {}: run `just guest`", path.display()))
}
