//! What a tenant can make of its folder, while it is used.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::unistd::mkfifo;
use tempfile::TempDir;

use std::ffi::OsStr;

use super::*;
use crate::directory::MAX_ENTRIES;

/// A tenant's folder `acme` beside a neighbour's.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["acme", "globex"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join("token"), name).unwrap();
        }
        Self(folder)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn acme(&self) -> Root {
        Root::confined(&self.at("acme")).unwrap()
    }
}

fn refusal<T: fmt::Debug>(outcome: io::Result<T>) -> Refusal {
    let error = outcome.unwrap_err();
    Refusal::of(&error).cloned().unwrap_or_else(|| panic!("{error}"))
}

#[test]
fn no_name_and_no_link_leads_out() {
    let scratch = Scratch::new();
    let links = [
        ("file", "../globex/token".into()),
        ("absolute", scratch.at("globex/token")),
        ("own-absolute", scratch.at("acme/token")),
        ("magic", "/proc/self/cwd".into()),
        ("up", "..".into()),
        ("nowhere", "../globex/new".into()),
    ];
    for (name, target) in links {
        symlink(target, scratch.at("acme").join(name)).unwrap();
    }
    let acme = scratch.acme();
    let absolute = scratch.at("globex/token");
    let names =
        ["file", "absolute", "own-absolute", "magic", "up/globex/token", "nowhere", "../globex/token", "a/../.."];
    std::fs::create_dir(scratch.at("acme/a")).unwrap();
    for name in names.map(Path::new).into_iter().chain([&*absolute]) {
        let path = acme.join(name);
        assert_eq!(refusal(path.read(100)), Refusal::Outside, "{name:?}");
        assert_eq!(refusal(path.metadata()), Refusal::Outside, "{name:?}");
        assert_eq!(refusal(path.try_exists()), Refusal::Outside, "{name:?}");
        assert_eq!(refusal(path.open_to_append(0)), Refusal::Outside, "{name:?}");
        assert_eq!(refusal(path.open_to_write()), Refusal::Outside, "{name:?}");
        assert_eq!(refusal(path.directory()), Refusal::Outside, "{name:?}");
        assert_eq!(refusal(path.create_directory()), Refusal::Outside, "{name:?}");
    }
    assert_eq!(refusal(acme.join("up/made/below").create_directory()), Refusal::Outside);
    assert!(!scratch.at("globex/new").exists() && !scratch.at("made").exists());
}

#[test]
fn links_that_stay_within_the_folder_are_followed() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.at("acme/..2026_01")).unwrap();
    std::fs::write(scratch.at("acme/..2026_01/key"), "k").unwrap();
    symlink("..2026_01", scratch.at("acme/..data")).unwrap();
    symlink("..data/key", scratch.at("acme/key")).unwrap();
    symlink("../acme/token", scratch.at("acme/round")).unwrap();
    let acme = scratch.acme();
    assert_eq!(acme.join("key").read(100).unwrap(), b"k");
    // Out and in again is out.
    assert_eq!(refusal(acme.join("round").read(100)), Refusal::Outside);
}

#[test]
fn the_root_stays_the_folder_that_was_opened() {
    let scratch = Scratch::new();
    let token = scratch.acme().join("token");
    std::fs::rename(scratch.at("acme"), scratch.at("aside")).unwrap();
    symlink("globex", scratch.at("acme")).unwrap();
    assert_eq!(token.read(100).unwrap(), b"acme");
    assert!(Root::confined(&scratch.at("acme")).is_err(), "a link is no root");
    let tenants = Root::confined(scratch.0.path()).unwrap();
    assert!(tenants.folder("acme").is_err());
    assert_eq!(tenants.folder("globex").unwrap().join("token").read(100).unwrap(), b"globex");
    assert!(tenants.folder("..").is_err());
    assert_ne!(
        tenants.folder("globex").unwrap().identity().unwrap(),
        tenants.folder("aside").unwrap().identity().unwrap()
    );
}

#[test]
fn only_regular_files_are_opened_and_nobody_is_waited_for() {
    let scratch = Scratch::new();
    mkfifo(&scratch.at("acme/pipe"), Mode::S_IRWXU).unwrap();
    let _listener = UnixListener::bind(scratch.at("acme/socket")).unwrap();
    std::fs::create_dir(scratch.at("acme/folder")).unwrap();
    let operators = Root::unrestricted(scratch.at("acme"));
    for root in [scratch.acme(), operators.clone()] {
        for name in ["pipe", "socket", "folder"] {
            assert_eq!(refusal(root.join(name).read(100)), Refusal::NotRegular, "{name}");
            assert!(root.join(name).open_to_append(0).is_err() && root.join(name).open_to_write().is_err(), "{name}");
            assert!(!root.join(name).is_file());
        }
    }
    assert_eq!(refusal(operators.join("/dev/zero").read(100)), Refusal::NotRegular);
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let scratch = Scratch::new();
    File::create(scratch.at("acme/sparse")).unwrap().set_len(3 << 40).unwrap();
    let sparse = scratch.acme().join("sparse");
    assert_eq!(refusal(sparse.read(1 << 20)), Refusal::TooLarge { size: 3 << 40, most: 1 << 20 });
    assert_eq!(scratch.acme().join("token").read(4).unwrap(), b"acme");
    assert_eq!(refusal(scratch.acme().join("token").read(3)), Refusal::TooLarge { size: 4, most: 3 });
    let bounded = scratch.acme().join("token").at_most(3);
    assert_eq!(refusal(bounded.read(100)), Refusal::TooLarge { size: 4, most: 3 });
    // One that does not say how large it is, which only the operator can have.
    assert_eq!(refusal(RootedPath::of_operator("/proc/self/status").read(9)), Refusal::TooLarge { size: 10, most: 9 });
}

