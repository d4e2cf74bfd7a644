//! What is loaded, and what is not.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::*;

/// The smallest component there is.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// A folder in which a component was compiled, gone with the test.
struct Kept {
    engine: Engine,
    _scratch: TempDir,
    folder: PathBuf,
    file: PathBuf,
}

impl Kept {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("made/on/the/way");
        let engine = Engine::default();
        let file = folder.join(file_name(&engine, COMPONENT));
        let kept = Self { engine, _scratch: scratch, folder, file };
        assert_eq!(kept.compilations(), 1);
        assert_eq!(kept.compilations(), 0);
        kept
    }

    fn cache(&self) -> Cache {
        Cache::open(&self.folder).unwrap()
    }

    /// How often the component had to be compiled to be had.
    fn compilations(&self) -> u32 {
        let (cache, owner) = (self.cache(), Path::new("acme"));
        if cache.load(&self.engine, COMPONENT, owner).is_some() {
            return 0;
        }
        cache.keep(&self.engine, COMPONENT, owner, &self.engine.precompile_component(COMPONENT).unwrap());
        1
    }

    fn refusal(&self) -> Refusal {
        let name = self.file.file_name().unwrap().to_str().unwrap();
        self.cache().open_file(&self.engine, name).err().unwrap()
    }

    /// The file was not used, and another one took its place.
    fn replaced(&self) {
        assert_eq!(self.compilations(), 1);
        let metadata = fs::symlink_metadata(&self.file).unwrap();
        assert!(metadata.is_file());
        assert_eq!(metadata.mode() & 0o777, 0o600);
        assert_eq!(self.compilations(), 0);
    }

    fn permit(&self, path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn folder_and_files_are_for_the_owner_alone() {
    let kept = Kept::new();
    assert_eq!(fs::metadata(&kept.folder).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&kept.file).unwrap().mode() & 0o777, 0o600);
    let names: Vec<_> = fs::read_dir(&kept.folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names, std::slice::from_ref(&kept.file));
}

#[test]
fn every_damaged_bit_is_noticed() {
    let kept = Kept::new();
    let length = fs::metadata(&kept.file).unwrap().len();
    for position in (0..length).step_by(length as usize / 40).chain([length - 33, length - 32, length - 1]) {
        let file = File::options().read(true).write(true).open(&kept.file).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, position).unwrap();
        file.write_all_at(&[byte[0] ^ 4], position).unwrap();
        assert!(matches!(kept.refusal(), Refusal::Damaged), "{position}");
        file.write_all_at(&byte, position).unwrap();
    }
    assert_eq!(kept.compilations(), 0);
    File::options().write(true).open(&kept.file).unwrap().write_all_at(b"?", 100).unwrap();
    kept.replaced();
}

#[test]
fn a_file_that_was_cut_off_is_replaced() {
    let kept = Kept::new();
    for length in [fs::metadata(&kept.file).unwrap().len() - 1, 1000, 32, 5, 0] {
        File::options().write(true).open(&kept.file).unwrap().set_len(length).unwrap();
        assert!(matches!(kept.refusal(), Refusal::Damaged), "{length}");
    }
    kept.replaced();
}

#[test]
fn a_whole_file_under_anothers_name_is_replaced() {
    let kept = Kept::new();
    let other = kept.cache().folder.path().join(file_name(&kept.engine, b"another component"));
    fs::copy(&kept.file, &other).unwrap();
    let refusal = kept.cache().open_file(&kept.engine, other.file_name().unwrap().to_str().unwrap()).err();
    assert!(matches!(refusal, Some(Refusal::Damaged)));
}

#[test]
fn a_file_that_others_can_write_to_is_replaced() {
    for mode in [0o620, 0o602] {
        let kept = Kept::new();
        kept.permit(&kept.file, mode);
        assert!(matches!(kept.refusal(), Refusal::Mode(found) if found == mode));
        kept.replaced();
    }
}

#[test]
fn a_link_is_replaced_even_if_it_leads_to_a_good_file() {
    let kept = Kept::new();
    let elsewhere = kept.folder.join("elsewhere");
    fs::rename(&kept.file, &elsewhere).unwrap();
    symlink(&elsewhere, &kept.file).unwrap();
    assert!(matches!(kept.refusal(), Refusal::Kind));
    kept.replaced();
}

