//! The folder of the tenants: which there are, and what the configuration of one says now. Everything here
//! reads files, and is not for a runtime's worker.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use collector_config::{Cause, ConfigError, Files, Fingerprint, Plan, Policy};
use collector_files::Root;
use collector_model::TenantName;
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
        let name = entry?.file_name();
        let path = folder.join(&name);
        let name = name.to_string_lossy();
        if name.starts_with('.') || !path.is_dir() {
            continue;
        }
        if path.is_symlink() {
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

/// Looks whether there is such a tenant in the folder of the tenants, and if so, at its configuration, unless that is
/// the `known` one; and says where changes of it show.
pub fn look(tenants: &Root, name: &TenantName, known: Option<&Fingerprint>, policy: &Policy) -> (Look, Folders) {
    let gone = |_| (Look::Gone, Folders::new());
    tenants.folder(name.shared()).and_then(|root| look_in(root, known, policy)).unwrap_or_else(gone)
}

fn look_in(root: Root, known: Option<&Fingerprint>, policy: &Policy) -> io::Result<(Look, Folders)> {
    if let Some(known) = known
        && known.now(&root)? == *known
    {
        return Ok((Look::Unchanged, folders(&root, known)));
    }
    let files = Files::within(root.clone())?;
    let plan = plan(&files, policy).map(Box::new);
    let fingerprint = files.fingerprint();
    let folders = folders(&root, &fingerprint);
    Ok((Look::Changed(Configuration { plan, fingerprint }), folders))
}

/// Those that are there, and within the tenant's own.
fn folders(root: &Root, files: &Fingerprint) -> Folders {
    let identity = |name: &Path| {
        let metadata = root.join(name).metadata().ok().filter(|metadata| metadata.is_dir())?;
        Some((name.to_owned(), (metadata.dev(), metadata.ino())))
    };
    files.folders().chain([Path::new("")]).filter_map(identity).collect()
}

/// What the configuration asks for, with everything checked that can be checked while another one still runs.
fn plan(files: &Files, policy: &Policy) -> Result<Plan, ConfigError> {
    let plan = Plan::new(collector_config::read_tenant(files, policy)?, policy)?;
    for service in &plan.services {
        service.api.check().map_err(|error| {
            let key = format!("inputs.{}", service.identity.input);
            Cause::Value { key, reason: error.to_string() }.cure("Correct it there.")
        })?;
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_are_plain_folders_with_plain_names() {
        let folder = std::env::temp_dir().join(format!("devo-collector-tenants-{}", std::process::id()));
        for name in ["acme", "globex-2", ".hidden", "no name"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        std::fs::write(folder.join("notes"), "").unwrap();
        std::os::unix::fs::symlink("acme", folder.join("link")).unwrap();
        let found: Vec<String> = names(&folder).unwrap().iter().map(TenantName::to_string).collect();
        assert_eq!(found, ["acme", "globex-2"]);
        let policy = Policy::hosted();
        let tenants = Root::confined(&folder).unwrap();
        let named = |name: &str| look(&tenants, &TenantName::new(name).unwrap(), None, &policy).0;
        assert!(matches!(named("link"), Look::Gone));
        assert!(matches!(named("nobody"), Look::Gone));
        let Look::Changed(seen) = named("acme") else { panic!("a tenant") };
        assert!(seen.plan.unwrap_err().to_string().contains("acme/config/config.yaml"));
        assert!(matches!(
            look(&tenants, &TenantName::new("acme").unwrap(), Some(&seen.fingerprint), &policy).0,
            Look::Unchanged
        ));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
