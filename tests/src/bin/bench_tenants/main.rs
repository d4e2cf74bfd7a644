//! Hosts many tenants in one real process for some minutes and prints what that costs: memory, computing
//! time, how long a cycle takes, and whether any tick was missed; and the same beside tenants whose
//! components misbehave.
//!
//! `host` is the process with its tenants, `figures` what is read off it.

mod figures;
mod host;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use hostile::Behaviour;
use indicatif::HumanCount;
use sandbox::collector::{binary, workspace};
use sandbox::document;

use figures::Figures;
use host::Host;

/// Hosts many tenants that poll a simulated API over HTTPS and deliver over mutual TLS.
#[derive(Debug, Parser)]
#[command(name = "bench-tenants")]
struct Arguments {
    /// How many tenants, in one run after the other
    #[arg(long, value_delimiter = ',', default_value = "1,10,100,1000,10000")]
    tenants: Vec<usize>,
    /// Seconds from one pull of a tenant to its next
    #[arg(long, default_value_t = 60)]
    period: u32,
    /// Periods that are measured, after the one in which all begin
    #[arg(long, default_value_t = 1)]
    periods: u32,
    /// Leave out the runs beside tenants that misbehave or have much to do
    #[arg(long)]
    no_others: bool,
    /// Put the tables into docs/performance.md
    #[arg(long)]
    write: bool,
}

/// Tenants that do their work beside hostile ones, and the seconds between their pulls.
const NEIGHBOURS: usize = 20;
const PERIOD: u32 = 2;
const PERIODS: u32 = 30;

/// Endless loops at the same time: four times as many as there are processors on a small machine.
const LOOPS: usize = 8;

/// Tenants with a long history, and the alerts in it.
const BACKFILLS: usize = 4;
const HISTORY: usize = 200_000;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe benchmark failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    binary()?;
    let density = density(arguments)?;
    let beside = if arguments.no_others { None } else { Some(beside_others()?) };
    if arguments.write {
        let file = workspace().join("docs/performance.md");
        document::write_table(&file, "just bench-tenants", &density)?;
        if let Some(beside) = beside {
            document::write_table(&file, "just bench-tenants, beside others", &beside)?;
        }
        println!("The tables are in {}", file.display());
    }
    Ok(())
}

/// What more and more tenants cost.
fn density(arguments: &Arguments) -> Result<String> {
    let mut table = Table::new(&[
        "tenants",
        "resident MB",
        "KB a tenant",
        "cycles",
        "ticks missed",
        "p50 ms",
        "p99 ms",
        "CPU ms a cycle",
        "instantiate µs",
    ]);
    let mut alone = None;
    for &tenants in &arguments.tenants {
        let figures = Host::start(tenants, arguments.period)?
            .measure(Duration::from_secs(arguments.period.into()), arguments.periods)?;
        let alone = *alone.get_or_insert(figures.resident_in_bytes);
        let grown = figures.resident_in_bytes.saturating_sub(alone) as f64 / tenants.saturating_sub(1).max(1) as f64;
        table.row(&[
            HumanCount(tenants as u64).to_string(),
            format!("{:.1}", figures.resident_in_bytes as f64 / 1e6),
            format!("{:.1}", grown / 1e3),
            figures.cycles().to_string(),
            figures.missed.to_string(),
            format!("{:.1}", figures.percentile(50)),
            format!("{:.1}", figures.percentile(99)),
            format!("{:.2}", figures.cpu.as_secs_f64() * 1e3 / figures.cycles().max(1) as f64),
            format!("{:.0}", figures.instantiation.as_secs_f64() * 1e6),
        ]);
    }
    Ok(table.text)
}

/// Who else is in the process.
enum Others {
    Nobody,
    Hostile(Vec<Behaviour>),
    Backfills(usize),
}

/// What tenants that do their work notice of others.
fn beside_others() -> Result<String> {
    let mut table =
        Table::new(&["beside 20 tenants", "cycles", "ticks missed", "p50 ms", "p99 ms", "of the p99 alone"]);
    let mut alone = None;
    for (name, others) in [
        ("nobody".to_owned(), Others::Nobody),
        (format!("{LOOPS} endless loops"), Others::Hostile(vec![Behaviour::EndlessLoop; LOOPS])),
        ("one of each kind that misbehaves".to_owned(), Others::Hostile(Behaviour::ALL.to_vec())),
        (format!("{BACKFILLS} that fetch {} alerts each", HumanCount(HISTORY as u64)), Others::Backfills(BACKFILLS)),
    ] {
        let mut host = Host::start(NEIGHBOURS, PERIOD)?;
        match others {
            Others::Nobody => {}
            Others::Backfills(tenants) => host.add_backfills(tenants, HISTORY)?,
            Others::Hostile(behaviours) => {
                for (number, behaviour) in behaviours.into_iter().enumerate() {
                    host.add_hostile(number, behaviour)?;
                }
            }
        }
        let figures: Figures = host.measure(Duration::from_secs(PERIOD.into()), PERIODS)?;
        let alone = *alone.get_or_insert(figures.percentile(99));
        table.row(&[
            name,
            figures.cycles().to_string(),
            figures.missed.to_string(),
            format!("{:.1}", figures.percentile(50)),
            format!("{:.1}", figures.percentile(99)),
            format!("{:.1} x", figures.percentile(99) / alone),
        ]);
    }
    Ok(table.text)
}

/// A table in Markdown, printed as it grows.
struct Table {
    text: String,
}

impl Table {
    fn new(columns: &[&str]) -> Self {
        let mut table = Self { text: String::new() };
        table.add(&format!("| {} |\n|{}\n", columns.join(" | "), "--:|".repeat(columns.len())));
        table
    }

    fn row(&mut self, cells: &[String]) {
        self.add(&format!("| {} |\n", cells.join(" | ")));
    }

    fn add(&mut self, text: &str) {
        print!("{text}");
        self.text += text;
    }
}
