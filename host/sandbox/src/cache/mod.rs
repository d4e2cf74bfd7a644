//! Compiled components on disk, so that only the first start compiles: mapped from their files, they cost
//! neither the time nor the memory of the compiler.
//!
//! A compiled component is native code that runs outside the sandbox. So one is loaded only from a file that
//! nobody but the user that we run as can have written, see [`folder`]. Nothing here is needed: without a
//! cache, or with one that can't be trusted, components are compiled.

mod folder;

use std::fmt::Write;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tracing::{debug, warn};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::ComponentError;
use folder::{Folder, Refusal};

/// The cache's folder where the command line names none: `devo-collector` in `$XDG_CACHE_HOME`, or in
/// `~/.cache`.
pub fn usual_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(caches.join("devo-collector"))
}

/// A folder with compiled components.
pub(crate) struct Cache {
    folder: Folder,
}

impl Cache {
    /// Opens the folder, made for the owner alone if it does not exist.
    pub(crate) fn open(path: &Path) -> Result<Self, Refusal> {
        Ok(Self { folder: Folder::open(path)? })
    }

    /// The compiled form of a component, from its file if that can be trusted, else by `compile` and kept for
    /// the next time.
    pub(crate) fn load_or(
        &self,
        engine: &Engine,
        component: &[u8],
        compile: impl FnOnce() -> Result<Component, ComponentError>,
    ) -> Result<Component, ComponentError> {
        let name = file_name(engine, component);
        match self.load(engine, &name) {
            Ok(component) => return Ok(component),
            Err(Refusal::Missing) => {}
            Err(reason) => warn!(
                "The compiled component {} is not used: {reason}. The component is compiled anew and the file replaced.",
                self.folder.path().join(&name).display()
            ),
        }
        let component = compile()?;
        let kept = component.serialize().map_err(Refusal::Engine).and_then(|code| self.folder.write(&name, &code));
        if let Err(reason) = kept {
            debug!("The compiled component is not kept: {}: {reason}", self.folder.path().display());
        }
        Ok(component)
    }

    fn load(&self, engine: &Engine, name: &str) -> Result<Component, Refusal> {
        let file = self.folder.open_file(name)?;
        // SAFETY: the code must be what the engine wrote, unchanged as long as it is mapped. What is mapped
        // is the very file that was checked, by its descriptor. It and its folder belong to our user and can
        // be written by no other, so that whoever can put other code there can run as our user anyway; its
        // hash says that it is whole. The engine itself refuses what another version of it, or one with other
        // settings, has compiled. No one writes to a file that has its name: a new one takes its place, and
        // this one stays as it is until it is unmapped.
        unsafe { Component::deserialize_file(engine, file.path()) }.map_err(Refusal::Engine)
    }
}

/// Says which component this is, and for which engine, settings and processor it was compiled.
fn file_name(engine: &Engine, component: &[u8]) -> String {
    let mut hasher = Sha256Hasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.write(component);
    let mut name = String::with_capacity(70);
    for byte in hasher.0.finalize() {
        // A string takes everything.
        let _ = write!(name, "{byte:02x}");
    }
    name + folder::SUFFIX
}

/// Feeds what a type says of itself to SHA-256.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0.clone().finalize()[..8]);
        u64::from_be_bytes(first)
    }
}

#[cfg(test)]
mod tests;
