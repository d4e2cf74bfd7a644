//! Hosts many tenants in one real process for some minutes and prints what that costs: memory, computing time, how long a
//! cycle takes, and whether any tick was missed.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::{TimeDelta, Utc};
use clap::Parser;
use indicatif::HumanCount;
use sandbox::alerts::Batch;
use sandbox::certificates::Certificates;
use sandbox::collector::{Collector, binary, workspace};
use sandbox::folder::Folder;
use sandbox::installation::{Installation, Settings};
use sandbox::progress::Progress;
use sandbox::receiver::{self, Receiver};
use sandbox::simulator::{self, Simulator};
use sandbox::waiting::poll;

/// Hosts many tenants that poll a simulated API over HTTPS and deliver over mutual TLS.
#[derive(Debug, Parser)]
#[command(name = "bench_tenants")]
struct Arguments {
    /// How many tenants, in one run after the other.
    #[arg(long, value_delimiter = ',', default_value = "1,10,100,1000")]
    tenants: Vec<usize>,
    /// Seconds from one pull of a tenant to its next.
    #[arg(long, default_value_t = 60)]
    period: u32,
    /// Periods that are measured, after the one in which all begin.
    #[arg(long, default_value_t = 2)]
    periods: u32,
    /// Tenants beside them that compute for ever.
    #[arg(long, default_value_t = 0)]
    hostile: usize,
}

/// Alerts that each tenant has at its API.
const ALERTS: usize = 20;

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
    println!(
        "| tenants | hostile | resident MB | KB a tenant | p50 ms | p99 ms | cycles | ticks missed | CPU ms a cycle |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    let mut alone = None;
    for &tenants in &arguments.tenants {
        let figures = Figures::measure(tenants, arguments)?;
        let alone = *alone.get_or_insert(figures.resident);
        let grown = figures.resident.saturating_sub(alone) as f64 / tenants.saturating_sub(1).max(1) as f64;
        println!(
            "| {} | {} | {:.1} | {grown:.1} | {:.1} | {:.1} | {} | {} | {:.2} |",
            HumanCount(tenants as u64),
            arguments.hostile,
            figures.resident as f64 / 1000.0,
            figures.percentile(50),
            figures.percentile(99),
            figures.milliseconds.len(),
            figures.missed,
            figures.cpu.as_secs_f64() * 1000.0 / figures.milliseconds.len().max(1) as f64,
        );
    }
    Ok(())
}

/// What was measured of a number of tenants.
struct Figures {
    /// The most memory that was resident in the measured periods, in KB.
    resident: u64,
    /// How long each cycle took, sorted.
    milliseconds: Vec<f64>,
    /// Cycles that should have been and were not.
    missed: usize,
    /// Of the process, in the measured periods.
    cpu: Duration,
}

