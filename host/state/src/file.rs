//! One value in one file, in its envelope. Which file belongs to which key, and who may write, is left to the
//! store and the folder.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use collector_files::{Directory, Refusal, RootedPath};

use super::envelope::{self, LONGEST_HEADER};
use super::error::{Damage, StateError};
use super::name::{PREVIOUS_SUFFIX, temporary_name};

/// Makes each temporary name new, so that two writers of one key don't write into one file.
static TEMPORARY_NUMBER: AtomicU64 = AtomicU64::new(0);

/// The largest value that is copied where it can't be given a second name.
const LARGEST_COPY: u64 = 256 * 1024 * 1024;

/// The file that keeps the value before the current one.
fn previous_of(path: &RootedPath) -> RootedPath {
    path.with_suffix(PREVIOUS_SUFFIX)
}

/// Reads the value, of `most` bytes at most; none if there never was one.
///
/// # Errors
/// [`StateError::Corrupt`] for anything but the bytes that were written; a file that is gone while its
/// previous one is there counts as such, as no crash of ours leaves that behind.
pub(super) fn read(path: &RootedPath, most: u64) -> Result<Option<Vec<u8>>, StateError> {
    let corrupt = |damage| StateError::Corrupt { path: path.path().to_owned(), damage };
    match path.read(most.saturating_add(LONGEST_HEADER as u64)) {
        Ok(content) => envelope::open(content).map(Some).map_err(corrupt),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if exists(path)? {
                Err(corrupt(Damage::Missing))
            } else {
                Ok(None)
            }
        }
        Err(source) => match Refusal::of(&source) {
            Some(&Refusal::TooLarge { size, .. }) => Err(corrupt(Damage::TooLarge { size, most })),
            _ => Err(StateError::Read { path: path.path().to_owned(), source }),
        },
    }
}

/// Whether there is, or should be, a value: where this is true, [`read`] gives a value or an error.
pub(super) fn exists(path: &RootedPath) -> Result<bool, StateError> {
    let is_there = |file: &RootedPath| {
        file.try_exists().map_err(|source| StateError::Read { path: file.path().to_owned(), source })
    };
    Ok(is_there(path)? || is_there(&previous_of(path))?)
}

/// How large the value is, its envelope included.
///
/// # Errors
/// [`StateError::Read`].
pub(super) fn size(path: &RootedPath) -> Result<u64, StateError> {
    match path.metadata() {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(source) => Err(StateError::Read { path: path.path().to_owned(), source }),
    }
}

/// Replaces the value and keeps the one before. When this returns, the new value outlives a power cut; when
/// it fails or is cut off, the old one is there as before (or, where only the very last step failed, the new
/// one: never neither).
///
/// # Errors
/// [`StateError::Write`].
pub(super) fn write(path: &RootedPath, value: &[u8]) -> Result<(), StateError> {
    path.parent()
        .directory()
        .and_then(|folder| write_in(&folder, path, value))
        .map_err(|source| StateError::Write { path: path.path().to_owned(), source })
}

fn write_in(folder: &Directory, path: &RootedPath, value: &[u8]) -> io::Result<()> {
    let number = TEMPORARY_NUMBER.fetch_add(1, Ordering::Relaxed);
    let new = temporary_of(path, number);
    let kept = temporary_of(&previous_of(path), number);
    let outcome = write_new(folder, &new, value).and_then(|()| {
        keep_current(folder, path, &kept)?;
        folder.rename(&new, &path.file_name())?;
        folder.sync()
    });
    // Left over where it failed. Also where it went well after a crash between the two renames: then both
    // names lead to the same file, and renaming one hard link over another does nothing. What can't be
    // removed now goes at the next opening.
    let _ = remove_if_there(folder, &kept);
    if outcome.is_err() {
        let _ = remove_if_there(folder, &new);
    }
    outcome
}

/// Removes the value, and the one before it first: the other way round, a crash in between would look like a
/// loss.
///
/// # Errors
/// [`StateError::Write`].
pub(super) fn delete(path: &RootedPath) -> Result<(), StateError> {
    let delete = |folder: Directory| {
        remove_if_there(&folder, &previous_of(path).file_name())?;
        remove_if_there(&folder, &path.file_name())?;
        folder.sync()
    };
    let deleted = path.parent().directory().and_then(delete);
    deleted.map_err(|source| StateError::Write { path: path.path().to_owned(), source })
}

fn write_new(folder: &Directory, name: &OsStr, value: &[u8]) -> io::Result<()> {
    // Alert ids are nobody else's business: it is its owner's alone.
    let mut file = folder.create_new(name, (LONGEST_HEADER + value.len()) as u64)?;
    file.write_all(envelope::header(value).as_bytes())?;
    file.write_all(value)?;
    // Else a power cut after the rename could leave the new name with an empty file.
    file.sync_all()
}

/// Gives the current file its second name, `.previous`. It is linked and not renamed, so that at no moment
/// the current name leads nowhere.
fn keep_current(folder: &Directory, path: &RootedPath, kept: &OsStr) -> io::Result<()> {
    match folder.hard_link(&path.file_name(), kept) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Some network file systems have no hard links. What is not ours is not worth keeping.
        Err(_) => match path.read(LARGEST_COPY) {
            Ok(current) => {
                let mut file = folder.create_new(kept, current.len() as u64)?;
                file.write_all(&current)?;
                file.sync_all()?;
            }
            Err(error) if Refusal::of(&error).is_some() => return Ok(()),
            Err(error) => return Err(error),
        },
    }
    folder.rename(kept, &previous_of(path).file_name())
}

