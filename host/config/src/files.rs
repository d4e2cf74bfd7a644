//! The files that a configuration names, looked up in its product folder.
//!
//! A hosted tenant's must be in its own folder, symbolic links included: otherwise it could have the
//! operator's files, or a neighbour's, sent somewhere as a token, or overwrite them. That holds whenever one
//! is opened, for a name leads nowhere but beneath the folder's handle; here it is said early, under the key
//! that has the name. What was looked up is noted with its content, so that a later change of any of it is
//! noticed, and nothing else is taken for one.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use collector_files::{Refusal, Root, RootedPath, Threads};
use collector_model::TenantName;
use secrecy::zeroize::Zeroizing;

use super::error::{ConfigError, refused};

/// The largest file that a tenant's configuration may name. A bundle of every public authority is a quarter
/// of a megabyte.
const MAX_FILE_IN_BYTES: u64 = 4 * 1024 * 1024;

/// The largest configuration of a tenant. An ordinary one has two kilobytes; those with long masks have a
/// hundred.
const MAX_CONFIGURATION_IN_BYTES: u64 = 1024 * 1024;

/// Looks files up in a product folder. Clones share the notes.
#[derive(Debug, Clone)]
pub struct Files {
    root: Root,
    tenant: Option<Tenant>,
}

/// Whose files they are, where they are not the operator's.
#[derive(Debug, Clone)]
struct Tenant {
    name: TenantName,
    noted: Arc<Mutex<Fingerprint>>,
}

/// A tenant's folder and the files that were looked up in it, with what was in them. Two that are equal mean
/// that nothing has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Device and inode: another folder of the same name is a change, for what runs holds on to the one
    /// before.
    folder: Option<(u64, u64)>,
    contents: BTreeMap<PathBuf, u64>,
}

impl Files {
    /// Of the operator's own folder: names may lead anywhere.
    pub fn anywhere(product: PathBuf) -> Self {
        Self { root: Root::unrestricted(product), tenant: None }
    }

    /// Of a tenant's folder, which nothing may lead out of.
    ///
    /// # Errors
    /// The folder can't be looked at.
    pub fn within(root: Root, name: TenantName) -> io::Result<Self> {
        let noted = Fingerprint { folder: Some(root.identity()?), contents: BTreeMap::new() };
        Ok(Self { root, tenant: Some(Tenant { name, noted: Arc::new(Mutex::new(noted)) }) })
    }

    /// The tenant whose they are; none if they are the operator's.
    pub(super) fn tenant(&self) -> Option<&TenantName> {
        self.tenant.as_ref().map(|tenant| &tenant.name)
    }

    /// The product folder, to tell somebody.
    pub fn product(&self) -> &Path {
        self.root.path()
    }

    /// The threads of whoever has these files.
    pub(super) fn threads(&self) -> Threads {
        self.root.threads().clone()
    }

    /// What was looked up so far, with what was in it before it was used.
    pub fn fingerprint(&self) -> Fingerprint {
        self.tenant
            .as_ref()
            .map(|tenant| tenant.noted.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .unwrap_or_default()
    }

    /// A file that is read: `name` is relative to the product folder.
    ///
    /// # Errors
    /// For a tenant: it is outside of its folder, no regular file, or too large. One that does not exist is
    /// none.
    pub(super) fn readable(&self, key: &str, name: impl AsRef<Path>) -> Result<RootedPath, ConfigError> {
        self.bounded(key, name.as_ref(), MAX_FILE_IN_BYTES)
    }

    /// As [`Files::readable`], for the configuration itself.
    pub(super) fn configuration(&self, name: &str) -> Result<RootedPath, ConfigError> {
        self.bounded("the configuration", Path::new(name), MAX_CONFIGURATION_IN_BYTES)
    }

    /// A relative certificate name is looked up in `certs/` as the original does, then beside it.
    pub(super) fn certificate(&self, key: &str, name: &str) -> Result<RootedPath, ConfigError> {
        let in_certs = self.readable(key, Path::new("certs").join(name))?;
        let beside = self.readable(key, name)?;
        Ok(if beside.is_file() && !in_certs.is_file() { beside } else { in_certs })
    }

    /// A file or folder that is written to, and may not exist yet.
    ///
    /// # Errors
    /// For a tenant: it is outside of its folder.
    pub(super) fn writable(&self, key: &str, name: &str) -> Result<RootedPath, ConfigError> {
        let path = self.inside(key, Path::new(name))?;
        match path.try_exists() {
            Err(error) if Refusal::of(&error) == Some(&Refusal::Outside) => Err(outside(key, Path::new(name))),
            _ => Ok(path),
        }
    }

    fn bounded(&self, key: &str, name: &Path, most: u64) -> Result<RootedPath, ConfigError> {
        let path = self.inside(key, name)?;
        let Some(Tenant { noted, .. }) = &self.tenant else { return Ok(path) };
        let content = read(&path);
        let digest = digest(&content);
        noted.lock().unwrap_or_else(PoisonError::into_inner).contents.entry(name.to_owned()).or_insert(digest);
        let refusal = match &content {
            Ok(content) if content.len() as u64 > most => Some(Refusal::TooLarge { size: content.len() as u64, most }),
            Ok(_) => None,
            Err(error) => Refusal::of(error).cloned(),
        };
        match refusal {
            None => Ok(path.at_most(most)),
            Some(Refusal::Outside) => Err(outside(key, name)),
            Some(refusal) => Err(refused(key, format!("{}: {refusal}", path.display()), "Name another file.")),
        }
    }

    fn inside(&self, key: &str, name: &Path) -> Result<RootedPath, ConfigError> {
        let plain = name.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if plain || !self.root.is_confined() { Ok(self.root.join(name)) } else { Err(outside(key, name)) }
    }
}

impl Fingerprint {
    /// The same files as they are now in a folder. Reads them.
    ///
    /// # Errors
    /// The folder can't be looked at.
    pub fn now(&self, root: &Root) -> io::Result<Self> {
        let content = |name: &PathBuf| (name.clone(), digest(&read(&root.join(name))));
        Ok(Self { folder: Some(root.identity()?), contents: self.contents.keys().map(content).collect() })
    }

