//! Notices changes of the tenants' files. Watched are the folders in which a change matters, and not
//! `state/`, where something is written with every pull. What has changed is not judged here: whoever is told
//! looks for himself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use collector_model::TenantName;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tracing::{debug, warn};

use super::folder::{Folders, Identity};

/// Files are mostly changed several at a time, and each in several steps: so much quiet is waited for.
const QUIET: Duration = Duration::from_millis(300);

/// But no longer than this: somebody may write all the time.
const LONGEST: Duration = Duration::from_secs(2);

/// Where something has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Anywhere: some changes went by unseen.
    pub anywhere: bool,
    /// At these tenants.
    pub tenants: BTreeSet<TenantName>,
}

/// Watches the folder of the tenants.
pub struct Watch {
    folder: PathBuf,
    /// None where this machine lets nothing be watched.
    watcher: Option<RecommendedWatcher>,
    followed: BTreeMap<TenantName, BTreeMap<PathBuf, Identity>>,
    seen: Arc<Seen>,
    is_complete: bool,
}

/// What the watcher's thread has seen and nobody has looked at.
#[derive(Default)]
struct Seen {
    changes: Mutex<Changes>,
    more: Notify,
}

impl Seen {
    fn change(&self, edit: impl FnOnce(&mut Changes)) {
        edit(&mut self.changes.lock().unwrap_or_else(PoisonError::into_inner));
        self.more.notify_one();
    }

    fn is_empty(&self) -> bool {
        *self.changes.lock().unwrap_or_else(PoisonError::into_inner) == Changes::default()
    }

