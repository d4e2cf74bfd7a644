//! A child process under control: its output line by line, signals, memory, exit. It never outlives its
//! owner.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::waiting::Watched;

/// A running program, or one that has ended.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: Pid,
    started: Instant,
    log: PathBuf,
    seen: Arc<Watched<Seen>>,
}

#[derive(Debug)]
struct Seen {
    lines: Vec<String>,
    open_outputs: usize,
    exit: Option<ExitStatus>,
}

/// Resident memory, in KiB.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Now.
    pub resident: u64,
    /// At most so far.
    pub peak: u64,
}

impl Process {
    /// Starts `command`. What it prints is kept in memory and appended to the file `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("opening {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let pid = Pid::from_raw(child.id().try_into().context("a pid")?);
        let seen = Arc::new(Watched::new(Seen { lines: Vec::new(), open_outputs: 2, exit: None }));
        let file = Arc::new(file);
        follow(child.stdout.take(), &seen, &file);
        follow(child.stderr.take(), &seen, &file);
        let watcher = Arc::clone(&seen);
        std::thread::spawn(move || wait(pid, child, &watcher));
        Ok(Self { name: name.to_owned(), pid, started, log: log.to_owned(), seen })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The lines that it has printed, standard output and standard error together.
    pub fn lines(&self) -> Vec<String> {
        self.seen.read(|seen| seen.lines.clone())
    }

    /// The lines that contain all of `parts`.
    pub fn lines_with(&self, parts: &[&str]) -> Vec<String> {
        self.seen.read(|seen| seen.lines.iter().filter(|line| has(line, parts)).cloned().collect())
    }

    /// Waits for a line that contains all of `parts`; one printed earlier counts.
    pub fn wait_for_line(&self, parts: &[&str], timeout: Duration) -> Result<String> {
        let mut lines = self.wait_for_lines(1, parts, timeout)?;
        Ok(lines.swap_remove(0))
    }

    /// Waits for `count` lines that contain all of `parts`, those printed earlier included, and returns all
    /// there are.
    pub fn wait_for_lines(&self, count: usize, parts: &[&str], timeout: Duration) -> Result<Vec<String>> {
        self.wait_for_lines_that(&format!("contain {parts:?}"), count, timeout, |line| has(line, parts))
    }

    /// Waits for `count` lines that fulfil `condition`, which `what` names, and returns all there are.
    pub fn wait_for_lines_that(
        &self,
        what: &str,
        count: usize,
        timeout: Duration,
        condition: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>> {
        // `Err` is the end of the program: nothing more will come.
        let found = self.seen.wait(timeout, |seen| {
            let lines: Vec<_> = seen.lines.iter().filter(|line| condition(line)).cloned().collect();
            if lines.len() >= count { Some(Ok(lines)) } else { seen.over().map(|status| Err((lines.len(), status))) }
        });
        match found {
            Some(Ok(lines)) => Ok(lines),
            Some(Err((there, status))) => {
                bail!("{} ended ({status}) with {there} of {count} lines that {what}{}", self.name, self.tail())
            }
            None => bail!("waited {timeout:?} for {count} lines of {} that {what}{}", self.name, self.tail()),
        }
    }

    /// Sends a signal. Nothing happens if the process has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        // Under the lock, and the exit is recorded before the process is reaped: the pid can't be another's.
        self.seen.read(|seen| if seen.exit.is_none() { kill(self.pid, signal) } else { Ok(()) })?;
        Ok(())
    }

