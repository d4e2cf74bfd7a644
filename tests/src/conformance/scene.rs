//! A source and one platform that runs the collector on it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;

use super::platform::Running;
use super::{Failed, Outcome, Platform};
use crate::check::{Report, compare};
use crate::receiver::Frame;
use crate::stage::{Plan, Stage};

/// A set scene. The platform starts with the first cycle.
pub struct Scene {
    /// The source, and the surroundings of the host.
    pub stage: Stage,
    platform: Platform,
    running: Option<Running>,
    settings: BTreeMap<&'static str, String>,
    folder: PathBuf,
}

impl Scene {
    /// Sets it. Nobody else than the host adds a credential to requests, so for all others the token is a
    /// setting.
    pub fn set(platform: Platform, plan: &Plan) -> Result<Self> {
        let mut stage = Stage::set("conformance", &Plan { https: false, ..plan.clone() })?;
        let (_, start) = stage.settings.service.trim().split_once(": ").context("a start time")?;
        let settings = BTreeMap::from([("initial_start_time_in_utc", start.trim_matches('"').to_owned())]);
        stage.settings.period = 1;
        stage.settings.output = "connecting_retries: 1\nconnecting_initial_wait_in_seconds: 1\n".into();
        let folder = stage.folder.path().join("peer");
        std::fs::create_dir(&folder)?;
        Ok(Self { stage, platform, running: None, settings, folder })
    }

    /// Changes a setting of the service. It holds from the next start on.
    pub fn setting(&mut self, name: &'static str, value: &str) {
        self.settings.insert(name, value.to_owned());
    }

    /// The platform ends, and starts anew with the next cycle.
    pub fn restart(&mut self) {
        self.running = None;
    }

    /// Does a cycle.
    pub fn cycle(&mut self) -> Result<Outcome> {
        if self.running.is_none() {
            self.configure()?;
            self.running = Some(self.platform.start(self)?);
        }
        self.running.as_mut().context("it runs")?.cycle()
    }

    /// A cycle delivers this many events, and all that the source has is there, once and as it was.
    pub fn delivers(&mut self, sent: u64) -> Result<()> {
        let outcome = self.cycle()?;
        ensure!(outcome == Outcome::UpToDate { sent }, "{sent} events are new, and the cycle ended with {outcome:?}");
        self.delivered()?.exactly_once()?;
        ensure!(self.stage.simulator.requests().iter().any(|request| request.authorized), "nobody showed the token");
        self.ensure_that_the_token_is_nowhere()
    }

    /// A cycle fails like this.
    pub fn fails(&mut self, class: &str, code: u16) -> Result<()> {
        let outcome = self.cycle()?;
        let expected = Failed { class: class.to_owned(), code };
        ensure!(outcome == Outcome::Failed(expected.clone()), "{expected} was expected, and it was {outcome:?}");
        Ok(())
    }

    /// From now on, Devo takes nothing.
    pub fn refuse_delivery(&mut self) -> Result<()> {
        match self.platform {
            Platform::Host => self.stage.receiver.stop(),
            Platform::Node | Platform::Python => std::fs::write(self.folder.join("unconfirmed"), "")?,
        }
        Ok(())
    }

    /// Devo is back.
    pub fn accept_delivery(&mut self) -> Result<()> {
        match self.platform {
            Platform::Host => self.stage.receiver.resume(),
            Platform::Node | Platform::Python => {
                ensure!(!self.folder.join("unconfirmed").exists(), "nothing was refused");
                Ok(())
            }
        }
    }

    /// The checksum of the component that a peer runs.
    pub fn sha256(&self) -> Option<&str> {
        self.running.as_ref()?.sha256()
    }

    /// Where a peer keeps its files.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn delivered(&self) -> Result<Report> {
        if self.platform == Platform::Host {
            return Ok(self.stage.compare());
        }
        let delivered = std::fs::read(self.folder.join("delivered")).unwrap_or_default();
        let lines = delivered.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let frames: Vec<_> = lines.map(|line| Frame { connection: 0, line: Bytes::copy_from_slice(line) }).collect();
        Ok(compare(&self.stage.source, &frames))
    }

    /// Of the host, the stage itself sees to that.
    fn ensure_that_the_token_is_nowhere(&self) -> Result<()> {
        let token = self.stage.simulator.token();
        for name in ["log", "delivered", "state/state"] {
            let content = std::fs::read(self.folder.join(name)).unwrap_or_default();
            ensure!(memchr::memmem::find(&content, token.as_bytes()).is_none(), "the token is in {name}");
        }
        Ok(())
    }

    fn configure(&mut self) -> Result<()> {
        let mut flat = BTreeMap::from([
            ("base_url", self.stage.settings.base_url.clone()),
            ("token", self.stage.settings.token.clone()),
        ]);
        flat.extend(self.settings.clone());
        std::fs::write(self.folder.join("settings.json"), serde_json::to_string(&flat)?)?;

        let mut yaml = String::new();
        for (name, value) in &self.settings {
            writeln!(yaml, "{name}: \"{value}\"")?;
        }
        self.stage.settings.service = yaml;
        self.stage.configure()
    }
}
