//! How much of the disk a tenant may use: everything in its folder counts, whoever has put it there and
//! whatever it is called, so that no name is a way around it.
//!
//! To look at all files for each write would cost more than the write. So what is certainly left is
//! remembered: it shrinks by what is written, whether or not that replaces something, and only when that is
//! not enough it is looked again. Whoever removes files has room at once, for nothing is remembered of what
//! is there.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};

use crate::directory::MAX_ENTRIES;
use crate::refusal::Refusal;

/// Folders within folders that are looked into.
const DEEPEST: usize = 16;

/// What an entry costs at least: its inode, and a block of its folder or its content.
const ENTRY_IN_BYTES: u64 = 4096;

/// The unit in which the system counts what a file has on the disk.
const BLOCK_IN_BYTES: u64 = 512;

/// After a refusal, the next look at all files is not before: whoever fills the disk would fill the
/// processors too.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The quota of one folder. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Space(Option<Arc<Quota>>);

#[derive(Debug)]
struct Quota {
    most: u64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// What is certainly left.
    left: u64,
    /// Bytes that there were when it was last refused, and when that was.
    refused: Option<(u64, Instant)>,
}

impl Space {
    /// So many bytes, if it is not everything there is.
    pub(crate) fn of(most: Option<u64>) -> Self {
        Self(most.map(|most| Arc::new(Quota { most, known: Mutex::default() })))
    }

    /// Takes room for something that is going to be written. `folder` opens the folder.
    ///
    /// # Errors
    /// [`Refusal::QuotaExceeded`], or the folder can't be looked through.
    pub(crate) fn take(&self, bytes: u64, folder: impl FnOnce() -> io::Result<File>) -> io::Result<()> {
        let Some(Quota { most, known }) = self.0.as_deref() else { return Ok(()) };
        // Held while the folder is looked through: who waits is of the same tenant.
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = bytes.max(ENTRY_IN_BYTES);
        if known.left < bytes {
            let refusal = |used| Refusal::QuotaExceeded { used, most: *most };
            if let Some((used, when)) = known.refused
                && when.elapsed() < LOOK_AGAIN
            {
                return Err(refusal(used).into());
            }
            let used = used(&folder()?)?;
            known.left = most.saturating_sub(used);
            if known.left < bytes {
                known.refused = Some((used, Instant::now()));
                return Err(refusal(used).into());
            }
        }
        known.refused = None;
        known.left -= bytes;
        Ok(())
    }
}

/// What everything in a folder takes. Links are not followed.
fn used(folder: &File) -> io::Result<u64> {
    let (mut total, mut entries) = (0, 0);
    add(folder, DEEPEST, &mut total, &mut entries)?;
    Ok(total)
}

fn add(folder: impl AsFd, deeper: usize, total: &mut u64, entries: &mut usize) -> io::Result<()> {
    let open = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let listed = openat(&folder, ".", open, Mode::empty())?;
    for entry in Dir::from_fd(listed)?.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if [&b"."[..], b".."].contains(&name.to_bytes()) {
            continue;
        }
        *entries += 1;
        if *entries > MAX_ENTRIES {
            return Err(Refusal::TooMany { most: MAX_ENTRIES }.into());
        }
        let stat = match fstatat(&folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            // Renamed or removed just now.
            Err(Errno::ENOENT) => continue,
            stat => stat?,
        };
        *total = total.saturating_add(on_disk(&stat));
        if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFDIR {
            continue;
        }
        match openat(&folder, name, open, Mode::empty()) {
            Ok(_) if deeper == 0 => return Err(Refusal::TooMany { most: MAX_ENTRIES }.into()),
            Ok(inner) => add(inner, deeper - 1, total, entries)?,
            // Something else has its name by now.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Neither the holes of a file count, nor what the system has set aside for its growth.
fn on_disk(stat: &FileStat) -> u64 {
    let number = |number: i64| u64::try_from(number).unwrap_or_default();
    number(stat.st_size).min(number(stat.st_blocks).saturating_mul(BLOCK_IN_BYTES)).max(ENTRY_IN_BYTES)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use crate::Root;

    use super::*;

    const QUOTA: u64 = 1_000_000;

    /// A folder of tenants with a quota each, and the root of one of them.
    fn acme(folder: &tempfile::TempDir) -> Root {
        std::fs::create_dir_all(folder.path().join("acme/deep/er")).unwrap();
        Root::of_tenants(folder.path(), QUOTA).unwrap().folder("acme").unwrap()
    }

    fn append(root: &Root, name: &str, bytes: usize) -> io::Result<()> {
        root.join(name).open_to_append(bytes as u64)?.write_all(&vec![b'x'; bytes])
    }

    fn is_refused(outcome: io::Result<()>) -> bool {
        let error = outcome.unwrap_err();
        matches!(Refusal::of(&error), Some(Refusal::QuotaExceeded { most: QUOTA, .. }))
    }

    #[test]
    fn whatever_is_in_the_folder_counts_and_what_is_removed_is_free_again() {
        let folder = tempfile::tempdir().unwrap();
        let acme = acme(&folder);
        std::fs::write(folder.path().join("acme/deep/er/file"), vec![b'x'; 500_000]).unwrap();
        append(&acme, "a", 300_000).unwrap();
        assert!(is_refused(append(&acme, "a", 300_000)));
        assert_eq!(std::fs::metadata(folder.path().join("acme/a")).unwrap().len(), 300_000);
        let created = acme.join("deep").directory().unwrap().create_new("b".as_ref(), 300_000);
        assert!(is_refused(created.map(drop)));
        assert!(!folder.path().join("acme/deep/b").exists());
        std::fs::remove_file(folder.path().join("acme/deep/er/file")).unwrap();
        assert!(is_refused(append(&acme, "a", 300_000)), "it is not looked again at once");
        append(&self::acme(&folder), "a", 300_000).unwrap();
    }

    #[test]
    fn a_neighbour_links_and_holes_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let acme = acme(&folder);
        std::fs::create_dir(folder.path().join("globex")).unwrap();
        std::fs::write(folder.path().join("globex/file"), vec![b'x'; 2_000_000]).unwrap();
        symlink("../globex", folder.path().join("acme/link")).unwrap();
        symlink("../globex/file", folder.path().join("acme/file")).unwrap();
        File::create(folder.path().join("acme/sparse")).unwrap().set_len(1 << 40).unwrap();
        append(&acme, "a", 900_000).unwrap();
    }

    #[test]
    fn many_files_without_content_are_no_way_around_it() {
        let folder = tempfile::tempdir().unwrap();
        let acme = acme(&folder);
        let made = (0..1_000).take_while(|number| append(&acme, &number.to_string(), 0).is_ok()).count();
        assert!((200..250).contains(&made), "{made}");
    }

    #[test]
    fn the_operator_has_no_quota() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("one")).unwrap();
        let root = Root::confined(folder.path()).unwrap();
        append(&root.folder("one").unwrap(), "a", 2_000_000).unwrap();
        append(&Root::unrestricted(folder.path()), "a", 2_000_000).unwrap();
    }
}