#[test]
fn the_operators_names_lead_anywhere() {
    let scratch = Scratch::new();
    symlink("../globex/token", scratch.at("acme/link")).unwrap();
    let acme = Root::unrestricted(scratch.at("acme"));
    assert_eq!(acme.join("link").read(100).unwrap(), b"globex");
    assert_eq!(acme.join("../globex/token").read(100).unwrap(), b"globex");
    assert_eq!(acme.join(scratch.at("globex/token")).read(100).unwrap(), b"globex");
    assert_eq!(RootedPath::of_operator(scratch.at("acme/token")).path(), scratch.at("acme/token"));
}

#[test]
fn folders_are_made_for_their_owner_and_files_too() {
    let scratch = Scratch::new();
    for root in [scratch.acme(), Root::unrestricted(scratch.at("globex"))] {
        let file = root.join("new/folder/a.ndjson");
        file.parent().create_directory().unwrap();
        file.parent().create_directory().unwrap();
        for _ in 0..2 {
            file.open_to_append(0).unwrap().write_all(b"line\n").unwrap();
        }
        assert_eq!(file.read(100).unwrap(), b"line\nline\n");
        let mode = |path: RootedPath| path.metadata().unwrap().mode() & 0o777;
        assert_eq!((mode(file.clone()), mode(file.parent()), mode(file.parent().parent())), (0o600, 0o700, 0o700));
        let error = root.join("token/below").create_directory().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }
}

#[test]
fn entries_of_a_folder_are_plain_names_and_links_are_replaced_not_followed() {
    let scratch = Scratch::new();
    symlink("../globex/token", scratch.at("acme/value")).unwrap();
    let folder = scratch.acme().join("").directory().unwrap();
    let name = OsStr::new;
    for bad in ["../globex/x", "a/b", "..", ".", "", "/x", "x/"] {
        assert!(folder.create_new(name(bad), 0).is_err(), "{bad}");
        assert!(folder.rename(name("token"), name(bad)).is_err(), "{bad}");
        assert!(folder.hard_link(name("token"), name(bad)).is_err(), "{bad}");
        assert!(folder.remove(name(bad)).is_err(), "{bad}");
    }
    folder.create_new(name("new"), 0).unwrap().write_all(b"n").unwrap();
    assert!(folder.create_new(name("value"), 0).is_err(), "there is a link of that name");
    folder.hard_link(name("value"), name("kept")).unwrap();
    folder.rename(name("new"), name("value")).unwrap();
    folder.sync().unwrap();
    assert_eq!(std::fs::read(scratch.at("acme/value")).unwrap(), b"n");
    assert!(scratch.at("acme/kept").is_symlink(), "the link, and not what it leads to");
    folder.remove(name("kept")).unwrap();
    assert_eq!(std::fs::read(scratch.at("globex/token")).unwrap(), b"globex");
    let mut names = folder.names().unwrap();
    names.sort();
    assert_eq!(names, ["token", "value"]);
    assert_eq!(folder.names().unwrap().len(), 2, "twice");
}

#[test]
fn a_folder_with_entries_without_end_is_not_listed() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.at("acme/many")).unwrap();
    for number in 0..=MAX_ENTRIES {
        symlink("nowhere", scratch.at(&format!("acme/many/{number}"))).unwrap();
    }
    let names = scratch.acme().join("many").directory().unwrap().names();
    assert_eq!(refusal(names), Refusal::TooMany { most: MAX_ENTRIES });
}

/// Somebody who swaps a folder and a link to a neighbour's as fast as possible.
#[test]
fn a_race_with_links_is_never_won() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.at("acme/good")).unwrap();
    std::fs::write(scratch.at("acme/good/token"), "acme").unwrap();
    symlink("../globex", scratch.at("acme/bad")).unwrap();
    symlink("good", scratch.at("acme/now")).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for target in ["bad", "good"] {
                    symlink(target, scratch.at("acme/next")).unwrap();
                    std::fs::rename(scratch.at("acme/next"), scratch.at("acme/now")).unwrap();
                }
            }
        });
        let token = scratch.acme().join("now/token");
        let (mut read, mut refused) = (0, 0);
        for _ in 0..20_000 {
            match token.read(100) {
                Ok(content) => {
                    assert_eq!(content, b"acme");
                    read += 1;
                }
                Err(error) if Refusal::of(&error) == Some(&Refusal::Outside) => refused += 1,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}"),
            }
        }
        over.store(true, Ordering::Relaxed);
        assert!(read + refused > 0);
    });
}
