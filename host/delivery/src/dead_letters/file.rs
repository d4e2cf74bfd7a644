//! A file of dead letters: lines are added and are on the disk before anything goes on. It does not grow for
//! ever, for a source or a component that is up to no good could fill the disk: a full file is renamed, and
//! takes the place of the one that was renamed before.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use collector_files::{RootedPath, Work};
use tracing::warn;

/// The most that a file grows to: a day of letters of a source that is wholly broken. Twice that is on the
/// disk.
const MOST: u64 = 64 * 1024 * 1024;

/// How long letters wait for a thread. A disk that needs longer does not answer any more.
const PATIENCE: Duration = Duration::from_secs(30);

/// The files that are being renamed. Two services may add to the file of one output, and only one of them may
/// rename it. Nobody waits here: the disk of one tenant must not hold up the letters of another.
static RENAMING: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Adds lines, each with its line break. The file and its folder are made when they are needed.
///
/// # Errors
/// The operating system did not let them be written; some of them may be there all the same.
pub(super) async fn append(path: &RootedPath, lines: Vec<Vec<u8>>) -> io::Result<()> {
    let file = path.clone();
    let appended = path.threads().run(Work::Files, PATIENCE, move || append_at_most(&file, &lines, MOST)).await;
    if appended.unwrap_or_else(|error| Err(io::Error::other(error)))? {
        warn!("The dead letters in {} were the oldest, and have made room for newer ones", renamed(path).display());
    }
    Ok(())
}

/// Whether older letters had to go.
fn append_at_most(path: &RootedPath, lines: &[Vec<u8>], most: u64) -> io::Result<bool> {
    let folder = path.parent();
    folder.create_directory()?;
    // All or none of them: nothing is taken that could not be kept.
    let (mut file, mut size) = open(path, lines.iter().map(|line| line.len() as u64).sum())?;
    let mut lost = false;
    for line in lines {
        let grown = size + line.len() as u64;
        if size > 0 && grown > most {
            file.sync_data()?;
            lost |= make_room(path, line.len() as u64, most)?;
            // It has its room already.
            (file, size) = open(path, 0)?;
        }
        file.write_all(line)?;
        size += line.len() as u64;
    }
    file.sync_all()?;
    // Its name too: it may be a new file.
    folder.directory()?.sync()?;
    Ok(lost)
}