fn remove_if_there(folder: &Directory, name: &OsStr) -> io::Result<()> {
    match folder.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn temporary_of(path: &RootedPath, number: u64) -> OsString {
    temporary_name(&path.file_name().to_string_lossy(), number).into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::folder::scratch::Scratch;

    fn read(path: &RootedPath) -> Result<Option<Vec<u8>>, StateError> {
        super::read(path, 1 << 20)
    }

    fn damage_of(path: &RootedPath) -> Damage {
        match read(path) {
            Err(StateError::Corrupt { damage, .. }) => damage,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_value_that_was_never_written_is_none() {
        let scratch = Scratch::new();
        assert_eq!(read(&scratch.rooted("a.state")).unwrap(), None);
    }

    #[test]
    fn a_file_cut_off_anywhere_is_an_error_and_never_a_value() {
        let scratch = Scratch::new();
        let path = scratch.rooted("a.state");
        write(&path, b"{\"last_ids\":[\"0d\",\"3e7\"]}\n").unwrap();
        let whole = fs::read(path.path()).unwrap();
        for length in 0..whole.len() {
            fs::write(path.path(), &whole[..length]).unwrap();
            assert!(matches!(damage_of(&path), Damage::Header | Damage::Length { .. }), "{length}");
        }
        fs::write(path.path(), [&whole[..], b"\0"].concat()).unwrap();
        assert_eq!(damage_of(&path), Damage::Length { expected: 26, found: 27 });
    }

    #[test]
    fn a_file_with_any_bit_flipped_is_an_error_and_never_a_value() {
        let scratch = Scratch::new();
        let path = scratch.rooted("a.state");
        write(&path, b"{\"last_ids\":[\"0d\"]}").unwrap();
        let whole = fs::read(path.path()).unwrap();
        for (at, bit) in (0..whole.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            fs::write(path.path(), flipped).unwrap();
            damage_of(&path);
        }
    }

    #[test]
    fn a_file_of_a_newer_collector_is_refused() {
        let scratch = Scratch::new();
        let path = scratch.rooted("a.state");
        fs::write(path.path(), "devo-collector-state 2 whatever comes then\n").unwrap();
        assert_eq!(damage_of(&path), Damage::NewerVersion(2));
    }

    #[test]
    fn a_corrupt_file_is_an_error_even_where_the_previous_one_is_good() {
        let scratch = Scratch::new();
        let path = scratch.rooted("a.state");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        fs::write(path.path(), "").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(
            error.contains("a.state is not usable") && error.contains("rename") && error.contains("a.state.previous")
        );
        fs::rename(previous_of(&path).path(), path.path()).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"one", "the remedy in the text works");
    }

    #[test]
    fn a_file_that_vanished_is_an_error_and_not_a_new_start() {
        let scratch = Scratch::new();
        let path = scratch.rooted("a.state");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        fs::remove_file(path.path()).unwrap();
        assert_eq!(damage_of(&path), Damage::Missing);
        assert!(exists(&path).unwrap());
    }

    #[test]
    fn the_value_before_is_kept() {
        let scratch = Scratch::new();
        let path = scratch.rooted("a.state");
        for value in ["one", "two", "three"] {
            write(&path, value.as_bytes()).unwrap();
        }
        assert_eq!(read(&path).unwrap().unwrap(), b"three");
        assert_eq!(read(&previous_of(&path)).unwrap().unwrap(), b"two");
        assert_eq!(scratch.names(), ["a.state", "a.state.previous"], "nothing is left over");
    }

    #[test]
    fn a_crash_between_the_two_renames_leaves_the_value_and_does_not_hinder_the_next() {
        let scratch = Scratch::new();
        let path = scratch.rooted("a.state");
        write(&path, b"one").unwrap();
        keep_current(&path.parent().directory().unwrap(), &path, OsStr::new("a.state.previous.7.tmp")).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"one");
        write(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"two");
        assert_eq!(read(&previous_of(&path)).unwrap().unwrap(), b"one");
        assert_eq!(scratch.names(), ["a.state", "a.state.previous"]);
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_value_and_nothing_else() {
        let scratch = Scratch::new();
        let path = scratch.rooted("a.state");
        write(&path, b"one").unwrap();
        // A folder in the way of the second rename.
        fs::create_dir(previous_of(&path).path()).unwrap();
        assert!(matches!(write(&path, b"two"), Err(StateError::Write { .. })));
        assert_eq!(read(&path).unwrap().unwrap(), b"one");
        assert_eq!(scratch.names(), ["a.state", "a.state.previous"]);
    }

    #[test]
    fn a_deleted_value_is_gone_with_the_one_before() {
        let scratch = Scratch::new();
        let path = scratch.rooted("a.state");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        delete(&path).unwrap();
        delete(&path).unwrap();
        assert_eq!(read(&path).unwrap(), None);
        assert!(scratch.names().is_empty());
    }

    #[test]
    fn only_the_owner_can_read_a_state_file() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new();
        let path = scratch.rooted("a.state");
        write(&path, b"one").unwrap();
        assert_eq!(fs::metadata(path.path()).unwrap().permissions().mode() & 0o077, 0);
    }

    #[test]
    fn a_reader_beside_writers_always_sees_one_whole_value() {
        let scratch = Scratch::new();
        let path = scratch.rooted("a.state");
        write(&path, &[0; 1000]).unwrap();
        std::thread::scope(|scope| {
            let writers: Vec<_> = [1_u8, 2]
                .map(|value| {
                    let path = &path;
                    scope.spawn(move || (0..50).for_each(|_| write(path, &[value; 1000]).unwrap()))
                })
                .into();
            while !writers.iter().all(|writer| writer.is_finished()) {
                let value = read(&path).unwrap().unwrap();
                assert!(value.len() == 1000 && value.iter().all(|byte| *byte == value[0]));
            }
        });
    }
}
