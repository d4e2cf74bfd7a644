//! Measures the collector next to its peers: the same alerts, the same receiver, in turns, and prints what each costs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use bench::figures::{Series, Table};
use bench::plot;
use bench::run::{Cores, run};
use bench::scene::Scene;
use bench::subject::Subject;
use clap::Parser;
use indicatif::HumanCount;
use sandbox::progress::Progress;

/// Carries alerts from a simulated API to a simulated Devo over mutual TLS 1.3, by the collector and by others in turn.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// How many alerts.
    #[arg(long, default_value_t = 100_000)]
    alerts: usize,
    /// How often each carries them.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Who does; the collector comes first.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Subject>,
    /// Ask the source over HTTP alone, or over HTTPS alone.
    #[arg(long, value_parser = ["http", "https"])]
    transport: Option<String>,
    /// Where the picture is written.
    #[arg(long)]
    plot: Option<PathBuf>,
}

fn main() -> ExitCode {
    match compare(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe benchmark failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: &Arguments) -> Result<()> {
    let subjects = if arguments.only.is_empty() { &Subject::ALL[..] } else { &arguments.only };
    subjects.iter().try_for_each(|subject| subject.check())?;
    let cores = Cores::divide()?;
    let mut all = Vec::new();
    for transport in ["http", "https"] {
        if arguments.transport.as_ref().is_none_or(|only| only == transport) {
            let series = measure(arguments, subjects, transport, cores)?;
            println!("{} alerts over {transport}, {} rounds:\n", HumanCount(arguments.alerts as u64), arguments.rounds);
            println!("{}", Table(&series));
            all.extend(series);
        }
    }
    if let Some(path) = &arguments.plot {
        std::fs::write(path, plot::efficiency(&all))?;
    }
    Ok(())
}

fn measure(arguments: &Arguments, subjects: &[Subject], transport: &'static str, cores: Cores) -> Result<Vec<Series>> {
    let mut scene = Scene::set(arguments.alerts, transport == "https")?;
    // Not counted: it compiles the component where that has not been done before, and tells how many bytes are sent.
    let first = run(&mut scene, Subject::Collector, cores, 0)?;
    let received: u64 = scene.page_bytes();
    let extra = first.bytes.saturating_sub(received) as usize / scene.pages();
    let mut series: Vec<_> = subjects.iter().map(|&subject| Series { subject, transport, costs: Vec::new() }).collect();
    let progress = Progress::new(transport, arguments.rounds * series.len());
    for round in 0..arguments.rounds {
        let subjects = series.len();
        for (index, series) in series.iter_mut().enumerate() {
            progress.show(round * subjects + index);
            series.costs.push(run(&mut scene, series.subject, cores, extra)?);
        }
    }
    progress.finish();
    Ok(series)
}
