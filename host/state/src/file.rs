//! One value in one file, in its envelope. Which file belongs to which key, and who may write, is left to the
//! store and the folder.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::envelope;
use super::error::{Damage, StateError};
use super::name::{PREVIOUS_SUFFIX, temporary_name};

/// Makes each temporary name new, so that two writers of one key don't write into one file.
static TEMPORARY_NUMBER: AtomicU64 = AtomicU64::new(0);

/// The file that keeps the value before the current one.
pub(super) fn previous_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(PREVIOUS_SUFFIX);
    name.into()
}

/// Reads the value; none if there never was one.
///
/// # Errors
/// [`StateError::Corrupt`] for anything but the bytes that were written; a file that is gone while its
/// previous one is there counts as such, as no crash of ours leaves that behind.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    let corrupt = |damage| StateError::Corrupt { path: path.to_owned(), damage };
    match fs::read(path) {
        Ok(content) => envelope::open(content).map(Some).map_err(corrupt),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if exists(path)? {
                Err(corrupt(Damage::Missing))
            } else {
                Ok(None)
            }
        }
        Err(source) => Err(StateError::Read { path: path.to_owned(), source }),
    }
}

/// Whether there is, or should be, a value: where this is true, [`read`] gives a value or an error.
pub(super) fn exists(path: &Path) -> Result<bool, StateError> {
    let is_there = |file: &Path| file.try_exists().map_err(|source| StateError::Read { path: file.to_owned(), source });
    Ok(is_there(path)? || is_there(&previous_of(path))?)
}

/// Replaces the value and keeps the one before. When this returns, the new value outlives a power cut; when
/// it fails or is cut off, the old one is there as before (or, where only the very last step failed, the new
/// one: never neither).
///
/// # Errors
/// [`StateError::Write`].
pub(super) fn write(path: &Path, value: &[u8]) -> Result<(), StateError> {
    let number = TEMPORARY_NUMBER.fetch_add(1, Ordering::Relaxed);
    let new = temporary_of(path, number);
    let kept = temporary_of(&previous_of(path), number);
    let outcome = write_new(&new, value).and_then(|()| {
        keep_current(path, &kept)?;
        fs::rename(&new, path)?;
        sync_folder_of(path)
    });
    // Left over where it failed. Also where it went well after a crash between the two renames: then both
    // names lead to the same file, and renaming one hard link over another does nothing. What can't be
    // removed now goes at the next opening.
    let _ = remove_if_there(&kept);
    outcome.map_err(|source| {
        let _ = remove_if_there(&new);
        StateError::Write { path: path.to_owned(), source }
    })
}

/// Removes the value, and the one before it first: the other way round, a crash in between would look like a
/// loss.
///
/// # Errors
/// [`StateError::Write`].
pub(super) fn delete(path: &Path) -> Result<(), StateError> {
    remove_if_there(&previous_of(path))
        .and_then(|()| remove_if_there(path))
        .and_then(|()| sync_folder_of(path))
        .map_err(|source| StateError::Write { path: path.to_owned(), source })
}

fn write_new(path: &Path, value: &[u8]) -> io::Result<()> {
    // Alert ids are nobody else's business.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(envelope::header(value).as_bytes())?;
    file.write_all(value)?;
    // Else a power cut after the rename could leave the new name with an empty file.
    file.sync_all()
}

/// Gives the current file its second name, `.previous`. It is linked and not renamed, so that at no moment
/// the current name leads nowhere.
fn keep_current(path: &Path, kept: &Path) -> io::Result<()> {
    match fs::hard_link(path, kept) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Some network file systems have no hard links.
        Err(_) => {
            fs::copy(path, kept)?;
            File::open(kept)?.sync_all()?;
        }
    }
    fs::rename(kept, previous_of(path))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes renames and removals outlive a power cut.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn temporary_of(path: &Path, number: u64) -> PathBuf {
    path.with_file_name(temporary_name(&path.file_name().unwrap_or_default().to_string_lossy(), number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::scratch::Scratch;

    fn damage_of(path: &Path) -> Damage {
        match read(path) {
            Err(StateError::Corrupt { damage, .. }) => damage,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_value_that_was_never_written_is_none() {
        let scratch = Scratch::new();
        assert_eq!(read(&scratch.join("a.state")).unwrap(), None);
    }

    #[test]
    fn a_file_cut_off_anywhere_is_an_error_and_never_a_value() {
        let scratch = Scratch::new();
        let path = scratch.join("a.state");
        write(&path, b"{\"last_ids\":[\"0d\",\"3e7\"]}\n").unwrap();
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(matches!(damage_of(&path), Damage::Header | Damage::Length { .. }), "{length}");
        }
        fs::write(&path, [&whole[..], b"\0"].concat()).unwrap();
        assert_eq!(damage_of(&path), Damage::Length { expected: 26, found: 27 });
    }

    #[test]
    fn a_file_with_any_bit_flipped_is_an_error_and_never_a_value() {
        let scratch = Scratch::new();
        let path = scratch.join("a.state");
        write(&path, b"{\"last_ids\":[\"0d\"]}").unwrap();
        let whole = fs::read(&path).unwrap();
        for (at, bit) in (0..whole.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            fs::write(&path, flipped).unwrap();
            damage_of(&path);
        }
    }

    #[test]
    fn a_file_of_a_newer_collector_is_refused() {
        let scratch = Scratch::new();
        let path = scratch.join("a.state");
        fs::write(&path, "devo-collector-state 2 whatever comes then\n").unwrap();
        assert_eq!(damage_of(&path), Damage::NewerVersion(2));
    }

    #[test]
    fn a_corrupt_file_is_an_error_even_where_the_previous_one_is_good() {
        let scratch = Scratch::new();
        let path = scratch.join("a.state");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        fs::write(&path, "").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(
            error.contains("a.state is not usable") && error.contains("rename") && error.contains("a.state.previous")
        );
        fs::rename(previous_of(&path), &path).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"one", "the cure in the text works");
    }

    #[test]
    fn a_file_that_vanished_is_an_error_and_not_a_new_start() {
        let scratch = Scratch::new();
        let path = scratch.join("a.state");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(damage_of(&path), Damage::Missing);
        assert!(exists(&path).unwrap());
    }

    #[test]
    fn the_value_before_is_kept() {
        let scratch = Scratch::new();
        let path = scratch.join("a.state");
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
        let path = scratch.join("a.state");
        write(&path, b"one").unwrap();
        keep_current(&path, &scratch.join("a.state.previous.7.tmp")).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"one");
        write(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"two");
        assert_eq!(read(&previous_of(&path)).unwrap().unwrap(), b"one");
        assert_eq!(scratch.names(), ["a.state", "a.state.previous"]);
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_value_and_nothing_else() {
        let scratch = Scratch::new();
        let path = scratch.join("a.state");
        write(&path, b"one").unwrap();
        // A folder in the way of the second rename.
        fs::create_dir(previous_of(&path)).unwrap();
        assert!(matches!(write(&path, b"two"), Err(StateError::Write { .. })));
        assert_eq!(read(&path).unwrap().unwrap(), b"one");
        assert_eq!(scratch.names(), ["a.state", "a.state.previous"]);
    }

    #[test]
    fn a_deleted_value_is_gone_with_the_one_before() {
        let scratch = Scratch::new();
        let path = scratch.join("a.state");
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
        let path = scratch.join("a.state");
        write(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
    }

    #[test]
    fn a_reader_beside_writers_always_sees_one_whole_value() {
        let scratch = Scratch::new();
        let path = scratch.join("a.state");
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
