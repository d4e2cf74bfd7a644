//! Measures the collector next to its peers: the same alerts, the same receiver, in turns, and prints what
//! each costs.

use std::process::ExitCode;

use anyhow::Result;
use bench::figures::{Series, Table, count, milliseconds};
use bench::history;
use bench::plot;
use bench::quiet::quiet;
use bench::run::{Cores, Cost, run};
use bench::scene::Scene;
use bench::subject::Subject;
use clap::Parser;
use indicatif::HumanCount;
use sandbox::collector::workspace;
use sandbox::document;
use sandbox::progress::Progress;

/// Alerts that a busy tenant has in the window in which pulls look for late ones.
const BUSY_DAY: usize = 3_000;

/// Carries alerts from a simulated API to a simulated Devo over mutual TLS 1.3, by the collector and by
/// others in turn.
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
    /// How many alerts the collector carries alone, for the cost of an event by the length of the history.
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000,10000000")]
    histories: Vec<u64>,
    /// Leave out the histories, and the cycles without news.
    #[arg(long)]
    peers_alone: bool,
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
            let (first, series) = measure(arguments, subjects, transport, cores)?;
            let table = format!(
                "{} alerts over {}, {} rounds; without compiled code in the cache the collector's first request comes after {:.0} ms:\n\n{}\n",
                HumanCount(arguments.alerts as u64),
                transport.to_uppercase(),
                arguments.rounds,
                milliseconds(first.first_request),
                Table(&series),
            );
            print!("{table}");
            tables += &table;
            all.extend(series);
        }
    }
    let alone = if arguments.peers_alone { None } else { Some(alone(&arguments.histories, cores)?) };
    print!("{}", alone.as_deref().unwrap_or_default());
    if arguments.write {
        let docs = workspace().join("docs");
        let file = docs.join("performance.md");
        document::write_table(&file, "just bench", &tables)?;
        if let Some(alone) = alone {
            document::write_table(&file, "just bench, by length of the history", &alone)?;
        }
        std::fs::write(docs.join("bench.svg"), plot::efficiency(&all))?;
    }
    Ok(())
}

/// What the collector costs over HTTP for histories of these lengths, and when there is nothing new.
fn alone(lengths: &[u64], cores: Cores) -> Result<String> {
    let mut table =
        String::from("| alerts | µs of computing an event | events per second | peak MB |\n|--:|--:|--:|--:|\n");
    let mut scene = Scene::set(BUSY_DAY, false)?;
    // The first one compiles, and is short.
    history::carry(1000, cores, &scene.cache())?;
    let progress = Progress::new("histories", lengths.len() + 1);
    for (index, &length) in lengths.iter().enumerate() {
        progress.show(index);
        let effort = history::carry(length, cores, &scene.cache())?;
        table += &format!(
            "| {} | {:.1} | {} | {:.1} |\n",
            HumanCount(length),
            1e6 / effort.per_cpu_second(),
            count(effort.per_second()),
            effort.peak_in_megabytes(),
        );
    }
    progress.show(lengths.len());
    let quiet = quiet(&mut scene, cores)?;
    progress.finish();
    table += &format!(
        "\nA cycle that finds nothing new, with {} alerts in the window and pages of 100, takes {:.1} requests and {:.2} ms of computing.\n",
        HumanCount(BUSY_DAY as u64),
        quiet.requests,
        milliseconds(quiet.cpu)
    );
    Ok(table)
}

/// The first run of all, and the series of each subject.
fn measure(
    arguments: &Arguments,
    subjects: &[Subject],
    transport: &'static str,
    cores: Cores,
) -> Result<(Cost, Vec<Series>)> {
    let mut scene = Scene::set(arguments.alerts, transport == "https")?;
    // Not counted: it compiles the component, which no run of this scene has done before, and tells how many
    // bytes are sent.
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
    Ok((first, series))
}
