//! A folder for one run, removed when all went well and kept when it did not.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// A folder that goes away with this value, unless the thread panics or [`Folder::keep`] was called: then its
/// files tell what happened, and its path is printed.
#[derive(Debug)]
pub struct Folder {
    folder: TempDir,
    keep: bool,
}

impl Folder {
    /// Makes a new, empty folder whose name starts with `name`.
    pub fn new(name: &str) -> Result<Self> {
        // A server that is started in it may give up its rights.
        let permissions = Permissions::from_mode(0o755);
        let folder = tempfile::Builder::new().prefix(&format!("{name}-")).permissions(permissions).tempdir();
        let folder = folder.with_context(|| format!("making a folder for {name}"))?;
        Ok(Self { folder, keep: false })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the folder in place.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.keep || std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("kept for a closer look: {}", self.path().display());
        }
    }
}
