//! The demo: the real binary carries alerts from an API to Devo, both of them on this machine, and everything
//! that arrives is compared with what was there.
//!
//! Ends with 0 only if every alert arrived once and as it was.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use indicatif::{HumanBytes, HumanCount};
use sandbox::collector::{Collector, binary};
use sandbox::progress::Progress;
use sandbox::stage::{Plan, Stage};
use sandbox::statistics::Statistics;

/// Starts an API and a Devo receiver on this machine and lets the real devo-collector carry alerts from one
/// to the other.
#[derive(Debug, Parser)]
#[command(name = "demo")]
struct Arguments {
    /// Alerts that the API has at the start.
    #[arg(long, default_value_t = 10_000)]
    alerts: usize,
    /// Alerts that it gets afterwards.
    #[arg(long, default_value_t = 50)]
    new: usize,
    /// Seconds to wait for each of the two deliveries.
    #[arg(long, default_value_t = 120)]
    patience: u64,
    /// Leave the product folder in place, to look at.
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    // Before anything is made: without the binary there is nothing to show.
    binary()?;
    let mut stage = Stage::set("devo-collector-demo", &Plan::new(arguments.alerts))?;
    let result = show(arguments, &mut stage);
    if result.is_err() || arguments.keep {
        stage.folder.keep();
    }
    result
}

fn show(arguments: &Arguments, stage: &mut Stage) -> Result<()> {
    let Arguments { alerts, new, .. } = *arguments;
    let patience = Duration::from_secs(arguments.patience);
    println!("CloudSEK's API   {} ({} alerts, simulated)", stage.simulator.base_url(), HumanCount(alerts as u64));
    println!("Devo's receiver  localhost:{} (TLS, client certificate required)", stage.receiver.port());
    println!("Product folder   {}\n", stage.installation.product().display());

    let collector = stage.start()?;
    let progress = Progress::new("first cycle", alerts);
    stage.wait_with_progress(&collector, patience, |arrived| progress.show(arrived))?;
    let took = collector.started().elapsed();
    progress.finish();
    let before = collector.wait_until_sent(alerts as u64)?;
    let memory = collector.memory()?;

    stage.add_newer(new);
    let progress = Progress::new("new alerts", alerts + new);
    stage.wait_with_progress(&collector, patience, |arrived| progress.show(arrived))?;
    progress.finish();
    let cycles = collector.wait_until_sent((alerts + new) as u64)?;
    // One more, in which nothing is new: what is sent twice would be sent there.
    let cycles = collector.wait_for_cycles(cycles.len() + 1)?;

    let state = state(stage)?;
    let status = collector.stop(patience)?;
    let report = stage.compare();
    let start = stage.simulator.requests().first().context("no request")?.at - collector.started();
    let bytes: u64 = stage.receiver.connections().iter().map(|connection| connection.bytes).sum();

    println!("Source           {} alerts, then {} new ones", HumanCount(alerts as u64), HumanCount(new as u64));
    println!(
        "Arrived          {} events, {} missing, {} more than once, {} changed",
        HumanCount(report.arrived as u64),
        report.missing.len(),
        report.doubled.len(),
        report.wrong.len()
    );
    println!(
        "Deduplicated     {} records that were delivered before",
        HumanCount(sum(&cycles, |cycle| cycle.duplicates))
    );
    println!(
        "Cycles           {} ({} for the first delivery), {} requests",
        cycles.len(),
        before.len(),
        sum(&cycles, |cycle| cycle.requests)
    );
    println!(
        "Throughput       {} events/s, from the start of the process to the last of the first {}",
        HumanCount((alerts as f64 / took.as_secs_f64()) as u64),
        HumanCount(alerts as u64)
    );
    println!("Volume           {} to Devo", HumanBytes(bytes));
    println!("First request    {} ms after the start of the process", start.as_millis());
    println!(
        "Memory           {} resident, {} at most",
        HumanBytes(memory.resident * 1024),
        HumanBytes(memory.peak * 1024)
    );
    println!("Exit             {status} after SIGTERM");
    println!("State            {state}");
    println!("\nLast statistics  {}", last_statistics(&collector));

    report.exactly_once()?;
    ensure!(status.code() == Some(0), "the collector ended with {status} after SIGTERM");
    println!("\nEvery alert arrived once, byte for byte but for white space and @devo_pulling_id.");
    Ok(())
}

fn sum(cycles: &[Statistics], field: impl Fn(&Statistics) -> u64) -> u64 {
    cycles.iter().map(field).sum()
}

/// The line without its time, process and thread.
fn last_statistics(collector: &Collector) -> String {
    let line = collector.lines_with(&[Statistics::LINE]).pop().unwrap_or_default();
    line.split_once(" -> ").map_or(line.as_str(), |(_, text)| text).to_owned()
}

/// The state's file, in a few words: its name, its size and the beginning of its text.
fn state(stage: &Stage) -> Result<String> {
    const SHOWN: usize = 240;
    let files = stage.installation.state_files()?;
    // The digests beside it are no text.
    let texts = files.iter().filter(|(name, _)| !name.contains("digests"));
    let (name, content) = texts.max_by_key(|(_, content)| content.len()).context("there is no state")?;
    let text = String::from_utf8_lossy(content);
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if text.chars().count() > SHOWN { " ..." } else { "" };
    Ok(format!("state/{name}, {}\n                 {shown}{more}", HumanBytes(content.len() as u64)))
}
