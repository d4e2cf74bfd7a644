//! A program of `tests/peers` that runs the component: it is told a call on its standard input, and answers
//! on its output.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Failed;
use crate::PATIENCE;
use crate::collector::workspace;

/// A running peer. It ends with this value.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    calls: ChildStdin,
    answers: Receiver<String>,
    log: PathBuf,
    sha256: String,
}

/// What the component's `pull` or `backfill` returned.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Events delivered and confirmed.
    pub sent: u64,
    /// Whether there is nothing more.
    pub up_to_date: bool,
}

#[derive(Deserialize)]
struct Greeting {
    sha256: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Ok(Option<Summary>),
    Err(Failure),
}

#[derive(Deserialize)]
struct Failure {
    class: String,
    code: u16,
}

/// Node, with the packages that a program of `tests/peers/node` needs.
pub fn node(program: &str) -> Result<Command> {
    let folder = workspace().join("tests/peers/node");
    let there = Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success())
        && folder.join("node_modules/@bytecodealliance/jco-transpile").is_dir();
    ensure!(there, "there is no node, or no jco in {}: run ./setup.sh", folder.display());
    let mut command = Command::new("node");
    command.arg(folder.join(program));
    Ok(command)
}

/// Python, with wasmtime.
pub fn python(program: &str) -> Result<Command> {
    let python = workspace().join(".venv/bin/python");
    let there = Command::new(&python).args(["-c", "import wasmtime.component"]).output();
    ensure!(
        there.is_ok_and(|output| output.status.success()),
        "there is no wasmtime in {}: run ./setup.sh",
        python.display()
    );
    let mut command = Command::new(python);
    command.arg("-B").arg(workspace().join("tests/peers/python").join(program));
    Ok(command)
}

impl Peer {
    /// Starts `command` on a component and a folder.
    pub fn start(mut command: Command, component: &Path, folder: &Path) -> Result<Self> {
        let log = folder.join("log");
        let stderr = File::options().create(true).append(true).open(&log)?;
        command.arg(component).arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let calls = child.stdin.take().context("standard input")?;
        let output = BufReader::new(child.stdout.take().context("standard output")?);
        let (sender, answers) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut peer = Self { child, calls, answers, log, sha256: String::new() };
        peer.sha256 = peer.answer::<Greeting>("the start")?.sha256;
        Ok(peer)
    }

    /// The checksum of the component that it runs, by its own reckoning.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Calls the component.
    pub fn call(&mut self, name: &str) -> Result<Result<Option<Summary>, Failed>> {
        writeln!(self.calls, "{name}").with_context(|| format!("calling {name}{}", self.tail()))?;
        Ok(match self.answer(name)? {
            Answer::Ok(summary) => Ok(summary),
            Answer::Err(Failure { class, code }) => Err(Failed { class: class_in_the_log(&class)?.to_owned(), code }),
        })
    }

    fn answer<T: DeserializeOwned>(&self, to: &str) -> Result<T> {
        let line = self.answers.recv_timeout(PATIENCE).with_context(|| format!("no answer to {to}{}", self.tail()))?;
        serde_json::from_str(&line).with_context(|| format!("the answer to {to}: {line}"))
    }

    fn tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(20).collect();
        lines.into_iter().rev().fold("; the end of its log:".to_owned(), |text, line| format!("{text}\n  {line}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The class of a failure as a log has it; in the component's interface it is a case of a variant.
fn class_in_the_log(case: &str) -> Result<&'static str> {
    Ok(match case {
        "init-variables" => "InitVariablesError",
        "set-up" => "SetupError",
        "pre-pull" => "PrePullError",
        "pull" => "PullError",
        "api" => "ApiError",
        other => bail!("a failure of no known class: {other}"),
    })
}
