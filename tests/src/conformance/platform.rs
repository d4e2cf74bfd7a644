//! Who runs the component: this project's host, Node or Python.

use anyhow::{Context, Result, bail};

use super::peer::{Peer, node, python};
use super::scene::Scene;
use super::{Failed, Outcome, component};
use crate::PATIENCE;
use crate::collector::Collector;
use crate::statistics::Statistics;

/// A way to run the collector component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// The binary `devo-collector`, to a Devo receiver over mutual TLS.
    Host,
    /// Node, with the component translated by jco and WASI from jco's shim.
    Node,
    /// Python, with the package `wasmtime`.
    Python,
}

impl Platform {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Host, Self::Node, Self::Python];

    /// What a test is called after.
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "devo-collector",
            Self::Node => "Node",
            Self::Python => "Python",
        }
    }

    pub(super) fn start(self, scene: &Scene) -> Result<Running> {
        let command = match self {
            Self::Host => return Ok(Running::Host(scene.stage.start()?)),
            Self::Node => node("collector.mjs")?,
            Self::Python => python("collector.py")?,
        };
        let peer = Peer::start(command, &component(), scene.folder())?;
        Ok(Running::Peer { peer, ready: false })
    }
}

/// A platform at work.
pub(super) enum Running {
    Host(Collector),
    Peer { peer: Peer, ready: bool },
}

impl Running {
    /// What the next whole cycle does.
    pub fn cycle(&mut self) -> Result<Outcome> {
        match self {
            Self::Host(collector) => cycle_of_host(collector),
            Self::Peer { peer, ready } => cycle_of_peer(peer, ready),
        }
    }

    /// The checksum of what a peer runs.
    pub fn sha256(&self) -> Option<&str> {
        match self {
            Self::Host(_) => None,
            Self::Peer { peer, .. } => Some(peer.sha256()),
        }
    }
}

/// The host calls by itself, every second.
fn cycle_of_host(collector: &Collector) -> Result<Outcome> {
    let ends = |count: usize| {
        let lines = collector.wait_for_lines_that("end a cycle", count, PATIENCE, |line| end(line).is_some())?;
        lines.iter().map(|line| end(line).context("an end")).collect::<Result<Vec<Outcome>>>()
    };
    let before = ends(0)?.len();
    let mut sent = 0;
    // The first one may have begun before this call.
    for count in 1..=2 {
        match ends(before + count)?.swap_remove(before + count - 1) {
            Outcome::UpToDate { sent: more } => sent += more,
            failed @ Outcome::Failed(_) => return Ok(failed),
        }
    }
    Ok(Outcome::UpToDate { sent })
}

/// What a line of the host's log says about the end of a cycle.
fn end(line: &str) -> Option<Outcome> {
    if line.contains(Statistics::LINE) {
        return line.parse::<Statistics>().ok().map(|statistics| Outcome::UpToDate { sent: statistics.sent });
    }
    let (before, after) = line.split_once(" [CODE:")?;
    let class = before.rsplit(' ').next().filter(|class| class.ends_with("Error"))?;
    let code = after.split(']').next()?.parse().ok()?;
    line.contains(" ERROR ").then(|| Outcome::Failed(Failed { class: class.to_owned(), code }))
}

fn cycle_of_peer(peer: &mut Peer, ready: &mut bool) -> Result<Outcome> {
    if !*ready {
        for name in ["set-up", "pre-pull"] {
            if let Err(failed) = peer.call(name)? {
                return Ok(Outcome::Failed(failed));
            }
        }
        *ready = true;
    }
    let mut sent = 0;
    for name in std::iter::once("pull").chain(std::iter::repeat_n("backfill", 1000)) {
        match peer.call(name)? {
            Err(failed) => return Ok(Outcome::Failed(failed)),
            Ok(summary) => {
                let summary = summary.with_context(|| format!("a {name} has a summary"))?;
                sent += summary.sent;
                if summary.up_to_date {
                    return Ok(Outcome::UpToDate { sent });
                }
            }
        }
    }
    bail!("a thousand calls, and it is not up to date")
}
