//! The machine fails: the process is killed or frozen, the disk is full or read-only, the clock jumps.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use chrono::{Datelike, TimeDelta, Utc};
use nix::sys::signal::Signal;

use super::{Scale, Trial, goes_on, impatient, settled};
use crate::check::Report;
use crate::collector::{Collector, binary};
use crate::process::Process;
use crate::stage::{Plan, Stage};
use crate::torture::Torture;
use crate::{ALERTS_TABLE, PATIENCE};

pub(super) const TRIALS: &[Trial] = &[
    Trial {
        fault: "the process is killed, again and again",
        injected: "`kill -9` at 1,000 random moments while 16,000 alerts are added to 4,000",
        happens: "goes on from the last acknowledged chunk; repeats at most one chunk a kill",
        run: killed,
    },
    Trial {
        fault: "killed during a long first walk",
        injected: "`kill -9` three times within a first walk over 1,000,000 alerts",
        happens: "goes on at the page where it stood, in bounded memory",
        run: killed_in_a_long_walk,
    },
    Trial {
        fault: "the process is frozen while Devo restarts",
        injected: "SIGSTOP in the middle of sending, the receiver closed and opened, SIGCONT",
        happens: "meets the broken connection, sends what was not confirmed again",
        run: frozen,
    },
    Trial {
        fault: "the disk is full",
        injected: "`state/` on a file system without room for it",
        happens: "PullError 301, nothing counts as delivered; goes on when there is room",
        run: disk_full,
    },
    Trial {
        fault: "the state folder turns read-only",
        injected: "mounted once more read-only, and back",
        happens: "PullError 301; goes on when it can be written to",
        run: turns_read_only,
    },
    Trial {
        fault: "the state folder is read-only at the start",
        injected: "its file system mounted read-only",
        happens: "CollectorConfigurationException 7 names it; nothing is asked for or sent",
        run: read_only_at_the_start,
    },
    Trial {
        fault: "the clock jumps ahead",
        injected: "by three years for the process alone (libfaketime), and back",
        happens: "nothing: windows move with the alerts and not with the clock",
        run: |_| clock_jumps(3),
    },
    Trial {
        fault: "the clock jumps back",
        injected: "by ten years for the process alone (libfaketime), and forth",
        happens: "what looks like the future is delivered, and does not move the window",
        run: |_| clock_jumps(-10),
    },
];

fn killed(scale: Scale) -> Result<Report> {
    let (kills, alerts) = if scale == Scale::Full { (1_000, 20_000) } else { (25, 4_000) };
    let outcome = Torture { kills, alerts, seed: 1 }.run(|_| ())?;
    outcome.is_as_promised()?;
    ensure!(outcome.tally.killed_while_sending * 5 > kills, "too few kills met a process that had begun to send");
    Ok(outcome.report)
}

fn killed_in_a_long_walk(scale: Scale) -> Result<Report> {
    let alerts = if scale == Scale::Full { 1_000_000 } else { 60_000 };
    let simulator = crate::simulator::Settings { max_limit: 1_000, ..Default::default() };
    let mut stage = Stage::set("long-walk", &Plan { simulator, ..Plan::new(alerts) })?;
    stage.settings.input += "request: {limit: 1000}\n";
    stage.configure()?;
    for kill in 1..=3 {
        let collector = stage.start()?;
        stage.receiver.wait_for(ALERTS_TABLE, alerts * kill / 4, PATIENCE)?;
        within_bounds(&collector)?;
        collector.kill()?;
    }
    let before = stage.simulator.request_count();
    let collector = stage.start()?;
    stage.wait_for_all(&collector)?;
    within_bounds(&collector)?;
    // A quarter is left, and what the kills have repeated, and the pass that confirms reads all pages. Anew
    // it would be all of them twice.
    let (requests, pages) = (stage.simulator.request_count() - before, alerts / 1_000);
    ensure!(
        requests < pages * 11 / 6,
        "{requests} requests for {pages} pages after the last kill: the walk began anew"
    );
    settled(&stage, &collector)
}

/// Far below the gigabyte that a million alerts have.
fn within_bounds(collector: &Collector) -> Result<()> {
    let peak = collector.memory()?.peak;
    ensure!(peak < 160 * 1024, "{peak} KiB of memory");
    Ok(())
}

fn frozen(_: Scale) -> Result<Report> {
    let mut stage = impatient("frozen", 10_000)?;
    let collector = stage.start()?;
    stage.receiver.wait_for(ALERTS_TABLE, 500, PATIENCE)?;
    collector.signal(Signal::SIGSTOP)?;
    stage.receiver.stop();
    stage.receiver.resume()?;
    ensure!(stage.receiver.count(ALERTS_TABLE) < 10_000, "it was frozen too late");
    collector.signal(Signal::SIGCONT)?;
    stage.wait_for_all(&collector)?;
    settled(&stage, &collector)
}