    /// Ends it with SIGKILL and waits until it is gone.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.wait_for_exit(Duration::from_secs(10))?;
        Ok(())
    }

    /// Asks it to end with SIGTERM and waits for that.
    pub fn stop(&self, timeout: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait_for_exit(timeout)
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        self.seen.read(|seen| seen.exit.is_none())
    }

    /// Waits for its end; all of its output has been read then.
    pub fn wait_for_exit(&self, timeout: Duration) -> Result<ExitStatus> {
        self.seen
            .wait(timeout, Seen::over)
            .with_context(|| format!("waited {timeout:?} for the end of {}{}", self.name, self.tail()))
    }

    /// How much memory it uses. An error if it has ended.
    pub fn memory(&self) -> Result<Memory> {
        let path = format!("/proc/{}/status", self.pid);
        let status = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let field = |name: &str| {
            let line =
                status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("{name} in {path}"))?;
            let number = line.trim().trim_end_matches(" kB");
            number.parse().with_context(|| format!("{name} {number}"))
        };
        Ok(Memory { resident: field("VmRSS:")?, peak: field("VmHWM:")? })
    }

    /// The last lines and where the others are, to be added to an error message.
    pub fn tail(&self) -> String {
        let lines = self.lines();
        let last = lines[lines.len().saturating_sub(15)..].join("\n    ");
        format!("; all of its output is in {}, the last lines are\n    {last}", self.log.display())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}{}", self.name, self.tail());
        }
        if self.kill().is_err() {
            eprintln!("{} (pid {}) could not be killed", self.name, self.pid);
        }
    }
}

impl Seen {
    fn over(&self) -> Option<ExitStatus> {
        self.exit.filter(|_| self.open_outputs == 0)
    }
}

fn has(line: &str, parts: &[&str]) -> bool {
    parts.iter().all(|part| line.contains(part))
}

/// Reads one output to its end on a thread of its own.
fn follow(output: Option<impl Read + Send + 'static>, seen: &Arc<Watched<Seen>>, file: &Arc<File>) {
    let (seen, file) = (Arc::clone(seen), Arc::clone(file));
    std::thread::spawn(move || {
        let mut reader = output.map(BufReader::new);
        let mut line = Vec::new();
        while reader.as_mut().is_some_and(|reader| reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0)) {
            let _ = file.as_ref().write_all(&line);
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
            seen.change(|seen| seen.lines.push(text));
            line.clear();
        }
        seen.change(|seen| seen.open_outputs -= 1);
    });
}

/// Waits for the end without reaping, then reaps under the lock, so that no signal can go to a pid that is
/// free again.
fn wait(pid: Pid, mut child: Child, seen: &Watched<Seen>) {
    while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
    seen.change(|seen| {
        // A child that can't be waited for is not ours any more, which is an end too.
        seen.exit = Some(child.wait().unwrap_or_else(|_| ExitStatus::from_raw(-1)));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PATIENCE;
    use crate::folder::Folder;

    fn shell(folder: &Folder, script: &str) -> Process {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        Process::start("the shell", command, &folder.path().join("log")).unwrap()
    }

    #[test]
    fn output_and_exit_status_are_seen() {
        let folder = Folder::new("process").unwrap();
        let process = shell(&folder, "echo one two; echo three >&2; exit 7");
        assert_eq!(process.wait_for_line(&["one", "two"], PATIENCE).unwrap(), "one two");
        assert_eq!(process.wait_for_exit(PATIENCE).unwrap().code(), Some(7));
        assert_eq!(process.lines_with(&["three"]).len(), 1);
        assert!(std::fs::read_to_string(folder.path().join("log")).unwrap().contains("three\n"));
        assert!(!process.is_running());
    }

    #[test]
    fn a_line_that_can_no_longer_come_is_not_waited_for() {
        let folder = Folder::new("process").unwrap();
        let process = shell(&folder, "echo last words");
        let error = process.wait_for_line(&["never"], PATIENCE).unwrap_err().to_string();
        assert!(error.contains("ended (exit status: 0)") && error.contains("last words"), "{error}");
    }

    #[test]
    fn signals_reach_it_and_it_ends_with_its_owner() {
        let folder = Folder::new("process").unwrap();
        let process = shell(&folder, "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.01; done");
        process.wait_for_line(&["ready"], PATIENCE).unwrap();
        assert!(process.memory().unwrap().peak >= process.memory().unwrap().resident);
        assert_eq!(process.stop(PATIENCE).unwrap().code(), Some(3));

        let process = shell(&folder, "trap '' TERM; echo ready; exec sleep 1000");
        process.wait_for_line(&["ready"], PATIENCE).unwrap();
        let pid = process.pid();
        drop(process);
        assert_eq!(kill(Pid::from_raw(pid), None), Err(Errno::ESRCH));
    }
}
