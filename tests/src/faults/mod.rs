//! The fault matrix: what can go wrong around the collector, each fault put in on purpose while the real
//! binary runs.
//!
//! A [`Trial`] sees to it that its fault has happened, that the operator was told, and that the collector got
//! over it by itself or stopped for a reason that it names; it reports what was lost and repeated. The tests
//! run all trials, and `just reliability` runs them on a larger scale and writes the table in
//! `docs/reliability.md`.

use anyhow::{Result, ensure};

use crate::check::Report;
use crate::collector::Collector;
use crate::stage::{Plan, Stage};

mod api;
mod devo;
mod machine;
mod names;
mod state;
pub mod table;

/// How much a trial that can be short or long is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// For every change of the code: seconds.
    Test,
    /// For the figures: minutes.
    Full,
}

/// One fault.
#[derive(Debug, Clone, Copy)]
pub struct Trial {
    /// What goes wrong.
    pub fault: &'static str,
    /// How that is done here.
    pub injected: &'static str,
    /// What the collector does. The trial fails if it doesn't.
    pub happens: &'static str,
    run: fn(Scale) -> Result<Report>,
}

impl Trial {
    /// Does it, and reports what arrived.
    ///
    /// # Errors
    /// It did not go as it should, or something was lost, or there was nothing to lose.
    pub fn hold(&self, scale: Scale) -> Result<Report> {
        let report = (self.run)(scale)?;
        ensure!(report.expected > 0, "there was nothing to lose");
        report.at_least_once()?;
        Ok(report)
    }
}

/// All trials, by what it is that fails.
pub const MATRIX: [(&str, &[Trial]); 4] =
    [("Devo", devo::TRIALS), ("The API", api::TRIALS), ("The machine", machine::TRIALS), ("The state", state::TRIALS)];

/// Waits for an outage as Devo's own collector does are of no use here.
const IMPATIENT: &str = "connecting_initial_wait_in_seconds: 1\nconnecting_max_wait_in_seconds: 2\nsending_timeout: 2\n\
                         confirm_timeout_in_seconds: 2\n";

/// A stage whose output gives up soon.
fn impatient(name: &str, alerts: usize) -> Result<Stage> {
    set_impatient(name, &Plan::new(alerts))
}

fn set_impatient(name: &str, plan: &Plan) -> Result<Stage> {
    let mut stage = Stage::set(name, plan)?;
    stage.settings.output = IMPATIENT.into();
    stage.configure()?;
    Ok(stage)
}

/// A collector that has delivered all that the source has.
fn delivered(stage: &Stage) -> Result<Collector> {
    let collector = stage.start()?;
    collector.wait_until_sent(stage.source.len() as u64)?;
    Ok(collector)
}

/// The same process delivers what there is and what is new.
fn goes_on(stage: &mut Stage, collector: &Collector) -> Result<Report> {
    stage.add_newer(10);
    stage.wait_for_all(collector)?;
    settled(stage, collector)
}

/// What has arrived when two more cycles have passed: what is sent again would be sent there.
fn settled(stage: &Stage, collector: &Collector) -> Result<Report> {
    let cycles = collector.statistics()?.len();
    collector.wait_for_cycles(cycles + 2)?;
    ensure!(collector.is_running(), "it ended{}", collector.tail());
    Ok(stage.compare())
}
