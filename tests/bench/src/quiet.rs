//! What a cycle costs that finds nothing new.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sandbox::PATIENCE;
use sandbox::process::Process;

use crate::run::{Cores, DONE};
use crate::scene::Scene;
use crate::subject::Subject;

/// Records of a page, as long as nothing else is set.
const LIMIT: usize = 100;

/// Cycles before the first one that counts: what is found once is cached by then.
const WARM_UP: usize = 3;

/// Cycles that count, one each second.
const CYCLES: usize = 20;

/// What a quiet cycle costs.
#[derive(Debug, Clone, Copy)]
pub struct Quiet {
    /// Computing time of the process for each cycle, whatever it does between them included.
    pub cpu: Duration,
    /// Requests for each cycle.
    pub requests: f64,
}

/// Lets the collector deliver all alerts of the scene, and then watches it while nothing is new.
///
/// # Errors
/// It sends an event a second time, or does not come that far.
pub fn quiet(scene: &mut Scene, cores: Cores) -> Result<Quiet> {
    let receiver = scene.receiver()?;
    let installation = scene.installation_with(&receiver, 1, LIMIT)?;
    let command = cores.place(&Subject::Collector.command(scene, &installation, &receiver, 0)?);
    let process = Process::start("devo-collector", command, &installation.product().join("log"))?;
    let computed_after = |cycles: usize| {
        process.wait_for_lines(cycles, &[DONE], 2 * PATIENCE)?;
        Ok::<_, anyhow::Error>((computed(process.pid())?, scene.simulator.request_count()))
    };
    let (before, requests_before) = computed_after(WARM_UP)?;
    let (after, requests_after) = computed_after(WARM_UP + CYCLES)?;
    process.stop(PATIENCE)?;
    let events = receiver.count(sandbox::ALERTS_TABLE);
    ensure!(events == scene.alerts.len(), "{events} events arrived, the source has {}", scene.alerts.len());
    Ok(Quiet {
        cpu: (after - before) / CYCLES as u32,
        requests: (requests_after - requests_before) as f64 / CYCLES as f64,
    })
}

/// The computing time of all threads of a process, to the nanosecond (proc(5), `schedstat`). Threads that end
/// meanwhile take theirs with them: those of the collector stay.
fn computed(pid: i32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        let first = text.split(' ').next().context("an empty schedstat")?;
        nanoseconds += first.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}
