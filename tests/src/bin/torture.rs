//! Kills the real collector a thousand times while alerts keep arriving, and prints what was lost and what
//! came twice.
//!
//! Ends with 0 only if nothing was lost, nothing changed, and no more came twice than is promised.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use indicatif::{HumanBytes, HumanCount, HumanDuration};
use sandbox::collector::binary;
use sandbox::progress::Progress;
use sandbox::torture::{CHUNK_IN_BYTES, Torture};

/// Kills devo-collector at random moments while alerts keep arriving, and counts what is lost and what is
/// repeated.
#[derive(Debug, Parser)]
#[command(name = "torture")]
struct Arguments {
    /// How often it is killed.
    #[arg(long, default_value_t = 1000)]
    kills: usize,
    /// Alerts that the source has in the end.
    #[arg(long, default_value_t = 20_000)]
    alerts: usize,
    /// Other seeds give other moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe promise was not kept: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    binary()?;
    let Arguments { kills, alerts, seed } = *arguments;
    let progress = Progress::new("kills", kills);
    let outcome = Torture { kills, alerts, seed }.run(|kill| progress.show(kill))?;
    progress.finish();
    let (report, tally) = (&outcome.report, &outcome.tally);
    println!("Kills            {} in {}", HumanCount(outcome.kills as u64), HumanDuration(outcome.took));
    println!("  while sending  {}", HumanCount(tally.killed_while_sending as u64));
    println!("Alerts           {}", HumanCount(report.expected as u64));
    println!("Lost             {}", report.missing.len());
    println!("Changed          {}", report.wrong.len());
    println!("Repeated         {} events in all", HumanCount(tally.repeated as u64));
    println!(
        "  by a process   {} at most, {} is the bound",
        HumanBytes(tally.most_repeated_in_bytes as u64),
        HumanBytes(CHUNK_IN_BYTES as u64)
    );
    println!("States unusable  {}", tally.unusable_states.len());
    outcome.is_as_promised()
}
