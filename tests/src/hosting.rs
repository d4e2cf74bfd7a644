//! A process that hosts tenants: the folder that they are in, the operator's `host.yaml`, and a stage for
//! each.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::collector::Collector;
use crate::folder::Folder;
use crate::simulator;
use crate::stage::{Plan, Stage};

/// The folder of the tenants and what is beside it.
#[derive(Debug)]
pub struct Hosting {
    folder: Folder,
}

impl Hosting {
    /// Makes an empty folder for tenants. The operator allows what the stages need: servers on this machine.
    pub fn new(name: &str) -> Result<Self> {
        let hosting = Self { folder: Folder::new(name)? };
        std::fs::create_dir_all(hosting.tenants())?;
        hosting.decide("egress: {allow_private_addresses: true}\n")?;
        Ok(hosting)
    }

    /// Writes the operator's `host.yaml`.
    pub fn decide(&self, yaml: &str) -> Result<()> {
        std::fs::write(self.folder.path().join("host.yaml"), yaml).context("writing host.yaml")
    }

    /// The folder of the tenants.
    pub fn tenants(&self) -> PathBuf {
        self.folder.path().join("tenants")
    }

    /// The folder of one tenant.
    pub fn product(&self, name: &str) -> PathBuf {
        self.tenants().join(name)
    }

    /// Adds a tenant with an API, a receiver and certificates of its own, and a token that no other has.
    pub fn add(&self, name: &str, alerts: usize) -> Result<Stage> {
        self.add_prepared(name, alerts, |_| Ok(()))
    }

    /// As [`Hosting::add`]; `prepare` has a hand in it before the collector sees it.
    pub fn add_prepared(
        &self,
        name: &str,
        alerts: usize,
        prepare: impl FnOnce(&mut Stage) -> Result<()>,
    ) -> Result<Stage> {
        // Made elsewhere and moved in, as an operator does it who wants to see no half of it.
        let made = self.folder.path().join(format!("new-{name}"));
        let simulator = simulator::Settings { token: format!("test-token-of-{name}"), ..Default::default() };
        let mut stage = Stage::set(name, &Plan { simulator, product: Some(made.clone()), ..Plan::new(alerts) })?;
        prepare(&mut stage)?;
        let product = self.product(name);
        std::fs::rename(&made, &product).with_context(|| format!("moving {name} in"))?;
        stage.installation.moved_to(product);
        Ok(stage)
    }

    /// Starts the collector for all of them.
    pub fn start(&self) -> Result<Collector> {
        self.start_with(&[])
    }

    /// Starts it with more arguments, in the folder that the tenants' is in.
    pub fn start_with(&self, arguments: &[&str]) -> Result<Collector> {
        Collector::start_in(self.folder.path(), &[&["--tenants", "tenants"], arguments].concat())
    }

    /// What the collector has written to the log so far, all its processes together.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("collector.log")).unwrap_or_default()
    }
}

/// How often this tenant's puller has begun.
pub fn begins(collector: &Collector, name: &str) -> usize {
    collector.lines_with(&[&format!(" {name}/"), "Starting data collection every"]).len()
}

/// Waits until this tenant's puller has begun as often as this.
pub fn wait_for_begin(collector: &Collector, name: &str, count: usize, timeout: Duration) -> Result<()> {
    collector.wait_for_lines(count, &[&format!(" {name}/"), "Starting data collection every"], timeout)?;
    Ok(())
}

/// Waits until this tenant has finished `count` more pull cycles.
pub fn wait_for_more_cycles(collector: &Collector, name: &str, count: usize) -> Result<()> {
    let parts = [&*format!(" {name}/"), "Data collection completed"];
    let known = collector.lines_with(&parts).len();
    collector.wait_for_lines(known + count, &parts, crate::PATIENCE)?;
    Ok(())
}
