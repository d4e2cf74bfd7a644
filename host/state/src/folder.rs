//! The folder that holds the state: made if it is missing, and one process's alone while it is open. The
//! values in it are left to the store; files of others, such as the original collector's, are not touched.

use std::fs::{File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;

use collector_files::RootedPath;

use super::error::{FolderProblem, StateError};
use super::name::is_temporary;

/// The lock is on a file of its own and not on the folder, which network file systems can't lock.
const LOCK_FILE: &str = ".devo-collector.lock";

/// An open state folder. Dropping it, or the end of the process in whatever way, releases it.
#[derive(Debug)]
pub struct StateFolder {
    path: RootedPath,
    /// Locked; the lock goes with the handle.
    lock: File,
}

impl StateFolder {
    /// Opens the folder, made with its parents (for the owner alone) if it does not exist, and clears away
    /// what a crash left half written.
    ///
    /// # Errors
    /// [`StateError::Folder`] with what is wrong, such as [`FolderProblem::InUse`].
    pub fn open(path: RootedPath) -> Result<Self, StateError> {
        match Self::lock(&path).and_then(|lock| {
            remove_temporary_files(&path)?;
            Ok(lock)
        }) {
            Ok(lock) => Ok(Self { path, lock }),
            Err(problem) => Err(StateError::Folder { path: path.path().to_owned(), problem }),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &RootedPath {
        &self.path
    }

    /// Makes sure that "there is no such value" is the folder's own word. Without this, a volume that was
    /// unmounted under way would look like a service that never ran, and all would be sent again.
    ///
    /// # Errors
    /// [`StateError::Folder`] with [`FolderProblem::Gone`].
    pub(super) fn check_still_there(&self) -> Result<(), StateError> {
        let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let ours = self.lock.metadata().map(identity);
        match (self.path.join(LOCK_FILE).metadata().map(identity), ours) {
            (Ok(there), Ok(ours)) if there == ours => Ok(()),
            _ => Err(StateError::Folder { path: self.path.path().to_owned(), problem: FolderProblem::Gone }),
        }
    }

    fn lock(path: &RootedPath) -> Result<File, FolderProblem> {
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(FolderProblem::NotAFolder),
            Err(_) => path.create_directory().map_err(FolderProblem::Create)?,
        }
        let lock = path.join(LOCK_FILE).open_to_write().map_err(FolderProblem::NotWritable)?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => Err(FolderProblem::InUse),
            Err(TryLockError::Error(error)) => Err(FolderProblem::NoLocks(error)),
        }
    }
}

/// Under the lock nobody else is writing, so every temporary file is a crash's.
fn remove_temporary_files(path: &RootedPath) -> Result<(), FolderProblem> {
    let folder = path.directory().map_err(FolderProblem::NotReadable)?;
    for name in folder.names().map_err(FolderProblem::NotReadable)? {
        if !name.to_str().is_some_and(is_temporary) {
            continue;
        }
        match folder.remove(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(FolderProblem::NotWritable(error)),
            _ => {}
        }
    }
    Ok(())
}

/// A folder that a test may fill, removed when the test is over.
#[cfg(test)]
pub mod scratch {
    use std::fs;
    use std::path::{Path, PathBuf};

    use collector_files::RootedPath;
    use tempfile::TempDir;

    pub struct Scratch(TempDir);

    impl Scratch {
        pub fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        pub fn path(&self) -> &Path {
            self.0.path()
        }

        pub fn join(&self, name: &str) -> PathBuf {
            self.path().join(name)
        }

        /// As the state's code sees it.
        pub fn rooted(&self, name: &str) -> RootedPath {
            RootedPath::of_operator(self.join(name))
        }

        pub fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.path()).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use collector_files::Root;

    use super::scratch::Scratch;
    use super::*;

    #[test]
    fn two_collectors_cannot_share_a_folder() {
        let scratch = Scratch::new();
        let first = StateFolder::open(scratch.rooted("")).unwrap();
        let error = StateFolder::open(scratch.rooted("")).unwrap_err();
        assert!(matches!(error, StateError::Folder { problem: FolderProblem::InUse, .. }));
        assert!(error.to_string().contains(&*scratch.path().to_string_lossy()));
        drop(first);
        StateFolder::open(scratch.rooted("")).unwrap();
    }

    #[test]
    fn a_missing_folder_is_made_for_the_owner_alone() {
        let scratch = Scratch::new();
        let folder = StateFolder::open(scratch.rooted("product/state")).unwrap();
        assert_eq!(folder.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_file_in_the_folders_place_is_named() {
        let scratch = Scratch::new();
        fs::write(scratch.join("state"), "").unwrap();
        let at = StateFolder::open(scratch.rooted("state")).unwrap_err();
        assert!(matches!(at, StateError::Folder { problem: FolderProblem::NotAFolder, .. }));
        let below = StateFolder::open(scratch.rooted("state/cloudsek")).unwrap_err();
        assert!(matches!(below, StateError::Folder { problem: FolderProblem::Create(_), .. }));
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_named() {
        let scratch = Scratch::new();
        // Permissions don't stop the superuser, who may run this test: a folder in the lock file's place
        // does.
        fs::create_dir(scratch.join(LOCK_FILE)).unwrap();
        let error = StateFolder::open(scratch.rooted("")).unwrap_err();
        assert!(matches!(error, StateError::Folder { problem: FolderProblem::NotWritable(_), .. }));
    }

    #[test]
    fn a_lock_that_leads_out_of_a_tenants_folder_is_not_made() {
        let scratch = Scratch::new();
        fs::create_dir_all(scratch.join("acme/state")).unwrap();
        symlink("../../made", scratch.join("acme/state").join(LOCK_FILE)).unwrap();
        symlink("..", scratch.join("acme/up")).unwrap();
        let acme = Root::confined(&scratch.join("acme")).unwrap();
        for (folder, file) in [("state", "made"), ("up/other", "other")] {
            let error = StateFolder::open(acme.join(folder)).unwrap_err().to_string();
            assert!(error.contains("leads out of the tenant's own folder"), "{error}");
            assert!(!scratch.join(file).exists());
        }
    }

    #[test]
    fn opening_removes_what_a_crash_left_and_nothing_else() {
        let scratch = Scratch::new();
        let foreign = ["95fbbcf4d968bee50b610e76801bc2f3", "notes.tmp"];
        for name in ["a.state", "a.state.previous", "a.state.3.tmp", "a.state.previous.3.tmp", foreign[0], foreign[1]] {
            fs::write(scratch.join(name), "").unwrap();
        }
        let _folder = StateFolder::open(scratch.rooted("")).unwrap();
        assert_eq!(scratch.names(), [LOCK_FILE, foreign[0], "a.state", "a.state.previous", foreign[1]]);
    }
}
