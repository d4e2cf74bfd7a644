//! The product itself: the binary `devo-collector`, running in an [`Installation`].

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::installation::Installation;
use crate::process::Process;
use crate::statistics::Statistics;

/// A running collector. All that a [`Process`] can do, it can do.
#[derive(Debug)]
pub struct Collector {
    process: Process,
}

impl Collector {
    /// Starts it with the installation's `config.yaml`, as the original is started on premise.
    pub fn start(installation: &Installation) -> Result<Self> {
        Self::start_with(installation, &["--config", "config.yaml"])
    }

    /// Starts it with other arguments.
    pub fn start_with(installation: &Installation, arguments: &[&str]) -> Result<Self> {
        Self::start_in(installation.product(), arguments)
    }

    /// Starts it in a folder, where its log is kept as `collector.log`.
    pub fn start_in(folder: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command.args(arguments);
        Self::start_by(folder, command)
    }

    /// Starts it by a command that becomes the collector in the end, in a folder.
    pub fn start_by(folder: &Path, mut command: Command) -> Result<Self> {
        command.current_dir(folder);
        without_proxy(&mut command);
        // The cache of compiled components is the user's own, and what is compiled once serves all tests.
        command.env("XDG_CACHE_HOME", workspace().join("target/tmp/cache"));
        let log = folder.join("collector.log");
        Ok(Self { process: Process::start("devo-collector", command, &log)? })
    }

    /// The statistics of the finished pull cycles, in their order.
    pub fn statistics(&self) -> Result<Vec<Statistics>> {
        self.lines_with(&[Statistics::LINE]).iter().map(|line| line.parse()).collect()
    }

    /// How many events the finished pull cycles have sent together: confirmed and recorded.
    pub fn sent(&self) -> Result<u64> {
        Ok(self.statistics()?.iter().map(|cycle| cycle.sent).sum())
    }

    /// Waits for a warning or an error that contains all of `parts`, and returns it.
    pub fn wait_for_complaint(&self, parts: &[&str]) -> Result<String> {
        let what = format!("are a warning or an error and contain {parts:?}");
        let mut lines = self.wait_for_lines_that(&what, 1, crate::PATIENCE, |line| {
            (line.contains(" ERROR ") || line.contains(" WARNING ")) && parts.iter().all(|part| line.contains(part))
        })?;
        Ok(lines.swap_remove(0))
    }

    /// Waits until `count` pull cycles have finished, and returns the statistics of all that have.
    pub fn wait_for_cycles(&self, count: usize) -> Result<Vec<Statistics>> {
        let lines = self.wait_for_lines(count, &[Statistics::LINE], crate::PATIENCE)?;
        lines.iter().map(|line| line.parse()).collect()
    }

    /// Waits until the finished pull cycles have sent `total` events together, and returns the statistics of
    /// all of them.
    ///
    /// Events are counted as sent when they are confirmed and recorded, so this is later than their arrival.
    pub fn wait_until_sent(&self, total: u64) -> Result<Vec<Statistics>> {
        let sent = |cycles: &[Statistics]| cycles.iter().map(|cycle| cycle.sent).sum::<u64>();
        let mut cycles = self.statistics()?;
        let (mut before, mut since) = (sent(&cycles), Instant::now());
        while sent(&cycles) < total {
            cycles = self
                .wait_for_cycles(cycles.len() + 1)
                .with_context(|| format!("waiting for {total} events to be counted as sent"))?;
            // Cycles that send nothing go on forever.
            if sent(&cycles) > before {
                (before, since) = (sent(&cycles), Instant::now());
            } else if since.elapsed() > crate::PATIENCE {
                bail!("waited in vain for {total} events to be counted as sent, {before} were{}", self.tail());
            }
        }
        Ok(cycles)
    }
}

impl Deref for Collector {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

/// Whatever a test is about, a service that has ended leaves its state to the next one, and lets nobody wait
/// for it.
impl Drop for Collector {
    fn drop(&mut self) {
        let waits = self.lines_with(&["The state is still being written"]);
        assert!(waits.is_empty() || std::thread::panicking(), "something holds the state: {waits:?}");
    }
}

/// Keeps a proxy of the machine from a command: it is no part of any test.
pub fn without_proxy(command: &mut Command) {
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(name);
    }
}

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The binary: the one that `DEVO_COLLECTOR` names, or the one that was built with this program.
pub fn binary() -> Result<PathBuf> {
    let path = match std::env::var_os("DEVO_COLLECTOR") {
        Some(path) => PathBuf::from(path),
        None => built("devo-collector")?,
    };
    path.canonicalize().with_context(|| format!("resolving {}", path.display()))
}

/// A program that was built in the same profile as this one.
pub fn built(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe().context("looking for this program")?;
    let folder = this.parent().context("a program is in a folder")?;
    // Tests are one folder further down.
    let profile = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let path = profile.join(name);
    ensure!(
        path.is_file(),
        "there is no {}: `just test` builds it, or `cargo build --workspace --bins`",
        path.display()
    );
    Ok(path)
}
