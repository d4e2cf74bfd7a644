//! A file of dead letters: lines are added and are on the disk before anything goes on. It does not grow for
//! ever, for a source or a component that is up to no good could fill the disk: a full file is renamed, and
//! takes the place of the one that was renamed before.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tracing::warn;

/// The most that a file grows to: a day of letters of a source that is wholly broken. Twice that is on the
/// disk.
const MOST: u64 = 64 * 1024 * 1024;

/// Two services may add to the file of one output: only one of them renames it. Held for two calls of the
/// system.
static RENAMING: Mutex<()> = Mutex::new(());

/// Adds lines, each with its line break. The file and its folder are made when they are needed.
///
/// # Errors
/// The operating system did not let them be written; some of them may be there all the same.
pub(super) async fn append(path: &Path, lines: Vec<Vec<u8>>) -> io::Result<()> {
    let file = path.to_owned();
    let appended = tokio::task::spawn_blocking(move || append_at_most(&file, &lines, MOST)).await;
    // A task that can't be waited for means that the runtime is ending.
    if appended.unwrap_or_else(|error| Err(io::Error::other(error)))? {
        warn!("The dead letters in {} were the oldest, and have made room for newer ones", renamed(path).display());
    }
    Ok(())
}

/// Whether older letters had to go.
fn append_at_most(path: &Path, lines: &[Vec<u8>], most: u64) -> io::Result<bool> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let (mut file, mut size) = open(path)?;
    let mut lost = false;
    for line in lines {
        let grown = size + line.len() as u64;
        if size > 0 && grown > most {
            file.sync_data()?;
            lost |= make_room(path, line.len() as u64, most)?;
            (file, size) = open(path)?;
        }
        file.write_all(line)?;
        size += line.len() as u64;
    }
    file.sync_all()?;
    // Its name too: it may be a new file.
    File::open(folder)?.sync_all()?;
    Ok(lost)
}

/// Opens the file for its owner alone, and says how large it is. A line that was cut off by a crash or a full
/// disk is ended.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let mut size = file.seek(SeekFrom::End(0))?;
    if size > 0 {
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            size += 1;
        }
    }
    Ok((file, size))
}

/// Renames the file, unless somebody else just has. Whether that took the place of another.
fn make_room(path: &Path, wanted: u64, most: u64) -> io::Result<bool> {
    let _alone = RENAMING.lock().unwrap_or_else(PoisonError::into_inner);
    if path.metadata()?.len() + wanted <= most {
        return Ok(false);
    }
    let old = renamed(path);
    let lost = old.try_exists()?;
    std::fs::rename(path, old)?;
    Ok(lost)
}

fn renamed(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".1");
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn lines(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| format!("{text}\n").into_bytes()).collect()
    }

    fn content(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn only_the_owner_can_read_dead_letters() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/a.ndjson");
        append_at_most(&path, &lines(&["1"]), 10).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }

    #[test]
    fn a_full_file_makes_room_and_the_one_before_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ndjson");
        assert!(!append_at_most(&path, &lines(&["one", "two"]), 8).unwrap());
        assert!(!append_at_most(&path, &lines(&["three"]), 8).unwrap());
        assert_eq!((content(&path), content(&renamed(&path))), ("three\n".into(), "one\ntwo\n".into()));
        assert!(append_at_most(&path, &lines(&["four"]), 8).unwrap(), "the oldest have gone");
        assert_eq!((content(&path), content(&renamed(&path))), ("four\n".into(), "three\n".into()));
    }

    #[test]
    fn many_letters_at_once_are_no_way_around_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ndjson");
        append_at_most(&path, &vec![b"12345\n".to_vec(); 100], 20).unwrap();
        assert_eq!((content(&path).len(), content(&renamed(&path)).len()), (6, 18));
    }

    #[test]
    fn a_letter_that_was_cut_off_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ndjson");
        std::fs::write(&path, "{\"half").unwrap();
        append_at_most(&path, &lines(&["{}"]), 100).unwrap();
        assert_eq!(content(&path), "{\"half\n{}\n");
    }
}
