//! The files that a configuration names, looked up in its product folder.
//!
//! A hosted tenant's must be in its own folder, symbolic links included: otherwise it could have the
//! operator's files, or a neighbour's, sent somewhere as a token, or overwrite them. What was looked up is
//! noted with its content, so that a later change of any of it is noticed, and nothing else is taken for one.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::error::{ConfigError, refused};

/// The largest file that a tenant's configuration may name. A bundle of every public authority is a quarter
/// of a megabyte.
const MAX_FILE_IN_BYTES: u64 = 4 * 1024 * 1024;

/// The largest configuration of a tenant. An ordinary one has two kilobytes; those with long masks have a
/// hundred.
pub(super) const MAX_CONFIGURATION_IN_BYTES: u64 = 1024 * 1024;

/// Looks files up in a product folder. Clones share the notes.
#[derive(Debug, Clone)]
pub struct Files {
    product: PathBuf,
    bounds: Option<Bounds>,
}

/// The folder that nothing may lead out of, without links, and what was looked up in it.
#[derive(Debug, Clone)]
struct Bounds {
    root: PathBuf,
    noted: Arc<Mutex<Fingerprint>>,
}

/// Files with what was in them. Two that are equal mean that nothing has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fingerprint(BTreeMap<PathBuf, u64>);

impl Files {
    /// Of the operator's own folder: names may lead anywhere.
    pub fn anywhere(product: PathBuf) -> Self {
        Self { product, bounds: None }
    }

    /// Of a tenant's folder, which nothing may lead out of.
    ///
    /// # Errors
    /// There is no such folder, or it can't be read.
    pub fn within(product: &Path) -> io::Result<Self> {
        let bounds = Bounds { root: product.canonicalize()?, noted: Arc::default() };
        Ok(Self { product: product.to_owned(), bounds: Some(bounds) })
    }

    /// The product folder.
    pub fn product(&self) -> &Path {
        &self.product
    }

    /// What was looked up so far, with what was in it before it was used.
    pub fn fingerprint(&self) -> Fingerprint {
        self.bounds.as_ref().map(|bounds| bounds.noted().clone()).unwrap_or_default()
    }

    /// A file that is read: `name` is relative to the product folder.
    ///
    /// # Errors
    /// For a tenant: it is outside of its folder, no regular file, or too large. One that does not exist is
    /// none.
    pub(super) fn readable(&self, key: &str, name: impl AsRef<Path>) -> Result<PathBuf, ConfigError> {
        self.bounded(key, name.as_ref(), MAX_FILE_IN_BYTES)
    }

    /// As [`Files::readable`], for the configuration itself.
    pub(super) fn configuration(&self, name: &str) -> Result<PathBuf, ConfigError> {
        self.bounded("the configuration", Path::new(name), MAX_CONFIGURATION_IN_BYTES)
    }

    /// A relative certificate name is looked up in `certs/` as the original does, then beside it.
    pub(super) fn certificate(&self, key: &str, name: &str) -> Result<PathBuf, ConfigError> {
        let in_certs = self.readable(key, Path::new("certs").join(name))?;
        let beside = self.readable(key, name)?;
        Ok(if beside.is_file() && !in_certs.is_file() { beside } else { in_certs })
    }

    /// A file or folder that is written to, and may not exist yet.
    ///
    /// # Errors
    /// For a tenant: it is outside of its folder.
    pub(super) fn writable(&self, key: &str, name: &str) -> Result<PathBuf, ConfigError> {
        self.inside(key, Path::new(name))
    }

    fn bounded(&self, key: &str, name: &Path, most: u64) -> Result<PathBuf, ConfigError> {
        let path = self.inside(key, name)?;
        let Some(bounds) = &self.bounds else { return Ok(path) };
        if let Ok(metadata) = path.metadata() {
            let reason = if !metadata.is_file() {
                Some("it is no regular file".to_owned())
            } else if metadata.len() > most {
                Some(format!("it has {} bytes, and {most} is the most for a tenant of this host", metadata.len()))
            } else {
                None
            };
            if let Some(reason) = reason {
                bounds.note(&path);
                return Err(refused(key, format!("{}: {reason}", path.display()), "Name another file."));
            }
        }
        bounds.note(&path);
        Ok(path)
    }

    fn inside(&self, key: &str, name: &Path) -> Result<PathBuf, ConfigError> {
        let path = self.product.join(name);
        let Some(bounds) = &self.bounds else { return Ok(path) };
        let plain = name.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if plain && bounds.holds(&path) {
            return Ok(path);
        }
        bounds.note(&path);
        let reason = format!("{} leads out of the tenant's own folder", name.display());
        Err(refused(key, reason, "Name a file in that folder, relative to it."))
    }
}

