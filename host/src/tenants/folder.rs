//! The folder of the tenants: which there are, and what the configuration of one says now. Everything here
//! reads files, and is not for a runtime's worker.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use collector_config::{Cause, ConfigError, Files, Fingerprint, Plan, Policy};
use collector_files::{Refusal, Root};
use collector_model::TenantName;
use nix::errno::Errno;
use tracing::warn;

use super::reconcile::{Configuration, Look};

/// The names of all tenants. Files and hidden folders are left alone; what looks like a tenant and can't be
/// one is told.
///
/// # Errors
/// The folder can't be read.
pub fn names(folder: &Path) -> io::Result<BTreeSet<TenantName>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        // As the folder says: to ask the entry itself, which may be another file system's, may take forever.
        let kind = entry.file_type()?;
        if name.starts_with('.') || !(kind.is_dir() || kind.is_symlink() && path.is_dir()) {
            continue;
        }
        if kind.is_symlink() {
            warn!("{} is a symbolic link and no tenant: put the folder itself there", path.display());
            continue;
        }
        match TenantName::new(&name) {
            Some(name) => names.extend([name]),
            None => warn!(
                "{:?} is no name for a tenant: it may have letters, digits, '.', '_' and '-', the first one a letter or a \
                 digit, and at most 64 of them; rename the folder",
                path
            ),
        }
    }
    Ok(names)
}

/// A device and an inode: what a folder is, whatever its name leads to later.
pub type Identity = (u64, u64);

/// Folders of a tenant in which a change of its configuration shows, relative to the tenant's own.
pub type Folders = BTreeMap<PathBuf, Identity>;

/// Hard links can't be told from the files that they lead to: only the system keeps tenants from making them.
pub fn warn_of_hard_links() {
    let setting = std::fs::read_to_string("/proc/sys/fs/protected_hardlinks");
    if setting.is_ok_and(|setting| setting.trim() == "0") {
        warn!(
            "This machine lets users make hard links to files of others. If tenants can write to their folders, set the \
             sysctl fs.protected_hardlinks to 1"
        );
    }
}

/// Looks whether there is such a tenant in the folder of the tenants, and if so, at its configuration, unless
/// that is the `known` one; and says where changes of it show.
///
/// # Errors
/// It can't be told, as where this process has too many files open.
pub fn look(
    tenants: &Root,
    name: &TenantName,
    known: Option<&Fingerprint>,
    policy: &Policy,
) -> io::Result<(Look, Folders)> {
    match tenants.folder(name.shared()) {
        Ok(root) => look_in(root, name, known, policy),
        Err(error) if is_absence(&error) => Ok((Look::Gone, Folders::new())),
        Err(error) => Err(error),
    }
}

/// Whether the system says that there is no such folder, and not that it can't be opened just now.
fn is_absence(error: &io::Error) -> bool {
    let absent = [Errno::ENOENT, Errno::ENOTDIR, Errno::ELOOP, Errno::EACCES];
    Refusal::of(error).is_some() || error.raw_os_error().is_some_and(|code| absent.contains(&Errno::from_raw(code)))
}

fn look_in(root: Root, name: &TenantName, known: Option<&Fingerprint>, policy: &Policy) -> io::Result<(Look, Folders)> {
    if let Some(known) = known
        && known.now(&root)? == *known
    {
        return Ok((Look::Unchanged, folders(&root, known)?));
    }
    let files = Files::within(root.clone(), name.clone())?;
    let plan = plan(&files, policy).map(Box::new);
    let fingerprint = files.fingerprint();
    let folders = folders(&root, &fingerprint)?;
    Ok((Look::Changed(Configuration { plan, fingerprint }), folders))
}

/// Those that are there, and within the tenant's own.
fn folders(root: &Root, files: &Fingerprint) -> io::Result<Folders> {
    let mut folders = Folders::new();
    for name in files.folders().chain([Path::new("")]) {
        match root.join(name).metadata() {
            Ok(metadata) if metadata.is_dir() => {
                folders.insert(name.to_owned(), (metadata.dev(), metadata.ino()));
            }
            Err(error) if !is_absence(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(folders)
}

/// What the configuration asks for, with everything checked that can be checked while another one still runs.
fn plan(files: &Files, policy: &Policy) -> Result<Plan, ConfigError> {
    let plan = Plan::new(collector_config::read_tenant(files, policy)?, policy)?;
    for service in &plan.services {
        service.api.check().map_err(|error| {
            let key = format!("inputs.{}", service.identity.input());
            Cause::Value { key, reason: error.to_string() }.remedy("Correct it there.")
        })?;
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_are_plain_folders_with_plain_names() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path();
        for name in ["acme", "globex-2", ".hidden", "no name"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        std::fs::write(folder.join("notes"), "").unwrap();
        std::os::unix::fs::symlink("acme", folder.join("link")).unwrap();
        let found: Vec<String> = names(folder).unwrap().iter().map(TenantName::to_string).collect();
        assert_eq!(found, ["acme", "globex-2"]);
        let policy = Policy::hosted();
        let tenants = Root::confined(folder).unwrap();
        let named = |name: &str| look(&tenants, &TenantName::new(name).unwrap(), None, &policy).unwrap().0;
        assert!(matches!(named("link"), Look::Gone));
        assert!(matches!(named("nobody"), Look::Gone));
        let Look::Changed(seen) = named("acme") else { panic!("a tenant") };
        assert!(seen.plan.unwrap_err().to_string().contains("acme/config/config.yaml"));
        assert!(matches!(
            look(&tenants, &TenantName::new("acme").unwrap(), Some(&seen.fingerprint), &policy).unwrap().0,
            Look::Unchanged
        ));
    }
}
