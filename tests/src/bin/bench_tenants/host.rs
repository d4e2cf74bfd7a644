//! A process that hosts tenants of one simulated API and one simulated Devo.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::{TimeDelta, Utc};
use hostile::Behaviour;
use sandbox::admin::Admin;
use sandbox::alerts::Batch;
use sandbox::certificates::Certificates;
use sandbox::collector::{Collector, workspace};
use sandbox::folder::Folder;
use sandbox::installation::{Installation, Settings};
use sandbox::progress::Progress;
use sandbox::receiver::{self, Receiver};
use sandbox::simulator::{self, Simulator};
use sandbox::waiting::poll;

use crate::figures::{Cycles, Figures, cpu_time};

/// Alerts that each tenant has at its API.
const ALERTS: usize = 20;

/// Where events of hostile components would go.
const TABLE: &str = "my.app.hostile";

const HOST: &str = "
admin: 127.0.0.1:0
egress: {allow_private_addresses: true}
allow_components: true
";

/// The process, with everything around it.
pub struct Host {
    folder: Folder,
    certificates: Certificates,
    simulator: Simulator,
    receiver: Receiver,
    collector: Collector,
    admin: Admin,
    tenants: usize,
    /// The API of those with a long history.
    archive: Option<Simulator>,
}

impl Host {
    /// Starts a process with so many tenants, and waits until each has begun.
    pub fn start(tenants: usize, period: u32) -> Result<Self> {
        let folder = Folder::new("bench-tenants")?;
        let certificates = Certificates::write_to(&folder.path().join("authority"))?;
        let newest = Utc::now() - TimeDelta::hours(1);
        let alerts = Batch { count: ALERTS, first: 0, seed: 1, newest, spread: TimeDelta::hours(12) }.make();
        let certificate = Some(certificates.server.clone());
        let simulator = Simulator::start(simulator::Settings { certificate, ..Default::default() }, &alerts)?;
        let receiver = Receiver::start(&certificates, &receiver::Settings { keep: false, ..Default::default() })?;
        std::fs::write(folder.path().join("host.yaml"), HOST)?;
        for number in 0..tenants {
            let product = folder.path().join("tenants").join(format!("good-{number}"));
            let mut settings = Settings::new(simulator.base_url(), simulator.token(), receiver.port());
            settings.period = period;
            Installation::new(&product, &certificates)?.configure(&settings)?;
        }
        let collector = Collector::start_in(folder.path(), &["--tenants", "tenants"])?;
        let admin = Admin::of(&collector)?;
        let host = Self { folder, certificates, simulator, receiver, collector, admin, tenants, archive: None };
        host.wait_for_begin(Duration::from_secs(period.into()))?;
        Ok(host)
    }

    fn wait_for_begin(&self, period: Duration) -> Result<()> {
        let progress = Progress::new("beginning", self.tenants);
        // Of those that are still to begin, the slowest machine does ten a second.
        let patience = period * 3 + Duration::from_secs(60 + self.tenants as u64 / 10);
        poll("a beginning of every tenant", patience, || {
            ensure!(self.collector.is_running(), "it ended{}", self.collector.tail());
            let health: serde_json::Value = serde_json::from_str(&self.admin.get("/health")?)?;
            let ready = health["services_ready"].as_u64().unwrap_or_default() as usize;
            progress.show(ready);
            Ok((ready >= self.tenants).then_some(()))
        })?;
        progress.finish();
        // The first cycle of the last one.
        std::thread::sleep(Duration::from_secs(5).min(period));
        Ok(())
    }

    /// Adds a tenant whose component misbehaves, with the limits that a tenant has by default.
    pub fn add_hostile(&self, number: usize, behaviour: Behaviour) -> Result<()> {
        self.add(&format!("hostile-{number}"), |installation| {
            let component = workspace().join("target/guest/hostile.wasm");
            std::fs::copy(&component, installation.product().join("hostile.wasm"))
                .with_context(|| format!("there is no {}: run `just guest`", component.display()))?;
            let yaml = Settings::new(self.simulator.base_url(), self.simulator.token(), self.receiver.port()).yaml();
            let (before, _) = yaml.split_once("    services:\n").context("services")?;
            installation.write_config(&format!(
                "{before}    component: hostile.wasm\n    services:\n      misbehave: {{request_period_in_seconds: 1, \
                 override_devo_tag: {TABLE}, behaviour: {}, target: 'https://localhost:1'}}\n",
                behaviour.name()
            ))
        })
    }

    /// Adds tenants that have so many alerts to fetch.
    pub fn add_backfills(&mut self, tenants: usize, alerts: usize) -> Result<()> {
        let newest = Utc::now() - TimeDelta::hours(1);
        let alerts = Batch { count: alerts, first: 0, seed: 2, newest, spread: TimeDelta::days(300) }.make();
        let certificate = Some(self.certificates.server.clone());
        let archive = Simulator::start(simulator::Settings { certificate, ..Default::default() }, &alerts)?;
        for number in 0..tenants {
            self.add(&format!("backfill-{number}"), |installation| {
                let mut settings = Settings::new(archive.base_url(), archive.token(), self.receiver.port());
                settings.input += "request: {limit: 1000}\n";
                installation.configure(&settings)
            })?;
        }
        self.archive = Some(archive);
        Ok(())
    }

    /// Made where it is not seen and moved in, so that nobody sees the half of it.
    fn add(&self, name: &str, prepare: impl FnOnce(&Installation) -> Result<()>) -> Result<()> {
        let tenants = self.folder.path().join("tenants");
        let made = tenants.join(format!(".{name}"));
        prepare(&Installation::new(&made, &self.certificates)?)?;
        std::fs::rename(&made, tenants.join(name)).with_context(|| format!("moving {name} in"))
    }

    /// Measures for so many periods.
    pub fn measure(self, period: Duration, periods: u32) -> Result<Figures> {
        let known = Cycles::of(&self.collector);
        let (started, cpu) = (Instant::now(), cpu_time(&self.collector)?);
        let measured = period * periods;
        let mut resident = 0;
        let progress = Progress::new("measuring", measured.as_secs() as usize);
        while started.elapsed() < measured {
            std::thread::sleep(Duration::from_millis(500));
            resident = resident.max(self.collector.memory()?.resident);
            progress.show(started.elapsed().as_secs() as usize);
        }
        progress.finish();
        let cpu = cpu_time(&self.collector)?.saturating_sub(cpu);
        let cycles = Cycles::of(&self.collector).since(&known);
        // Asked for at the end, since writing them all down takes memory.
        let metrics = self.admin.metrics(Some("good-0"))?;
        let total = |name: &str| metrics.value(name, &[]).with_context(|| format!("there is no metric {name}"));
        let seconds = total("devo_collector_instantiation_seconds_total")? / total("devo_collector_calls_total")?;
        // A tick at the very end of what is measured may be just outside of it.
        let due = periods.saturating_sub(1) as usize;
        let counts = (0..self.tenants).map(|number| cycles.count(&format!("good-{number}")));
        Ok(Figures {
            resident_in_bytes: resident * 1024,
            missed: counts.map(|count| due.saturating_sub(count)).sum(),
            milliseconds: cycles.milliseconds("good-"),
            cpu,
            instantiation: Duration::from_secs_f64(seconds),
        })
    }
}