#[test]
fn a_pipe_in_the_files_place_is_not_waited_for() {
    let kept = Kept::new();
    fs::remove_file(&kept.file).unwrap();
    nix::unistd::mkfifo(&kept.file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(matches!(kept.refusal(), Refusal::Kind));
    kept.replaced();
}

#[test]
fn what_belongs_to_another_user_is_not_trusted() {
    let kept = Kept::new();
    let ours = fs::metadata(&kept.file).unwrap().uid();
    // Only the superuser can give a file away, but who "we" are can be given too.
    let refusal = Folder::open_for(&kept.folder, ours + 1).err();
    assert!(matches!(refusal, Some(Refusal::Owner(owner)) if owner == ours));
    let mut cache = kept.cache();
    cache.folder = cache.folder.trusting(ours + 1);
    let name = kept.file.file_name().unwrap().to_str().unwrap();
    assert!(matches!(cache.open_file(&kept.engine, name).err(), Some(Refusal::Owner(owner)) if owner == ours));
}

#[test]
fn a_folder_that_others_can_write_to_is_not_used() {
    let kept = Kept::new();
    for mode in [0o770, 0o707] {
        kept.permit(&kept.folder, mode);
        assert!(matches!(Cache::open(&kept.folder).err(), Some(Refusal::Mode(found)) if found == mode));
    }
    kept.permit(&kept.folder, 0o755);
    assert_eq!(kept.compilations(), 0, "reading is no harm");
}

#[test]
fn a_folder_that_is_a_link_or_a_file_is_not_used() {
    let kept = Kept::new();
    let beside = kept.folder.parent().unwrap().join("link");
    symlink(&kept.folder, &beside).unwrap();
    assert!(matches!(Cache::open(&beside).err(), Some(Refusal::Kind | Refusal::Io(_))));
    assert!(matches!(Cache::open(&kept.file).err(), Some(Refusal::Io(_))));
}

#[test]
fn code_for_another_engine_has_another_name() {
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(true);
    let other = Engine::new(&config).unwrap();
    assert_ne!(file_name(&other, COMPONENT), file_name(&Engine::default(), COMPONENT));
    assert_eq!(file_name(&Engine::default(), COMPONENT), file_name(&Engine::default(), COMPONENT));
}

#[test]
fn code_for_another_engine_is_refused_by_the_engine_too() {
    let kept = Kept::new();
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(true);
    let other = Engine::new(&config).unwrap();
    let name = kept.file.file_name().unwrap().to_str().unwrap();
    assert!(matches!(kept.cache().open_file(&other, name).err(), Some(Refusal::Engine(_))));
}

#[test]
fn what_was_long_not_used_is_removed_when_something_is_added() {
    let kept = Kept::new();
    let age = |path: &Path, days: u64| {
        let time = SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60);
        File::options().append(true).create(true).open(path).unwrap().set_modified(time).unwrap();
    };
    let (old, recent, foreign) = (kept.folder.join("a.cwasm"), kept.folder.join("b.cwasm"), kept.folder.join("notes"));
    let unfinished = kept.folder.join("a.cwasm.1.cwasm.tmp");
    age(&old, 40);
    age(&unfinished, 40);
    age(&recent, 20);
    age(&foreign, 40);
    age(&kept.file, 40);
    assert_eq!(kept.compilations(), 0);
    kept.cache().folder.write("c.cwasm", b"", |_| false).unwrap();
    assert!(!old.exists() && !unfinished.exists());
    assert!(recent.exists() && foreign.exists() && kept.file.exists());
}

#[test]
fn the_usual_folder_follows_the_environment() {
    let with = |cache: Option<&str>, home: Option<&str>| {
        usual_folder(|name| if name == "HOME" { home } else { cache }.map(PathBuf::from))
    };
    assert_eq!(with(Some("/c"), Some("/h")), Some("/c/devo-collector".into()));
    assert_eq!(with(None, Some("/h")), Some("/h/.cache/devo-collector".into()));
    assert_eq!(with(Some("relative"), Some("/h")), Some("/h/.cache/devo-collector".into()));
    assert_eq!(with(None, None), None);
}

/// A component that no other number gives.
fn numbered(number: u32) -> Vec<u8> {
    wat::parse_str(format!(r#"(component (core module (func (export "{number}"))))"#)).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn whoever_has_a_new_component_every_minute_leaves_a_few_of_them_and_none_that_is_used_goes() {
    let scratch = tempfile::tempdir().unwrap();
    let (engine, cache) = (Engine::default(), Cache::open(scratch.path()).unwrap());
    let use_of = |owner: &str, number: u32| {
        let (component, owner) = (numbered(number), Path::new(owner));
        let kept = cache.load(&engine, &component, owner).map(|(_, in_use)| in_use);
        kept.unwrap_or_else(|| {
            cache.keep(&engine, &component, owner, &engine.precompile_component(&component).unwrap())
        })
    };
    let used = use_of("acme", 1);
    use_of("globex", 2);
    use_of("acme", 2);
    for number in 3..20 {
        use_of("acme", number);
    }
    let names = names(scratch.path());
    let is_there = |number: u32| names.contains(&file_name(&engine, &numbered(number)));
    assert!(is_there(1), "somebody runs it");
    assert!(is_there(2), "another tenant has it too");
    // The last one was in use when it was counted.
    assert_eq!(names.len(), 2 + KEPT_OF_A_TENANT + 1);
    assert!((20 - 1 - KEPT_OF_A_TENANT as u32..20).all(is_there));
    drop(used);
}

#[test]
fn the_oldest_that_nobody_uses_makes_room_and_what_has_none_is_not_written() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = Folder::open(scratch.path()).unwrap();
    let name = |number: u64| format!("{number}{}", folder::SUFFIX);
    for number in 0..4 {
        folder.write(&name(number), &[0; 1_000], |_| false).unwrap();
        let file = File::options().write(true).open(scratch.path().join(name(number))).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(1_000 - number)).unwrap();
    }
    fs::write(scratch.path().join("notes"), "not ours").unwrap();
    folder.make_room(1_000, 4_000, |used| used == name(0)).unwrap();
    let mut left = names(scratch.path());
    left.sort();
    assert_eq!(left, [name(0), name(3), "notes".into()]);
    assert!(matches!(folder.make_room(1_000, 2_000, |_| true), Err(Refusal::Full(_))));
    assert_eq!(names(scratch.path()).len(), 3);
}