impl Figures {
    fn measure(tenants: usize, arguments: &Arguments) -> Result<Self> {
        let folder = Folder::new("bench-tenants")?;
        let certificates = Certificates::write_to(&folder.path().join("authority"))?;
        let newest = Utc::now() - TimeDelta::hours(1);
        let alerts = Batch { count: ALERTS, first: 0, seed: 1, newest, spread: TimeDelta::hours(12) }.make();
        let certificate = Some(certificates.server.clone());
        let simulator = Simulator::start(simulator::Settings { certificate, ..Default::default() }, &alerts)?;
        let receiver = Receiver::start(&certificates, &receiver::Settings { keep: false, ..Default::default() })?;
        std::fs::write(
            folder.path().join("host.yaml"),
            "egress: {allow_private_addresses: true}\nallow_components: true\nlimits: {cpu_in_milliseconds: 1000}\n",
        )?;
        let hosted = folder.path().join("tenants");
        for number in 0..tenants {
            let installation = Installation::new(&hosted.join(format!("good-{number}")), &certificates)?;
            let mut settings = Settings::new(simulator.base_url(), simulator.token(), receiver.port());
            settings.period = arguments.period;
            installation.configure(&settings)?;
        }
        let collector = Collector::start_in(folder.path(), &["--tenants", "tenants"])?;
        let period = Duration::from_secs(arguments.period.into());
        let progress = Progress::new("beginning", tenants);
        poll("a first cycle of every tenant", period * 3 + Duration::from_secs(60), || {
            ensure!(collector.is_running(), "it ended{}", collector.tail());
            let begun = Cycles::of(&collector).0.len();
            progress.show(begun);
            Ok((begun == tenants).then_some(()))
        })?;
        progress.finish();
        for number in 0..arguments.hostile {
            add_hostile(&hosted.join(format!("bad-{number}")), &certificates, &simulator, &receiver)?;
        }
        let known = Cycles::of(&collector).0;
        let (started, cpu) = (Instant::now(), cpu_time(&collector)?);
        let measured = period * arguments.periods;
        let mut resident = 0;
        let progress = Progress::new("measuring", measured.as_secs() as usize);
        while started.elapsed() < measured {
            std::thread::sleep(Duration::from_millis(500));
            resident = resident.max(collector.memory()?.resident);
            progress.show(started.elapsed().as_secs() as usize);
        }
        progress.finish();
        let cpu = cpu_time(&collector)?.saturating_sub(cpu);
        let cycles = Cycles::of(&collector).0;
        let new = |name: &String| &cycles[name][known.get(name).map_or(0, Vec::len)..];
        let good = cycles.keys().filter(|name| name.starts_with("good-"));
        let counts: Vec<usize> = good.clone().map(|name| new(name).len()).collect();
        let mut milliseconds: Vec<f64> = good.flat_map(|name| new(name).iter().copied()).collect();
        milliseconds.sort_by(f64::total_cmp);
        // A tick at the very end of what is measured may be just outside of it.
        let due = arguments.periods.saturating_sub(1) as usize;
        let missed = counts.iter().map(|count| due.saturating_sub(*count)).sum();
        Ok(Self { resident: resident * 1024 / 1000, milliseconds, missed, cpu })
    }

    fn percentile(&self, percent: usize) -> f64 {
        let last = self.milliseconds.len().saturating_sub(1);
        self.milliseconds.get(last * percent / 100).copied().unwrap_or(f64::NAN)
    }
}

/// How long the finished cycles of each tenant took, in milliseconds.
struct Cycles(HashMap<String, Vec<f64>>);

impl Cycles {
    fn of(collector: &Collector) -> Self {
        let mut cycles: HashMap<String, Vec<f64>> = HashMap::new();
        for line in collector.lines_with(&["/InputProcess::", "Elapsed time: "]) {
            let took =
                line.split_once("Elapsed time: ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<f64>().ok());
            let tenant = line.split_once("/InputProcess::").and_then(|(before, _)| before.rsplit(' ').next());
            if let Some((tenant, took)) = tenant.zip(took) {
                cycles.entry(tenant.to_owned()).or_default().push(took * 1000.0);
            }
        }
        Self(cycles)
    }
}

/// A tenant whose component computes for ever.
fn add_hostile(
    folder: &std::path::Path,
    certificates: &Certificates,
    simulator: &Simulator,
    receiver: &Receiver,
) -> Result<()> {
    // Made where it is not seen and moved in, so that nobody sees the half of it.
    let name = folder.file_name().context("a name")?.to_string_lossy().into_owned();
    let made = folder.with_file_name(format!(".{name}"));
    let installation = Installation::new(&made, certificates)?;
    let component = workspace().join("target/guest/hostile.wasm");
    std::fs::copy(&component, made.join("hostile.wasm"))
        .with_context(|| format!("there is no {}: run `just guest`", component.display()))?;
    let yaml = Settings::new(simulator.base_url(), simulator.token(), receiver.port()).yaml();
    let (before, _) = yaml.split_once("    services:\n").context("services")?;
    installation.write_config(&format!(
        "{before}    component: hostile.wasm\n    services:\n      misbehave: {{request_period_in_seconds: 1, \
         override_devo_tag: my.app.hostile, behaviour: endless-loop}}\n"
    ))?;
    std::fs::rename(&made, folder)?;
    Ok(())
}

/// Computing time of the process so far.
fn cpu_time(collector: &Collector) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", collector.pid()))?;
    // The name before may have spaces; the 14th and 15th field are ticks of 10 ms.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|&field| fields.get(field)?.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}
