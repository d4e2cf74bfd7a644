//! A tenant who can write to its own folder while the collector runs, and makes of its files what hurts
//! others: links to a neighbour's, pipes that nobody opens, files without end.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::libc;
use sandbox::PATIENCE;
use sandbox::collector::{Collector, binary};
use sandbox::hosting::{Hosting, begins, wait_for_more_cycles};
use sandbox::stage::Stage;
use sandbox::waiting::poll;

/// The state file of the service that a stage has.
const STATE: &str = "cloudsek-cloudsek_1-alerts.state";

/// The original's state file of that service: the MD5 of `cloudsek;cloudsek_1;alerts;None`.
const ORIGINAL: &str = "95fbbcf4d968bee50b610e76801bc2f3";

const LOCK: &str = ".devo-collector.lock";

/// Puts a link in a file's place, so that at no moment there is none.
fn replace_by_link(target: impl AsRef<Path>, file: &Path) {
    let new = file.with_file_name("new-link");
    symlink(target, &new).unwrap();
    std::fs::rename(new, file).unwrap();
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A tenant whose token is in a file that is read again every second.
fn with_token_file(hosting: &Hosting, name: &str) -> Stage {
    with_token(hosting, name, |token, product| std::fs::write(product.join("token"), token).unwrap())
}

fn with_token(hosting: &Hosting, name: &str, put: impl FnOnce(&str, &Path)) -> Stage {
    let prepare = |stage: &mut Stage| {
        put(&stage.simulator.token(), stage.installation.product());
        stage.settings.token = "\"\"".into();
        stage.settings.input += "token_file: token\nautoconfig: {refresh_interval_in_seconds: 1}\n";
        stage.configure()
    };
    hosting.add_prepared(name, 10, prepare).unwrap()
}

/// Waits until a token that was replaced was read again: the log says why it can't be, or the API got another
/// one.
fn wait_for_refusal(collector: &Collector, stage: &Stage, name: &str) {
    let refused = [&*format!(" {name}/"), "the token can't be read"];
    poll("the token to be read again", PATIENCE, || {
        let stolen = stage.simulator.requests().iter().any(|request| !request.authorized);
        Ok((stolen || !collector.lines_with(&refused).is_empty()).then_some(()))
    })
    .unwrap();
    let stolen = stage.simulator.requests().into_iter().find(|request| !request.authorized);
    assert!(stolen.is_none(), "a token that is not its own was sent to the API of {name}: {stolen:?}");
}

#[test]
fn a_token_that_becomes_a_link_to_a_neighbours_is_not_sent() {
    let hosting = Hosting::new("stolen-token").unwrap();
    let globex = with_token_file(&hosting, "globex");
    let mut tenants = Vec::new();
    for (name, target) in [
        ("relative", "../globex/token".to_owned()),
        ("absolute", hosting.product("globex").join("token").display().to_string()),
        ("magic", "/proc/self/cwd/tenants/globex/token".to_owned()),
        ("through-a-folder", "up/globex/token".to_owned()),
    ] {
        tenants.push((name, target, with_token_file(&hosting, name)));
    }
    let collector = hosting.start().unwrap();
    globex.wait_for_all(&collector).unwrap();
    for (name, target, stage) in &mut tenants {
        stage.wait_for_all(&collector).unwrap();
        symlink("..", hosting.product(name).join("up")).unwrap();
        replace_by_link(&*target, &hosting.product(name).join("token"));
    }
    for (name, _, stage) in &mut tenants {
        wait_for_refusal(&collector, stage, name);
        let refused = ["[CODE:0008]", "inputs.cloudsek.token_file", "It runs on with the configuration before"];
        collector.wait_for_complaint(&[&[&*format!("The tenant {name}: ")], &refused[..]].concat()).unwrap();
        stage.add_newer(5);
        stage.wait_for_all(&collector).unwrap();
    }
    assert!(!hosting.log().contains(&globex.simulator.token()));
}

#[test]
fn a_secret_of_kubernetes_is_taken_and_its_successor_too() {
    let hosting = Hosting::new("kubernetes").unwrap();
    let mut acme = with_token(&hosting, "acme", |_, product| {
        for (folder, token) in [("..2026_01", "outdated"), ("..2026_02", "test-token-of-acme")] {
            std::fs::create_dir(product.join(folder)).unwrap();
            std::fs::write(product.join(folder).join("token"), token).unwrap();
        }
        symlink("..2026_01", product.join("..data")).unwrap();
        symlink("..data/token", product.join("token")).unwrap();
    });
    let collector = hosting.start().unwrap();
    collector.wait_for_complaint(&[" acme/", "ApiError [CODE:0401]"]).unwrap();
    replace_by_link("..2026_02", &hosting.product("acme").join("..data"));
    acme.wait_for_all(&collector).unwrap();
    acme.add_newer(5);
    acme.wait_for_all(&collector).unwrap();
}

#[test]
fn dead_letters_never_land_in_a_neighbours_folder() {
    let hosting = Hosting::new("stray-letters").unwrap();
    // Every event is too large for it.
    let put_aside = |stage: &mut Stage| {
        stage.settings.output += "max_event_in_bytes: 10\n";
        stage.configure()
    };
    let mut tenants = ["file", "folder"].map(|name| (name, hosting.add_prepared(name, 5, put_aside).unwrap()));
    let globex = hosting.add("globex", 5).unwrap();
    let collector = hosting.start().unwrap();
    globex.wait_for_all(&collector).unwrap();
    let before = std::fs::read(globex.installation.config()).unwrap();
    for (name, stage) in &mut tenants {
        let folder = hosting.product(name).join("dead_letters");
        let file = folder.join("devo_us_1.ndjson");
        poll("dead letters", PATIENCE, || Ok(std::fs::metadata(&file)?.is_file().then_some(()))).unwrap();
        wait_for_more_cycles(&collector, name, 1).unwrap();
        if *name == "file" {
            replace_by_link("../../globex/config/config.yaml", &file);
        } else {
            std::fs::rename(&folder, hosting.product(name).join("aside")).unwrap();
            symlink("../globex", &folder).unwrap();
        }
        stage.add_newer(5);
    }
    for (name, _) in &tenants {
        let told = [&*format!(" {name}/"), "could not be written", "leads out of the tenant's own folder"];
        collector.wait_for_line(&told, PATIENCE).unwrap();
    }
    assert_eq!(std::fs::read(globex.installation.config()).unwrap(), before);
    assert!(!hosting.product("globex").join("devo_us_1.ndjson").exists());
}

#[test]
fn nothing_is_made_or_read_outside_through_a_link_in_the_state() {
    let hosting = Hosting::new("stray-state").unwrap();
    let globex = hosting.add("globex", 5).unwrap();
    let collector = hosting.start().unwrap();
    globex.wait_for_all(&collector).unwrap();
    wait_for_more_cycles(&collector, "globex", 1).unwrap();
    for (name, file, target) in [
        ("lock", LOCK, "../../globex/made".to_owned()),
        ("value", STATE, format!("../../globex/state/{STATE}")),
        ("original", ORIGINAL, "../../globex/config/config.yaml".to_owned()),
    ] {
        let linked = |stage: &mut Stage| Ok(symlink(&target, stage.installation.state().join(file))?);
        let stage = hosting.add_prepared(name, 5, linked).unwrap();
        let named = format!("{}/state/{file}", hosting.product(name).display());
        let told = if file == LOCK { hosting.product(name).join("state").display().to_string() } else { named };
        collector.wait_for_complaint(&[&told, "leads out of the tenant's own folder"]).unwrap();
        assert_eq!(stage.simulator.request_count(), 0, "{name}");
    }
    assert!(!hosting.product("globex").join("made").exists());
}

#[test]
fn a_state_folder_that_becomes_a_link_to_a_neighbours_is_not_written_to() {
    let hosting = Hosting::new("moved-state").unwrap();
    let globex = hosting.add("globex", 5).unwrap();
    let mut acme = hosting.add("acme", 5).unwrap();
    let collector = hosting.start().unwrap();
    for (name, stage) in [("globex", &globex), ("acme", &acme)] {
        stage.wait_for_all(&collector).unwrap();
        wait_for_more_cycles(&collector, name, 1).unwrap();
    }
    // Nothing else of globex changes its state: it has no more alerts.
    let names = || -> Vec<_> {
        let folder = std::fs::read_dir(globex.installation.state()).unwrap();
        folder.map(|entry| entry.unwrap().file_name()).collect()
    };
    let before = names();
    std::fs::rename(acme.installation.state(), hosting.product("acme").join("aside")).unwrap();
    // Another service's name, so that the neighbour's own writes are told from strays.
    symlink("../globex/state", acme.installation.state()).unwrap();
    acme.add_newer(5);
    collector.wait_for_complaint(&[" acme/", "leads out of the tenant's own folder"]).unwrap();
    wait_for_more_cycles(&collector, "globex", 1).unwrap();
    assert_eq!(names().len(), before.len());
    assert_eq!(begins(&collector, "globex"), 1);
    globex.compare().exactly_once().unwrap();
}

#[test]
fn pipes_in_place_of_files_hold_up_nobody() {
    let hosting = Hosting::new("pipes").unwrap();
    let mut waiting = Vec::new();
    for (kind, file) in [("state", STATE), ("lock", LOCK), ("original", ORIGINAL)] {
        // As many as may be prepared at once.
        for number in 0..8 {
            let with_pipe = |stage: &mut Stage| {
                pipe(&stage.installation.state().join(file));
                Ok(())
            };
            waiting.push((hosting.add_prepared(&format!("{kind}-{number}"), 1, with_pipe).unwrap(), file));
        }
    }
    let steady = hosting.add("steady", 20).unwrap();
    let rotated: Vec<_> = (0..8).map(|number| with_token_file(&hosting, &format!("token-{number}"))).collect();
    let collector = hosting.start().unwrap();
    steady.wait_for_all(&collector).unwrap();
    for stage in &rotated {
        stage.wait_for_all(&collector).unwrap();
        let token = stage.installation.product().join("token");
        pipe(&token.with_extension("new"));
        std::fs::rename(token.with_extension("new"), token).unwrap();
    }
    for kind in ["state", "lock", "original"] {
        collector.wait_for_lines(8, &[&format!("tenants/{kind}-"), "no regular file"], PATIENCE).unwrap();
    }
    for number in 0..8 {
        let told = [&*format!(" token-{number}/"), "the token can't be read", "no regular file"];
        collector.wait_for_line(&told, PATIENCE).unwrap();
    }
    wait_for_more_cycles(&collector, "steady", 2).unwrap();
    assert_eq!(collector.stop(PATIENCE).unwrap().code(), Some(0));
    assert_eq!(collector.lines_with(&["All tenants have stopped"]).len(), 1, "a stop waits for none of them");
    // At its end a stage reads its whole state.
    waiting.iter().for_each(|(stage, file)| std::fs::remove_file(stage.installation.state().join(file)).unwrap());
}

#[test]
fn a_state_without_end_is_refused_by_its_size() {
    let hosting = Hosting::new("endless-state").unwrap();
    let mut told = Vec::new();
    for (name, file, reason) in
        [("value", STATE, "it has 3221225472 bytes"), ("original", ORIGINAL, "it has more than 4194304 bytes")]
    {
        let endless = |stage: &mut Stage| {
            let file = File::create(stage.installation.state().join(file))?;
            Ok(file.set_len(3 << 30)?)
        };
        told.push((hosting.add_prepared(name, 5, endless).unwrap(), file, reason));
    }
    let steady = hosting.add("steady", 20).unwrap();
    let collector = hosting.start().unwrap();
    steady.wait_for_all(&collector).unwrap();
    for (stage, file, reason) in &told {
        collector.wait_for_complaint(&[file, reason]).unwrap();
        assert_eq!(stage.simulator.request_count(), 0);
    }
    let peak = collector.memory().unwrap().peak;
    assert!(peak < 300_000, "{peak} KiB");
    // At its end a stage reads its whole state.
    told.iter().for_each(|(stage, file, _)| std::fs::remove_file(stage.installation.state().join(file)).unwrap());
}

#[test]
fn a_folder_in_place_of_a_file_concerns_its_tenant_alone() {
    let hosting = Hosting::new("folders").unwrap();
    let steady = hosting.add("steady", 20).unwrap();
    let mut stages = Vec::new();
    for (name, file) in [("value", STATE), ("lock", LOCK), ("original", ORIGINAL)] {
        let folder = |stage: &mut Stage| Ok(std::fs::create_dir(stage.installation.state().join(file))?);
        stages.push((name, hosting.add_prepared(name, 5, folder).unwrap()));
    }
    let collector = hosting.start().unwrap();
    steady.wait_for_all(&collector).unwrap();
    for (name, stage) in &stages {
        collector.wait_for_complaint(&[&format!("tenants/{name}/state")]).unwrap();
        assert_eq!(stage.simulator.request_count(), 0, "{name}");
    }
    steady.compare().exactly_once().unwrap();
}

/// A file system that never answers, until this is dropped.
struct Hanging {
    place: PathBuf,
    /// Where the system asks what is in it: closed, everything in it is an error.
    _questions: File,
}

impl Hanging {
    /// In place of this folder. Only who may mount can do that.
    fn mount(place: PathBuf) -> io::Result<Self> {
        let questions = File::options().read(true).write(true).open("/dev/fuse")?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", questions.as_raw_fd());
        let [target, options] = [place.as_os_str().as_bytes(), options.as_bytes()].map(CString::new);
        let (target, options) = (target?, options?);
        let kind = c"fuse.hanging".as_ptr();
        // SAFETY: all of these end with a zero and live until the call returns.
        let mounted = unsafe { libc::mount(kind, target.as_ptr(), kind, 0, options.as_ptr().cast()) };
        if mounted == 0 { Ok(Self { place, _questions: questions }) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        let Ok(target) = CString::new(self.place.as_os_str().as_bytes()) else { return };
        // SAFETY: it ends with a zero and lives until the call returns.
        unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
    }
}

#[test]
fn a_file_system_that_does_not_answer_hinders_its_tenant_alone() {
    let hosting = Hosting::new("hanging").unwrap();
    let mut steady = hosting.add("steady", 20).unwrap();
    let stuck = ["folder", "state"].map(|name| hosting.add(name, 5).unwrap());
    let places = [hosting.product("folder"), stuck[1].installation.state()];
    let mut hanging = Vec::new();
    for place in places {
        match Hanging::mount(place) {
            Ok(mounted) => hanging.push(mounted),
            Err(error) => return eprintln!("not tested: no file system can be mounted here: {error}"),
        }
    }
    let collector = hosting.start().unwrap();
    steady.wait_for_all(&collector).unwrap();
    collector.wait_for_complaint(&["The tenant folder: ", "its file system does not answer"]).unwrap();
    steady.add_newer(5);
    steady.wait_for_all(&collector).unwrap();
    // Another one is added while two hang.
    let new = hosting.add("new", 5).unwrap();
    new.wait_for_all(&collector).unwrap();
    assert_eq!(collector.stop(PATIENCE).unwrap().code(), Some(0));
    assert!(stuck.iter().all(|stage| stage.simulator.request_count() == 0));
    // At its end a stage reads its whole state.
    drop(hanging);
}

#[test]
fn where_files_cannot_be_opened_beneath_a_folder_nothing_is_hosted() {
    let hosting = Hosting::new("no-openat2").unwrap();
    let stage = hosting.add("acme", 5).unwrap();
    let mut command = Command::new(binary().unwrap());
    command.args(["--tenants", "tenants"]);
    // SAFETY: between fork and exec only system calls are made.
    unsafe { command.pre_exec(forget_openat2) };
    let collector = Collector::start_by(hosting.tenants().parent().unwrap(), command).unwrap();
    let refused = ["can't be read; nothing was started", "no openat2", "Linux 5.6 or later"];
    collector.wait_for_complaint(&refused).unwrap();
    assert_eq!(collector.wait_for_exit(PATIENCE).unwrap().code(), Some(1));
    assert_eq!(stage.simulator.request_count(), 0);
}

/// From now on this process has an older kernel: the call is not known to it.
fn forget_openat2() -> io::Result<()> {
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut filter = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_openat2 as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program lives until the calls return.
    let set = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    if set { Ok(()) } else { Err(io::Error::last_os_error()) }
}
