//! Components of tenants that hurt before a call of them has begun: when they are compiled, and by what an
//! instance takes of the process.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sandbox::collector::{Collector, binary, workspace};
use sandbox::hosting::{Hosting, begins, wait_for_more_cycles};
use sandbox::stage::Stage;
use sandbox::waiting::poll;
use sandbox::{ALERTS_TABLE, PATIENCE};

/// What the process is called that compiles.
const COMPILER: &str = "devo-collector-compile";

const ALLOWED: &str = "egress: {allow_private_addresses: true}\nallow_components: true\n";

/// A component of so many functions with so many locals, each of which the compiler has to look for behind so
/// many loops. It is no collector, which is only seen when it has been compiled.
fn maze(functions: usize, locals: usize, loops: usize) -> Vec<u8> {
    let (declared, loops) = (" i64".repeat(locals), "(loop (br_if 0 (local.get 0)))".repeat(loops));
    let read: String = (1..=locals).map(|local| format!("(drop (local.get {local}))")).collect();
    let function = format!("(func (local i32{declared}) {loops} {read})");
    wat::parse_str(format!("(component (core module {}))", function.repeat(functions))).unwrap()
}

/// One that takes about nine seconds of computing.
fn long() -> Vec<u8> {
    maze(8, 1_000, 1_200)
}

/// A collector whose instances have so many memories, and whose pulls compute until they are ended.
fn with_memories(count: usize) -> Vec<u8> {
    let text = fs::read_to_string(workspace().join("tests/collectors/table-bomb.wat")).unwrap();
    let memory = r#"(memory (export "memory") 1)"#;
    assert!(text.contains(memory));
    wat::parse_str(text.replace(memory, &format!("{memory}{}", " (memory 1)".repeat(count - 1)))).unwrap()
}

/// Adds a tenant with a component of its own in so many services.
fn add(hosting: &Hosting, name: &str, component: &[u8], services: usize) -> Result<Stage> {
    hosting.add_prepared(name, 10, |stage| {
        fs::write(stage.installation.product().join("own.wasm"), component)?;
        let yaml = stage.settings.yaml();
        let (before, after) = yaml.split_once("    services:\n      alerts:\n").context("a service alerts")?;
        let more: String = (1..services)
            .map(|number| format!("      more{number}: {{override_devo_tag: {ALERTS_TABLE}}}\n"))
            .collect();
        let limits = "    limits: {cpu_in_milliseconds: 500}\n";
        let alerts = format!("      alerts:\n        override_devo_tag: {ALERTS_TABLE}\n{after}\n");
        stage
            .installation
            .write_config(&format!("{before}    component: own.wasm\n{limits}    services:\n{alerts}{more}"))
    })
}

/// Starts a host whose compiled components are not those of other tests.
fn start(hosting: &Hosting) -> Result<Collector> {
    hosting.start_with(&["--cache", "cache"])
}

/// The processes of this collector that compile.
fn compilers(collector: &Collector) -> Vec<i32> {
    let is_one = |process: &Path| {
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        let command = fs::read(process.join("cmdline")).unwrap_or_default();
        status.contains(&format!("\nPPid:\t{}\n", collector.pid())) && command.starts_with(COMPILER.as_bytes())
    };
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let named = |process: &Path| process.file_name()?.to_str()?.parse::<i32>().ok();
    processes.filter(|process| named(process).is_some() && is_one(process)).filter_map(|path| named(&path)).collect()
}

fn wait_for_compiler(collector: &Collector) -> i32 {
    poll("a process that compiles", PATIENCE, || Ok(compilers(collector).first().copied())).unwrap()
}

