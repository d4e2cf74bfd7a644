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
use sandbox::collector::workspace;
use sandbox::document;
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
    /// Put the tables into docs/performance.md, and the picture beside it.
    #[arg(long)]
    write: bool,
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
    let (mut all, mut tables) = (Vec::new(), String::new());
    for transport in ["http", "https"] {
        if arguments.transport.as_ref().is_none_or(|only| only == transport) {
            let series = measure(arguments, subjects, transport, cores)?;
            let alerts = HumanCount(arguments.alerts as u64);
            let table =
                format!("{alerts} alerts over {transport}, {} rounds:\n\n{}\n", arguments.rounds, Table(&series));
            print!("{table}");
            tables += &table;
            all.extend(series);
        }
    }
    if let Some(path) = &arguments.plot {
        std::fs::write(path, plot::efficiency(&all))?;
    }
    if arguments.write {
        let docs = workspace().join("docs");
        document::write_table(&docs.join("performance.md"), "just bench", &tables)?;
        std::fs::write(docs.join("bench.svg"), plot::efficiency(&all))?;
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