/// Starts the collector with `state/` on a file system with these options, which nobody else sees.
fn start_on_tmpfs(stage: &Stage, options: &str) -> Result<Collector> {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    command.arg(r#"mount -t tmpfs -o "$1" state state && exec "$2" --config config.yaml"#);
    command.args(["sh", options]).arg(binary()?);
    Collector::start_by(stage.installation.product(), command)
        .context("unshare (util-linux) is needed, and a kernel that lets users make namespaces")
}

/// Runs a script with root's rights where the collector's own mounts are seen; its first argument is
/// `state/`.
fn among_its_mounts(stage: &Stage, collector: &Process, script: &str) -> Result<()> {
    let mut command = Command::new("nsenter");
    command.args(["--user", "--mount", "--preserve-credentials", "--target", &collector.pid().to_string()]);
    command.args(["sh", "-ec", script, "sh"]).arg(stage.installation.state());
    let output = command.output().context("nsenter (util-linux) is needed")?;
    ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn disk_full(_: Scale) -> Result<Report> {
    // All of them within the window, so that their ids take more room than there is.
    let mut stage = Stage::set("disk-full", &Plan { spread: TimeDelta::hours(12), ..Plan::new(3_000) })?;
    let collector = start_on_tmpfs(&stage, "size=16k")?;
    collector.wait_for_complaint(&["PullError [CODE:0301]", "No space left on device"])?;
    ensure!(collector.sent()? == 0, "something was counted");
    among_its_mounts(&stage, &collector, r#"mount -o remount,size=8m "$1""#)?;
    collector.wait_until_sent(3_000)?;
    goes_on(&mut stage, &collector)
}

fn turns_read_only(_: Scale) -> Result<Report> {
    let mut stage = Stage::new("read-only", 200)?;
    let collector = start_on_tmpfs(&stage, "size=8m")?;
    collector.wait_until_sent(200)?;
    // Over itself, for the collector has a file of the first mount open for writing: its lock.
    among_its_mounts(&stage, &collector, r#"mount --bind "$1" "$1"; mount -o remount,bind,ro "$1""#)?;
    stage.add_newer(20);
    collector.wait_for_complaint(&["PullError [CODE:0301]", "Read-only file system"])?;
    ensure!(collector.sent()? == 200, "something was counted");
    among_its_mounts(&stage, &collector, r#"umount "$1""#)?;
    collector.wait_until_sent(220)?;
    goes_on(&mut stage, &collector)
}

fn read_only_at_the_start(_: Scale) -> Result<Report> {
    let mut stage = Stage::new("read-only-start", 5)?;
    let collector = start_on_tmpfs(&stage, "ro")?;
    collector.wait_for_complaint(&["CollectorConfigurationException [CODE:0007]", "state", "Read-only"])?;
    ensure!(collector.wait_for_exit(PATIENCE)?.code() == Some(1), "it ended with another status");
    ensure!(stage.simulator.request_count() == 0, "the API was asked");
    let collector = stage.start()?;
    goes_on(&mut stage, &collector)
}

/// The library that lies about the time.
fn faketime() -> Result<PathBuf> {
    let file = "faketime/libfaketime.so.1";
    let known = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"];
    match known.iter().map(|folder| Path::new(folder).join(file)).find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => bail!("there is no {file}: run ./setup.sh"),
    }
}

/// The clock jumps by so many years, and back.
fn clock_jumps(years: i32) -> Result<Report> {
    // No start time: one of this week would lie in the future for a clock that is years behind.
    let mut stage = Stage::set("clock", &Plan { https: false, ..Plan::new(200) })?;
    stage.settings.service.clear();
    stage.configure()?;
    let clock = stage.installation.product().join("clock");
    let set = |years: i32| std::fs::write(&clock, format!("{years:+}y\n"));
    set(0)?;
    let mut command = Command::new(binary()?);
    command.args(["--config", "config.yaml"]);
    command.env("LD_PRELOAD", faketime()?).env("FAKETIME_TIMESTAMP_FILE", &clock).env("FAKETIME_NO_CACHE", "1");
    // What counts elapsed time is another clock, which doesn't jump.
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1");
    let collector = Collector::start_by(stage.installation.product(), command)?;
    collector.wait_until_sent(200)?;
    for jump in [years, 0] {
        set(jump)?;
        stage.add_newer(20);
        stage.add_late(5, TimeDelta::hours(2));
        stage.wait_for_all(&collector)?;
        let cycles = collector.statistics()?.len();
        collector.wait_for_cycles(cycles + 2)?;
        let year = format!("{}-", Utc::now().year() + jump);
        let last = collector.lines().pop().context("no line")?;
        ensure!(last.starts_with(&year), "the clock stands elsewhere: {last}");
    }
    settled(&stage, &collector)
}