fn wait_for_end(pid: i32) {
    let is_gone = || Ok((!Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
    poll("the end of the process that compiles", PATIENCE, is_gone).unwrap();
}

#[test]
fn what_cannot_be_compiled_within_limits_is_refused_by_name_and_hurts_nobody() {
    let hosting = Hosting::new("hostile-compilation").unwrap();
    hosting.decide(&format!("{ALLOWED}compilation: {{memory_in_bytes: 200000000, cpu_in_seconds: 2}}\n")).unwrap();
    let mut neighbour = hosting.add("neighbour", 60).unwrap();
    let collector = start(&hosting).unwrap();
    neighbour.wait_for_all(&collector).unwrap();
    let attacks = [
        // Kept the compiler busy for minutes, with gigabytes.
        ("locals", maze(1, 20_000, 1_000), "it has 20001 locals in one function, and at most 5000 are allowed"),
        ("blocks", maze(1, 4_900, 3_000), "locals times blocks in its functions, and at most 10000000 are allowed"),
        // Within the sizes, and too much all the same.
        ("memory", maze(1, 4_900, 2_000), "compiling it takes more than 200000000 bytes (compilation.memory_in_bytes)"),
        ("cpu", maze(48, 2_000, 100), "compiling it takes more than 2s of computing (compilation.cpu_in_seconds)"),
    ];
    let tenants: Vec<_> = attacks.iter().map(|(name, component, _)| add(&hosting, name, component, 1)).collect();
    assert!(tenants.iter().all(Result::is_ok));
    for (name, _, reason) in &attacks {
        collector.wait_for_complaint(&[&format!("The tenant {name} "), "inputs.cloudsek.component", reason]).unwrap();
        assert!(compilers(&collector).len() <= 1);
    }
    neighbour.add_newer(10);
    neighbour.wait_for_all(&collector).unwrap();
    neighbour.compare().exactly_once().unwrap();
    // Whoever comes after them is compiled and called, and twice the same one compiled once.
    let late = ["late", "later"];
    let stages = late.map(|name| add(&hosting, name, &with_memories(2), 1).unwrap());
    for name in late {
        collector.wait_for_complaint(&[&format!(" {name}/"), "[CODE:0310]"]).unwrap();
    }
    drop(stages);
    let kept = fs::read_dir(hosting.tenants().parent().unwrap().join("cache")).unwrap().count();
    assert_eq!(kept, 2, "the bundled one and theirs");
    // What is known to be too much is not tried again.
    let told = ["The tenant cpu ", "compilation.cpu_in_seconds"];
    collector.wait_for_lines(2, &told, PATIENCE).unwrap();
    assert_eq!(collector.lines_with(&[" cpu/", "is compiled as soon as"]).len(), 1);
    assert!(collector.memory().unwrap().peak < 400_000, "{:?}", collector.memory());
    assert_eq!(begins(&collector, "neighbour"), 1);
    assert_eq!(collector.stop(PATIENCE).unwrap().code(), Some(0));
}

#[test]
fn the_process_that_compiles_has_nothing_to_give_away_and_ends_with_whoever_wants_it() {
    let hosting = Hosting::new("hostile-compiler").unwrap();
    hosting.decide(ALLOWED).unwrap();
    let names = ["a", "b", "c"];
    let stages = names.map(|name| add(&hosting, name, &[&long(), &b"\0\x02\x01"[..], name.as_bytes()].concat(), 1));
    assert!(stages.iter().all(Result::is_ok));
    // The program may be replaced while it runs.
    let folder = hosting.tenants().parent().unwrap().to_owned();
    let program = folder.join("devo-collector");
    fs::copy(binary().unwrap(), &program).unwrap();
    let mut command = Command::new(&program);
    command.args(["--tenants", "tenants", "--cache", "cache"]);
    let collector = Collector::start_by(&folder, command).unwrap();
    fs::write(folder.join("newer"), "#!/bin/false").unwrap();
    fs::rename(folder.join("newer"), &program).unwrap();
    let first = wait_for_compiler(&collector);
    let process = |file: &str| fs::read(format!("/proc/{first}/{file}")).unwrap();
    // The limit on computing is the last thing that it sets before it reads what it is to compile.
    poll("its limits", PATIENCE, || {
        let limits = String::from_utf8(process("limits"))?;
        Ok(limits.lines().any(|line| line.starts_with("Max cpu time") && line.contains(" 30 ")).then_some(()))
    })
    .unwrap();
    assert_eq!(process("environ"), b"");
    let open = fs::read_dir(format!("/proc/{first}/fd")).unwrap();
    let open: Vec<_> = open.map(|entry| fs::read_link(entry.unwrap().path()).unwrap()).collect();
    assert!(open.len() <= 3 && open.iter().all(|file| file.to_string_lossy().starts_with("pipe:[")), "{open:?}");
    let status = String::from_utf8(process("status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1\n") && status.contains("Threads:\t1\n"), "{status}");

    // Killed by somebody else: it is tried again, and the next one has its turn.
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    collector
        .wait_for_complaint(&["has failed: its process was ended by SIGKILL", "It is tried again later."])
        .unwrap();
    let second = wait_for_compiler(&collector);
    assert_ne!(first, second);
    // Its tenant goes away, and those that wait.
    let hidden = |name: &str| hosting.tenants().join(format!(".{name}"));
    names.iter().for_each(|name| fs::rename(hosting.product(name), hidden(name)).unwrap());
    wait_for_end(second);
    poll("no process that compiles", PATIENCE, || Ok(compilers(&collector).is_empty().then_some(()))).unwrap();
    // A stop in the middle.
    fs::rename(hidden("a"), hosting.product("a")).unwrap();
    let third = wait_for_compiler(&collector);
    assert_eq!(collector.stop(Duration::from_secs(10)).unwrap().code(), Some(0));
    wait_for_end(third);
    assert!(collector.lines_with(&["it does not export"]).is_empty(), "one of them came to its end");
    // The collector itself is killed.
    let collector = start(&hosting).unwrap();
    let last = wait_for_compiler(&collector);
    collector.kill().unwrap();
    wait_for_end(last);
}

#[test]
fn instances_with_many_memories_are_refused_and_with_few_leave_room_for_others() {
    let hosting = Hosting::new("hostile-memories").unwrap();
    hosting.decide(ALLOWED).unwrap();
    let mut neighbours: Vec<_> = (0..3).map(|number| hosting.add(&format!("good-{number}"), 30).unwrap()).collect();
    // Without a cache, too.
    let collector = hosting.start_with(&["--cache", "host.yaml"]).unwrap();
    neighbours.iter().for_each(|stage| stage.wait_for_all(&collector).unwrap());
    let (many, few) = (with_memories(98), with_memories(4));
    let refused: Vec<_> = (0..22).map(|number| format!("many-{number}")).collect();
    let allowed: Vec<_> = (0..4).map(|number| format!("few-{number}")).collect();
    let tenants = refused.iter().map(|name| add(&hosting, name, &many, 15));
    let tenants: Vec<_> = tenants.chain(allowed.iter().map(|name| add(&hosting, name, &few, 15))).collect();
    assert!(tenants.iter().all(Result::is_ok));
    for name in &refused {
        let reason = "it has 98 memories, and at most 4 are allowed";
        collector.wait_for_complaint(&[&format!("The tenant {name} "), reason]).unwrap();
    }
    for name in &allowed {
        // Their calls are made, and ended for what they do.
        collector.wait_for_complaint(&[&format!(" {name}/"), "[CODE:0310]"]).unwrap();
    }
    neighbours.iter_mut().for_each(|stage| {
        stage.add_newer(10);
    });
    neighbours.iter().for_each(|stage| stage.wait_for_all(&collector).unwrap());
    wait_for_more_cycles(&collector, "good-0", 1).unwrap();
    let mappings = fs::read_to_string(format!("/proc/{}/maps", collector.pid())).unwrap().lines().count();
    assert!(mappings < 5_000, "{mappings} mappings");
    assert!(collector.lines_with(&[" good-", " ERROR "]).is_empty());
}
