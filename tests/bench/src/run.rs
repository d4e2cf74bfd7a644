//! One run: started, watched, ended, and what arrived compared with the source.

use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::unistd::Pid;
use sandbox::alerts::Alert;
use sandbox::check::compare;
use sandbox::compact::compact;
use sandbox::process::Process;
use sandbox::receiver::{Frame, Receiver};
use sandbox::{ALERTS_TABLE, PATIENCE};
use serde_json::Value;

use crate::scene::Scene;
use crate::subject::Subject;

/// Between two looks at a run.
const LOOK: Duration = Duration::from_millis(5);

/// What the collector writes when everything is delivered and recorded.
pub(crate) const DONE: &str = "The data is up to date!";

/// What it took to carry events.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Events that were carried.
    pub events: usize,
    /// From the start of the process until the last event had arrived.
    pub wall: Duration,
    /// Computing time of the process, its system calls included, from its start to its end.
    pub cpu: Duration,
    /// The most memory that was resident, in KiB.
    pub peak: u64,
}

impl Effort {
    /// Events for each second of computing.
    pub fn per_cpu_second(&self) -> f64 {
        self.events as f64 / self.cpu.as_secs_f64()
    }

    /// Events for each second that passed.
    pub fn per_second(&self) -> f64 {
        self.events as f64 / self.wall.as_secs_f64()
    }

    /// The most memory that was resident, in megabytes.
    pub fn peak_in_megabytes(&self) -> f64 {
        self.peak as f64 * 1024.0 / 1e6
    }
}

/// What one run cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// The process alone.
    pub effort: Effort,
    /// From the start of the process to its first request.
    pub first_request: Duration,
    /// Computing time of source and receiver together.
    pub servers: Duration,
    /// Bytes that reached the receiver.
    pub bytes: u64,
    /// Events whose text is not the record's.
    pub changed: usize,
}

impl Cost {
    /// How much of their core source and receiver were busy.
    pub fn servers_busy(&self) -> f64 {
        self.servers.as_secs_f64() / self.effort.wall.as_secs_f64()
    }
}

/// Two processors: one for source and receiver, one for what is measured. Where there is one only, they share
/// it.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    subject: Option<usize>,
}

impl Cores {
    /// Moves this process, with all threads that it will have, to the last processor that it may use.
    pub fn divide() -> Result<Self> {
        let me = Pid::from_raw(0);
        let allowed = sched_getaffinity(me)?;
        let mut cores = (0..CpuSet::count()).filter(|&core| allowed.is_set(core).unwrap_or(false));
        let (Some(first), Some(last)) = (cores.next(), cores.next_back()) else { return Ok(Self { subject: None }) };
        let mut servers = CpuSet::new();
        servers.set(last)?;
        sched_setaffinity(me, &servers)?;
        Ok(Self { subject: Some(first) })
    }

    /// The command on the processor of what is measured.
    pub(crate) fn place(self, command: &Command) -> Command {
        let mut placed = match self.subject {
            Some(core) => {
                let mut placed = Command::new("taskset");
                placed.args(["-c", &core.to_string()]).arg(command.get_program());
                placed
            }
            None => Command::new(command.get_program()),
        };
        placed.args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            placed.current_dir(folder);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => placed.env(name, value),
                None => placed.env_remove(name),
            };
        }
        placed
    }
}

/// Lets `subject` carry all alerts of the scene once.
///
/// # Errors
/// It failed, or what arrived is not what the source has: then there is no figure.
pub fn run(scene: &mut Scene, subject: Subject, cores: Cores, extra: usize) -> Result<Cost> {
    let receiver = scene.receiver()?;
    let installation = scene.installation(&receiver)?;
    let command = cores.place(&subject.command(scene, &installation, &receiver, extra)?);
    let known = scene.simulator.request_count();
    let (children, servers) = (computed_by_children()?, computed(UsageWho::RUSAGE_SELF)?);
    let process = Process::start(subject.name(), command, &installation.product().join("log"))?;
    let watched = watch(&process, subject, &receiver, scene.alerts.len()).inspect_err(|_| scene.keep())?;
    let servers = computed(UsageWho::RUSAGE_SELF)?.saturating_sub(servers);
    let cpu = computed_by_children()?.saturating_sub(children);
    let requests = scene.simulator.requests();
    let first = requests.get(known).context("it asked for nothing")?;
    let changed = check(scene, subject, &receiver)
        .with_context(|| format!("what {} has sent is not what the source has", subject.name()))
        .inspect_err(|_| scene.keep())?;
    let Watchings { wall, peak } = watched;
    Ok(Cost {
        effort: Effort { events: scene.alerts.len(), wall, cpu, peak },
        first_request: first.at - process.started(),
        servers,
        bytes: receiver.connections().iter().map(|connection| connection.bytes).sum(),
        changed,
    })
}

