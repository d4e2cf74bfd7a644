//! The folder of the tenants: which there are, and what the configuration of one says now. Everything here
//! reads files, and is not for a runtime's worker.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use collector_config::{Cause, ConfigError, Files, Fingerprint, Plan, Policy};
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

/// Looks whether there is such a tenant, and if so, at its configuration, unless that is the `known` one.
pub fn look(folder: &Path, name: &TenantName, known: Option<&Fingerprint>, policy: &Policy) -> Look {
    let product = folder.join(name.shared().as_ref());
    if product.is_symlink() || !product.is_dir() {
        return Look::Gone;
    }
    if let Some(known) = known
        && known.now() == *known
    {
        return Look::Unchanged;
    }
    let files = match Files::within(&product) {
        Ok(files) => files,
        Err(_) => return Look::Gone,
    };
    let plan = plan(&files, policy).map(Box::new);
    Look::Changed(Configuration { plan, fingerprint: files.fingerprint() })
}

/// What the configuration asks for, with everything checked that can be checked while another one still runs.
fn plan(files: &Files, policy: &Policy) -> Result<Plan, ConfigError> {
    let plan = Plan::new(collector_config::read_tenant(files, policy)?, policy)?;
    for service in &plan.services {
        service.api.check().map_err(|error| {
            let key = format!("inputs.{}", service.identity.input());
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
        let named = |name: &str| look(folder, &TenantName::new(name).unwrap(), None, &policy);
        assert!(matches!(named("link"), Look::Gone));
        assert!(matches!(named("nobody"), Look::Gone));
        let Look::Changed(seen) = named("acme") else { panic!("a tenant") };
        assert!(seen.plan.unwrap_err().to_string().contains("acme/config/config.yaml"));
        assert!(matches!(
            look(folder, &TenantName::new("acme").unwrap(), Some(&seen.fingerprint), &policy),
            Look::Unchanged
        ));
    }
}
