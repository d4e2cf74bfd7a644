//! The component's logic without a sandbox: sets up, pulls until everything is delivered, and ends.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow};
use bench::native::Native;
use clap::Parser;
use cloudsek_xvigil::progress::Budget;
use cloudsek_xvigil::pull;
use collector_config::{Place, Plan, Policy};
use devo_collector::observe::log;
use devo_collector::observe::status::allocator;
use devo_collector::observe::telemetry::{self, Routes};

/// Does the collector's work natively.
#[derive(Debug, Parser)]
struct Arguments {
    /// As the collector's own.
    #[arg(long)]
    config: PathBuf,
}

fn main() -> Result<()> {
    allocator::retain_freed();
    let source = collector_config::read(&Place::OnPremise(Arguments::parse().config))?;
    let plan = Plan::new(source, &Policy::permissive())?;
    let masks = log::Masks::default();
    masks.add(None, plan.secrets.clone());
    log::Format::Text.start(false, telemetry::Layer(Routes::default(), masks.clone()), masks, log::LogQuota::default());
    // As many as the host has.
    let workers = std::thread::available_parallelism().map_or(2, |count| count.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    let platform = {
        let _within = runtime.enter();
        Native::prepare(plan)?
    };
    let failed = |failure| anyhow!("{failure}");
    pull::set_up(&platform).map_err(failed)?;
    pull::pre_pull(&platform).map_err(failed)?;
    // As the host without request limits: a call has half a minute.
    let budget = Budget { requests: 9_000, time: Duration::from_secs(30) };
    let mut call = pull::pull(&platform, budget).map_err(failed)?;
    while !call.up_to_date {
        call = pull::backfill(&platform, budget).map_err(failed)?;
    }
    Ok(())
}