/// Opens the file for its owner alone, to add so many bytes, and says how large it is. A line that was cut
/// off by a crash or a full disk is ended.
fn open(path: &RootedPath, bytes: u64) -> io::Result<(File, u64)> {
    let mut file = path.open_to_append(bytes)?;
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

/// Renames the file, unless somebody else has, or does just now. Whether that took the place of another.
fn make_room(path: &RootedPath, wanted: u64, most: u64) -> io::Result<bool> {
    let Some(_alone) = Alone::with(path) else { return Ok(false) };
    if path.metadata()?.len() + wanted <= most {
        return Ok(false);
    }
    let old = renamed(path);
    let lost = old.try_exists()?;
    path.parent().directory()?.rename(&path.file_name(), &old.file_name())?;
    Ok(lost)
}

fn renamed(path: &RootedPath) -> RootedPath {
    path.with_suffix(".1")
}

/// The only one to rename a file, for as long as this lives.
struct Alone(PathBuf);

impl Alone {
    fn with(path: &RootedPath) -> Option<Self> {
        let path = path.path().to_owned();
        // The lock is given back before anything can be dropped that takes it again.
        let is_first = renaming().insert(path.clone());
        is_first.then(|| Self(path))
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        renaming().remove(&self.0);
    }
}

/// A panic elsewhere can't leave the set half changed: each change is one call.
fn renaming() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    RENAMING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use collector_files::{Refusal, Root};

    use super::*;

    fn lines(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| format!("{text}\n").into_bytes()).collect()
    }

    fn content(path: &RootedPath) -> String {
        std::fs::read_to_string(path.path()).unwrap()
    }

    fn file_in(folder: &Path, name: &str) -> RootedPath {
        RootedPath::of_operator(folder.join(name))
    }

    #[test]
    fn only_the_owner_can_read_dead_letters() {
        let folder = tempfile::tempdir().unwrap();
        let path = file_in(folder.path(), "new/a.ndjson");
        append_at_most(&path, &lines(&["1"]), 10).unwrap();
        let mode = |path: &RootedPath| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.parent())), (0o600, 0o700));
    }

    #[test]
    fn a_full_file_makes_room_and_the_one_before_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = file_in(folder.path(), "a.ndjson");
        assert!(!append_at_most(&path, &lines(&["one", "two"]), 8).unwrap());
        assert!(!append_at_most(&path, &lines(&["three"]), 8).unwrap());
        assert_eq!((content(&path), content(&renamed(&path))), ("three\n".into(), "one\ntwo\n".into()));
        assert!(append_at_most(&path, &lines(&["four"]), 8).unwrap(), "the oldest have gone");
        assert_eq!((content(&path), content(&renamed(&path))), ("four\n".into(), "three\n".into()));
    }

    #[test]
    fn many_letters_at_once_are_no_way_around_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = file_in(folder.path(), "a.ndjson");
        append_at_most(&path, &vec![b"12345\n".to_vec(); 100], 20).unwrap();
        assert_eq!((content(&path).len(), content(&renamed(&path)).len()), (6, 18));
    }

    #[test]
    fn a_rename_that_takes_for_ever_holds_up_no_letters() {
        let folder = tempfile::tempdir().unwrap();
        let (stuck, other) = (file_in(folder.path(), "a.ndjson"), file_in(folder.path(), "b.ndjson"));
        let _stuck = Alone::with(&stuck).unwrap();
        for path in [&stuck, &other] {
            append_at_most(path, &lines(&["one", "two", "three"]), 8).unwrap();
        }
        assert_eq!((content(&stuck), content(&other)), ("one\ntwo\nthree\n".into(), "three\n".into()));
    }

    #[test]
    fn letters_of_a_tenant_stay_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("acme/dead_letters")).unwrap();
        std::fs::create_dir(folder.path().join("globex")).unwrap();
        std::fs::write(folder.path().join("globex/config"), "untouched").unwrap();
        symlink("../../globex/config", folder.path().join("acme/dead_letters/a")).unwrap();
        symlink("../globex", folder.path().join("acme/elsewhere")).unwrap();
        let acme = Root::confined(&folder.path().join("acme")).unwrap();
        for name in ["dead_letters/a", "elsewhere/config", "elsewhere/new/a"] {
            let error = append_at_most(&acme.join(name), &lines(&["1"]), 10).unwrap_err();
            assert_eq!(Refusal::of(&error), Some(&Refusal::Outside), "{name}");
        }
        assert_eq!(std::fs::read(folder.path().join("globex/config")).unwrap(), b"untouched");
        assert_eq!(std::fs::read_dir(folder.path().join("globex")).unwrap().count(), 1);
    }

    #[test]
    fn beyond_the_tenants_quota_no_letter_is_taken_and_none_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("acme")).unwrap();
        let acme = Root::of_tenants(folder.path(), 50_000).unwrap().folder("acme").unwrap();
        let path = acme.join("dead_letters/a.ndjson");
        let letter = vec![b'x'; 20_000];
        append_at_most(&path, &vec![letter.clone(); 2], 30_000).unwrap();
        let error = append_at_most(&path, &[letter], 30_000).unwrap_err();
        assert!(matches!(Refusal::of(&error), Some(Refusal::QuotaExceeded { most: 50_000, .. })), "{error}");
        assert_eq!((content(&path).len(), content(&renamed(&path)).len()), (20_000, 20_000));
    }

    #[test]
    fn a_letter_that_was_cut_off_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = file_in(folder.path(), "a.ndjson");
        std::fs::write(path.path(), "{\"half").unwrap();
        append_at_most(&path, &lines(&["{}"]), 100).unwrap();
        assert_eq!(content(&path), "{\"half\n{}\n");
    }
}