impl Bounds {
    /// Whether the path, or as much of it as exists, is within the root when all links are followed. A link
    /// that leads nowhere yet is not: it could be followed later.
    fn holds(&self, path: &Path) -> bool {
        let existing = path.ancestors().find(|part| part.symlink_metadata().is_ok());
        existing.and_then(|part| part.canonicalize().ok()).is_some_and(|real| real.starts_with(&self.root))
    }

    fn note(&self, path: &Path) {
        let content = digest(path);
        self.noted().0.entry(path.to_owned()).or_insert(content);
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Fingerprint> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fingerprint {
    /// The same files as they are now. Reads them.
    pub fn now(&self) -> Self {
        Self(self.0.keys().map(|path| (path.clone(), digest(path))).collect())
    }

    /// The folders in which a change of these files shows.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().filter_map(|path| path.parent())
    }
}

/// Stands for what is in a file, or for why nothing is.
fn digest(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    // A pipe would be waited for, and the end of a device never comes.
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => {
            metadata.len().hash(&mut hasher);
            let mut content = secrecy::zeroize::Zeroizing::new(Vec::new());
            let read = File::open(path).and_then(|file| file.take(MAX_FILE_IN_BYTES).read_to_end(&mut content));
            read.map_err(|error| error.kind()).hash(&mut hasher);
            content.hash(&mut hasher);
        }
        Ok(metadata) => format!("{:?}", metadata.file_type()).hash(&mut hasher),
        Err(error) => error.kind().hash(&mut hasher),
    }
    // A link that leads elsewhere than before is a change, even to a file with the same content.
    path.canonicalize().ok().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// A tenant's folder within one that has a secret of somebody else. It goes with the first of the two.
    fn scratch() -> (TempDir, PathBuf) {
        let around = tempfile::tempdir().unwrap();
        let tenant = around.path().join("acme");
        std::fs::create_dir_all(tenant.join("certs")).unwrap();
        std::fs::write(around.path().join("secret"), "s").unwrap();
        (around, tenant)
    }

    #[test]
    fn nothing_leads_out_of_a_tenants_folder() {
        let (_around, tenant) = scratch();
        symlink("../secret", tenant.join("link")).unwrap();
        symlink("../nowhere", tenant.join("dangling")).unwrap();
        symlink("..", tenant.join("up")).unwrap();
        let files = Files::within(&tenant).unwrap();
        for name in ["../secret", "/etc/passwd", "certs/../../secret", "link", "up/secret", "dangling", "up/new/file"] {
            let read = files.readable("inputs.a.token_file", name).unwrap_err().to_string();
            assert!(read.contains("inputs.a.token_file") && read.contains("[CODE:0008]"), "{read}");
            assert!(files.writable("outputs.a.config.dead_letters_file", name).is_err(), "{name}");
        }
        assert!(Files::anywhere(tenant).readable("inputs.a.token_file", "../secret").is_ok());
    }

    #[test]
    fn links_within_the_folder_are_followed_and_what_is_not_there_yet_may_be_written() {
        let (_around, tenant) = scratch();
        std::fs::write(tenant.join("certs/chain.crt"), "c").unwrap();
        symlink("certs/chain.crt", tenant.join("chain.crt")).unwrap();
        let files = Files::within(&tenant).unwrap();
        assert_eq!(files.readable("k", "chain.crt").unwrap(), tenant.join("chain.crt"));
        assert_eq!(files.certificate("k", "chain.crt").unwrap(), tenant.join("certs/chain.crt"));
        assert_eq!(files.writable("k", "dead_letters/new/a").unwrap(), tenant.join("dead_letters/new/a"));
    }

    #[test]
    fn what_is_no_file_or_too_large_is_not_read() {
        let (_around, tenant) = scratch();
        let files = Files::within(&tenant).unwrap();
        assert!(files.readable("k", "certs").unwrap_err().to_string().contains("no regular file"));
        let large = File::create(tenant.join("large")).unwrap();
        large.set_len(MAX_FILE_IN_BYTES + 1).unwrap();
        assert!(files.readable("k", "large").unwrap_err().to_string().contains("4194305 bytes"));
    }

    #[test]
    fn a_change_of_a_noted_file_shows_and_no_other() {
        let (_around, tenant) = scratch();
        std::fs::write(tenant.join("token"), "one").unwrap();
        let files = Files::within(&tenant).unwrap();
        files.readable("k", "token").unwrap();
        files.readable("k", "missing").unwrap();
        let before = files.fingerprint();
        assert_eq!(before.now(), before);
        std::fs::write(tenant.join("other"), "x").unwrap();
        std::fs::write(tenant.join("token"), "one").unwrap();
        assert_eq!(before.now(), before, "written again with the same content");
        std::fs::write(tenant.join("token"), "two").unwrap();
        let changed = before.now();
        assert_ne!(changed, before);
        std::fs::write(tenant.join("missing"), "").unwrap();
        assert_ne!(changed.now(), changed);
    }
}