    fn take(&self) -> Changes {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Watch {
    /// Watches `folder`, which must be a path without links, for tenants that come and go.
    pub fn start(folder: &Path) -> Self {
        let seen = Arc::<Seen>::default();
        let (heard, root) = (seen.clone(), folder.to_owned());
        let watcher = notify::recommended_watcher(move |event| hear(&heard, &root, event));
        let mut watch =
            Self { folder: folder.to_owned(), watcher: None, followed: BTreeMap::new(), seen, is_complete: true };
        match watcher {
            Ok(watcher) => watch.watcher = Some(watcher),
            Err(error) => watch.give_up(&error),
        }
        watch.add(folder);
        watch
    }

    /// Whether every change is noticed. Otherwise somebody has to look every now and then.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Returns what has changed, when it has come to rest.
    pub async fn changes(&self) -> Changes {
        // Asked first, for whoever asks may have been interrupted the last time.
        while self.seen.is_empty() {
            self.seen.more.notified().await;
        }
        let settled = async { while tokio::time::timeout(QUIET, self.seen.more.notified()).await.is_ok() {} };
        let _ = tokio::time::timeout(LONGEST, settled).await;
        self.seen.take()
    }

    /// Watches these folders of a tenant from now on, and no others of it. A folder that is
    /// watched for the first time may have changed just before: then the tenant counts as changed once more.
    pub fn follow(&mut self, name: &TenantName, folders: &Folders) {
        let product = self.folder.join(name.shared().as_ref());
        let there: BTreeMap<PathBuf, Identity> =
            folders.iter().map(|(name, identity)| (product.join(name), *identity)).collect();
        let before = self.followed.remove(name).unwrap_or_default();
        for path in before.keys().filter(|path| !there.contains_key(*path)) {
            self.remove(path);
        }
        let mut is_new = false;
        for (path, identity) in &there {
            if before.get(path) != Some(identity) {
                self.add(path);
                is_new = true;
            }
        }
        self.followed.insert(name.clone(), there);
        if is_new {
            self.seen.change(|changes| changes.tenants.extend([name.clone()]));
        }
    }

    /// Watches nothing more of a tenant that is gone.
    pub fn forget(&mut self, name: &TenantName) {
        for path in self.followed.remove(name).unwrap_or_default().keys() {
            self.remove(path);
        }
    }

    fn add(&mut self, path: &Path) {
        let Some(watcher) = &mut self.watcher else { return };
        if let Err(error) = watcher.watch(path, RecursiveMode::NonRecursive)
            && path.exists()
        {
            self.give_up(&error);
        }
    }

    fn remove(&mut self, path: &Path) {
        if let Some(watcher) = &mut self.watcher
            && let Err(error) = watcher.unwatch(path)
        {
            // With the folder itself went its watch.
            debug!("{} is watched no more: {error}", path.display());
        }
    }

    fn give_up(&mut self, error: &notify::Error) {
        if std::mem::take(&mut self.is_complete) {
            warn!(
                "Not every change of a tenant can be noticed at once: {error}. All tenants are looked at once a minute instead, \
                 and on SIGHUP. Raise the limits fs.inotify.max_user_watches and fs.inotify.max_user_instances of this machine"
            );
        }
    }
}

/// Runs on the watcher's thread.
fn hear(seen: &Seen, folder: &Path, event: notify::Result<Event>) {
    match event {
        // Reading is no change; only the end of writing is told as an access too.
        Ok(Event { kind: EventKind::Access(access), .. }) if access != AccessKind::Close(AccessMode::Write) => {}
        Ok(event) => {
            let names: Vec<_> = event.paths.iter().filter_map(|path| tenant_of(folder, path)).collect();
            if event.need_rescan() || !names.is_empty() {
                seen.change(|changes| {
                    changes.anywhere |= event.need_rescan();
                    changes.tenants.extend(names);
                });
            }
        }
        Err(_) => seen.change(|changes| changes.anywhere = true),
    }
}

/// The tenant to which a path belongs.
fn tenant_of(folder: &Path, path: &Path) -> Option<TenantName> {
    TenantName::new(path.strip_prefix(folder).ok()?.components().next()?.as_os_str().to_str()?)
}

#[cfg(test)]
mod tests {
    use collector_config::Policy;
    use collector_files::Root;

    use super::*;
    use crate::tenants::folder::look;

    #[test]
    fn a_path_belongs_to_the_tenant_whose_folder_it_is_in() {
        let folder = Path::new("/srv/tenants");
        let tenant = |path: &str| tenant_of(folder, Path::new(path)).map(|name| name.to_string());
        assert_eq!(tenant("/srv/tenants/acme"), Some("acme".to_owned()));
        assert_eq!(tenant("/srv/tenants/acme/config/config.yaml"), Some("acme".to_owned()));
        for other in ["/srv/tenants", "/srv/tenants/.hidden/x", "/srv/other/acme"] {
            assert_eq!(tenant(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn a_change_is_told_with_its_tenant_even_one_in_a_folder_that_came_later() {
        let folder = std::env::temp_dir().join(format!("devo-collector-watch-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("acme")).unwrap();
        let folder = folder.canonicalize().unwrap();
        let mut watch = Watch::start(&folder);
        let acme = TenantName::new("acme").unwrap();
        let tenants = Root::confined(&folder).unwrap();
        let look = |watch: &mut Watch| watch.follow(&acme, &look(&tenants, &acme, None, &Policy::hosted()).unwrap().1);
        look(&mut watch);
        assert_eq!(watch.changes().await.tenants, BTreeSet::from([acme.clone()]), "it was not watched before");
        std::fs::create_dir(folder.join("acme/config")).unwrap();
        assert!(watch.changes().await.tenants.contains(&acme));
        look(&mut watch);
        assert!(watch.changes().await.tenants.contains(&acme), "the new folder may have had a file already");
        std::fs::write(folder.join("acme/config/config.yaml"), "a").unwrap();
        assert!(watch.changes().await.tenants.contains(&acme));
        std::fs::create_dir(folder.join("globex")).unwrap();
        assert_eq!(watch.changes().await.tenants, BTreeSet::from([TenantName::new("globex").unwrap()]));
        assert!(watch.is_complete());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