    /// The folders in which a change of these files shows, relative to the tenant's own.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.contents.keys().filter_map(|name| name.parent())
    }
}

fn outside(key: &str, name: &Path) -> ConfigError {
    let reason = format!("{} leads out of the tenant's own folder", name.display());
    refused(key, reason, "Name a file in that folder, relative to it.")
}

fn read(path: &RootedPath) -> io::Result<Zeroizing<Vec<u8>>> {
    path.read(MAX_FILE_IN_BYTES).map(Zeroizing::new)
}

/// Stands for what is in a file, or for why nothing is.
fn digest(content: &io::Result<Zeroizing<Vec<u8>>>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match content {
        Ok(content) => content.hash(&mut hasher),
        Err(error) => (error.kind(), Refusal::of(error).map(Refusal::to_string)).hash(&mut hasher),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// A tenant's folder within one that has a secret of somebody else.
    struct Scratch(TempDir);

    impl Scratch {
        fn new() -> Self {
            let around = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(around.path().join("acme/certs")).unwrap();
            std::fs::write(around.path().join("secret"), "s").unwrap();
            Self(around)
        }

        fn join(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn tenant(&self) -> PathBuf {
            self.join("acme")
        }

        fn root(&self) -> Root {
            Root::confined(&self.tenant()).unwrap()
        }

        fn files(&self) -> Files {
            Files::within(self.root(), TenantName::new("acme").unwrap()).unwrap()
        }
    }

    #[test]
    fn nothing_leads_out_of_a_tenants_folder() {
        let scratch = Scratch::new();
        let tenant = scratch.tenant();
        symlink("../secret", tenant.join("link")).unwrap();
        symlink("../nowhere", tenant.join("dangling")).unwrap();
        symlink("..", tenant.join("up")).unwrap();
        let files = scratch.files();
        for name in ["../secret", "/etc/passwd", "certs/../../secret", "link", "up/secret", "dangling", "up/new/file"] {
            let read = files.readable("inputs.a.token_file", name).unwrap_err().to_string();
            assert!(read.contains("inputs.a.token_file") && read.contains("[CODE:0008]"), "{read}");
            assert!(files.writable("outputs.a.config.dead_letters_file", name).is_err(), "{name}");
        }
        assert!(Files::anywhere(tenant).readable("inputs.a.token_file", "../secret").is_ok());
    }

    #[test]
    fn links_within_the_folder_are_followed_and_what_is_not_there_yet_may_be_written() {
        let scratch = Scratch::new();
        let tenant = scratch.tenant();
        std::fs::write(tenant.join("certs/chain.crt"), "c").unwrap();
        symlink("certs/chain.crt", tenant.join("chain.crt")).unwrap();
        let files = scratch.files();
        assert_eq!(files.readable("k", "chain.crt").unwrap().path(), tenant.join("chain.crt"));
        assert_eq!(files.certificate("k", "chain.crt").unwrap().path(), tenant.join("certs/chain.crt"));
        assert_eq!(files.writable("k", "dead_letters/new/a").unwrap().path(), tenant.join("dead_letters/new/a"));
    }

    #[test]
    fn what_is_no_file_or_too_large_is_not_read() {
        let scratch = Scratch::new();
        let (tenant, files) = (scratch.tenant(), scratch.files());
        assert!(files.readable("k", "certs").unwrap_err().to_string().contains("no regular file"));
        let large = File::create(tenant.join("large")).unwrap();
        large.set_len(MAX_FILE_IN_BYTES + 1).unwrap();
        assert!(files.readable("k", "large").unwrap_err().to_string().contains("4194305 bytes"));
    }

    #[test]
    fn a_change_of_a_noted_file_shows_and_no_other() {
        let scratch = Scratch::new();
        let tenant = scratch.tenant();
        std::fs::write(tenant.join("token"), "one").unwrap();
        let files = scratch.files();
        let now = |fingerprint: &Fingerprint| fingerprint.now(&scratch.root()).unwrap();
        files.readable("k", "token").unwrap();
        files.readable("k", "missing").unwrap();
        let before = files.fingerprint();
        assert_eq!(now(&before), before);
        std::fs::write(tenant.join("other"), "x").unwrap();
        std::fs::write(tenant.join("token"), "one").unwrap();
        assert_eq!(now(&before), before, "written again with the same content");
        std::fs::write(tenant.join("token"), "two").unwrap();
        let changed = now(&before);
        assert_ne!(changed, before);
        std::fs::write(tenant.join("missing"), "").unwrap();
        assert_ne!(now(&changed), changed);
        // Another folder with the same files.
        std::fs::rename(&tenant, scratch.join("aside")).unwrap();
        std::fs::create_dir(&tenant).unwrap();
        for name in ["token", "missing"] {
            std::fs::copy(scratch.join("aside").join(name), tenant.join(name)).unwrap();
        }
        let seen = now(&changed);
        std::fs::rename(&tenant, scratch.join("other")).unwrap();
        std::fs::rename(scratch.join("aside"), &tenant).unwrap();
        assert_ne!(seen, now(&changed));
    }
}
