//! Runs the fault matrix on its full scale and writes the table in docs/reliability.md.
//!
//! Ends with 0 only if every trial went as it should and nothing was lost.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use indicatif::HumanDuration;
use sandbox::collector::{binary, workspace};
use sandbox::faults::table::Table;
use sandbox::faults::{MATRIX, Scale};

/// Puts every fault of the matrix into the surroundings of the real devo-collector and counts what is lost
/// and repeated.
#[derive(Debug, Parser)]
#[command(name = "reliability")]
struct Arguments {
    /// Only the trials whose fault contains this text; the document stays as it is.
    filter: Option<String>,
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
    let mut table = Table::default();
    for (what, trials) in MATRIX {
        table.group(what);
        println!("{what}");
        for trial in
            trials.iter().filter(|trial| arguments.filter.as_ref().is_none_or(|part| trial.fault.contains(part)))
        {
            let started = Instant::now();
            let report = trial.hold(Scale::Full).with_context(|| format!("{what}: {}", trial.fault))?;
            let took = HumanDuration(started.elapsed());
            println!(
                "  {:50} {:>9} alerts {:>3} lost {:>6} repeated, {took}",
                trial.fault,
                report.expected,
                report.lost(),
                report.repeated()
            );
            table.row(trial, &report);
        }
    }
    if arguments.filter.is_none() {
        let path = workspace().join("docs/reliability.md");
        table.write_to(&path)?;
        println!("\nThe table is in {}", path.display());
    }
    Ok(())
}
