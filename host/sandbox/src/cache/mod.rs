//! Compiled components on disk, so that only the first start compiles: mapped from their files, they cost
//! neither the time nor the memory of the compiler.
//!
//! A compiled component is native code that runs outside the sandbox. So one is loaded only from a file that
//! nobody but the user that we run as can have written, see [`folder`]. Nothing here is needed: without a
//! cache, or with one that can't be trusted, components are compiled.
//!
//! The folder has a bound, and so has what one tenant leaves in it; what somebody runs is not removed.

mod folder;

use std::fmt::Write;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use sha2::{Digest, Sha256};
use tracing::{debug, warn};
use wasmtime::Engine;
use wasmtime::component::Component;

use folder::{Folder, Refusal};

/// The cache's folder where the command line names none: `devo-collector` in `$XDG_CACHE_HOME`, or in
/// `~/.cache`.
pub fn usual_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(caches.join("devo-collector"))
}

/// Compiled components of one tenant that nobody runs and that are kept all the same: for a tenant who goes
/// back to the one before. Whoever has a new one every minute fills nothing.
const KEPT_OF_A_TENANT: usize = 4;

/// A folder with compiled components.
pub(crate) struct Cache {
    folder: Folder,
    /// What was used since the start, the latest last.
    known: Mutex<Vec<Known>>,
}

/// A compiled component in the folder.
struct Known {
    name: String,
    /// The folder of the tenant that brought it.
    owner: PathBuf,
    in_use: Weak<()>,
}

impl Known {
    fn is_used(&self) -> bool {
        self.in_use.strong_count() > 0
    }
}

/// A component is in use as long as this lives: its file is left where it is.
pub(crate) type InUse = Arc<()>;

impl Cache {
    /// Opens the folder, made for the owner alone if it does not exist.
    pub(crate) fn open(path: &Path) -> Result<Self, Refusal> {
        Ok(Self { folder: Folder::open(path)?, known: Mutex::default() })
    }

    /// The compiled form of a component that is in this folder of a tenant, from its file if there is one and
    /// it can be trusted.
    pub(crate) fn load(&self, engine: &Engine, component: &[u8], owner: &Path) -> Option<(Component, InUse)> {
        let name = file_name(engine, component);
        match self.open_file(engine, &name) {
            Ok(component) => return Some((component, self.note(&name, owner))),
            Err(Refusal::Missing) => {}
            Err(reason) => warn!(
                "The compiled component {} is not used: {reason}. The component is compiled anew and the file replaced.",
                self.folder.path().join(&name).display()
            ),
        }
        None
    }

    /// Notes that a component is used, and removes what its owner has beyond what is kept.
    fn note(&self, name: &str, owner: &Path) -> InUse {
        let mut known = self.known();
        let before = known.iter().position(|known| known.name == name && known.owner == owner);
        let in_use = before.and_then(|place| known.remove(place).in_use.upgrade()).unwrap_or_default();
        known.push(Known { name: name.to_owned(), owner: owner.to_owned(), in_use: Arc::downgrade(&in_use) });
        let unused = known.iter().filter(|known| known.owner == owner && !known.is_used());
        let mut surplus: Vec<String> = unused.map(|known| known.name.clone()).collect();
        surplus.truncate(surplus.len().saturating_sub(KEPT_OF_A_TENANT));
        known.retain(|known| known.owner != owner || !surplus.contains(&known.name));
        // Others may have brought the same one.
        surplus.retain(|name| !known.iter().any(|known| known.name == *name));
        drop(known);
        surplus.iter().for_each(|name| self.folder.remove(name));
        in_use
    }

    fn known(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what was compiled of a component in this folder of a tenant for the next time. It is no harm if
    /// that can't be done.
    pub(crate) fn keep(&self, engine: &Engine, component: &[u8], owner: &Path, code: &[u8]) -> InUse {
        let name = file_name(engine, component);
        let in_use = self.note(&name, owner);
        let is_used = |name: &str| self.known().iter().any(|known| known.name == name && known.is_used());
        if let Err(reason) = self.folder.write(&name, code, is_used) {
            debug!("The compiled component is not kept: {}: {reason}", self.folder.path().display());
        }
        in_use
    }

    fn open_file(&self, engine: &Engine, name: &str) -> Result<Component, Refusal> {
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