struct Watchings {
    wall: Duration,
    peak: u64,
}

fn watch(process: &Process, subject: Subject, receiver: &Receiver, events: usize) -> Result<Watchings> {
    let (mut arrived, mut peak) = (None, 0);
    loop {
        let running = process.is_running();
        peak = process.memory().map_or(peak, |memory| peak.max(memory.peak));
        if arrived.is_none() && subject.sends_events() && receiver.count(ALERTS_TABLE) >= events {
            arrived = Some(process.started().elapsed());
        }
        if !running {
            break;
        }
        if !subject.ends_by_itself() && arrived.is_some() && !process.lines_with(&[DONE]).is_empty() {
            process.stop(PATIENCE)?;
            break;
        }
        ensure!(process.started().elapsed() < 20 * PATIENCE, "it does not come to an end{}", process.tail());
        std::thread::sleep(LOOK);
    }
    let wall = process.started().elapsed();
    let status = process.wait_for_exit(PATIENCE)?;
    ensure!(status.success(), "it ended with {status}{}", process.tail());
    // Its last bytes may still be on their way through the receiver.
    if subject.sends_events() {
        receiver.wait_for(ALERTS_TABLE, events, PATIENCE)?;
    } else {
        receiver.wait_for_connections("the end of what was sent", PATIENCE, |connections| {
            connections.iter().all(|connection| connection.end.is_some()).then_some(())
        })?;
    }
    Ok(Watchings { wall: arrived.unwrap_or(wall), peak })
}

/// Compares what arrived with the source, and counts the events that are not the record's own text.
fn check(scene: &Scene, subject: Subject, receiver: &Receiver) -> Result<usize> {
    if !subject.sends_events() {
        return Ok(0);
    }
    let frames = receiver.events(ALERTS_TABLE);
    if subject.is_faithful() {
        compare(&scene.alerts, &frames).exactly_once()?;
        return Ok(0);
    }
    same_ids(&scene.alerts, &frames)
}

fn same_ids(alerts: &[Alert], frames: &[Frame]) -> Result<usize> {
    let mut expected = HashMap::with_capacity(alerts.len());
    for alert in alerts {
        expected.insert(serde_json::from_str::<Value>(&alert.id)?.to_string(), alert);
    }
    let mut changed = 0;
    for frame in frames {
        let parts = frame.parts().context("a line that is no event")?;
        let id = id(parts.message).with_context(|| String::from_utf8_lossy(parts.message).into_owned())?;
        let Some(alert) = expected.remove(&id) else { bail!("{id} has come twice, or the source has no such id") };
        let own = compact(&alert.text);
        let record = own.strip_suffix(b"}").unwrap_or(&own);
        changed += usize::from(!compact(parts.message).starts_with(record));
    }
    if let Some(id) = expected.keys().next() {
        bail!("{} alerts are missing, {id} for example", expected.len());
    }
    Ok(changed)
}

fn id(message: &[u8]) -> Result<String> {
    #[derive(serde::Deserialize)]
    struct Head {
        id: Value,
    }
    Ok(serde_json::from_slice::<Head>(message)?.id.to_string())
}

/// Computing time of all children that have ended.
pub(crate) fn computed_by_children() -> Result<Duration> {
    computed(UsageWho::RUSAGE_CHILDREN)
}

fn computed(who: UsageWho) -> Result<Duration> {
    let usage = getrusage(who)?;
    let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(microseconds.try_into()?))
}
