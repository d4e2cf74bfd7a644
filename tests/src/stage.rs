//! Everything that one collector needs around it, in one value: the source, the API, the receiver and the
//! product folder.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use chrono::{DateTime, TimeDelta, Timelike, Utc};

use crate::alerts::{Alert, Batch};
use crate::certificates::Certificates;
use crate::check::{Check, Report, compare};
use crate::collector::Collector;
use crate::folder::Folder;
use crate::installation::{Installation, Settings};
use crate::receiver::{self, Frame, Receiver};
use crate::simulator::{self, Simulator};
use crate::{ALERTS_TABLE, PATIENCE};

/// How a stage is set.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Alerts at the start.
    pub alerts: usize,
    /// How far the oldest of them lies behind the newest.
    pub spread: TimeDelta,
    /// How far the newest of them lies in the past: room for those that are added.
    pub age: TimeDelta,
    /// HTTPS, or HTTP.
    pub https: bool,
    /// The product folder; one of the stage's own if not given.
    pub product: Option<PathBuf>,
    /// The API. Its certificate is set by `https`.
    pub simulator: simulator::Settings,
    /// The receiver.
    pub receiver: receiver::Settings,
}

impl Plan {
    /// This many alerts over the last eight days, HTTPS, everything healthy.
    pub fn new(alerts: usize) -> Self {
        Self {
            alerts,
            spread: TimeDelta::days(8),
            age: TimeDelta::hours(1),
            https: true,
            product: None,
            simulator: simulator::Settings::default(),
            receiver: receiver::Settings::default(),
        }
    }
}

/// A set stage. Its folder is kept when a test fails. At its end it makes sure that the token has got
/// nowhere.
#[derive(Debug)]
pub struct Stage {
    /// All alerts that the source has had, in the order in which they were added.
    pub source: Vec<Alert>,
    /// The API.
    pub simulator: Simulator,
    /// Devo.
    pub receiver: Receiver,
    /// What the configuration says; [`Stage::configure`] writes it.
    pub settings: Settings,
    /// The product folder.
    pub installation: Installation,
    /// The certificates of both servers and the client.
    pub certificates: Certificates,
    /// Holds all files.
    pub folder: Folder,
    newest: DateTime<Utc>,
}

impl Stage {
    /// Sets a stage for `alerts` alerts.
    pub fn new(name: &str, alerts: usize) -> Result<Self> {
        Self::set(name, &Plan::new(alerts))
    }

    /// Sets a stage.
    pub fn set(name: &str, plan: &Plan) -> Result<Self> {
        let folder = Folder::new(name)?;
        let certificates = Certificates::write_to(&folder.path().join("authority"))?;
        let newest = Utc::now() - plan.age;
        let newest = newest.with_nanosecond(0).unwrap_or(newest);
        let source = Batch { count: plan.alerts, first: 0, seed: 1, newest, spread: plan.spread }.make();
        let certificate = plan.https.then(|| certificates.server.clone());
        let simulator = Simulator::start(simulator::Settings { certificate, ..plan.simulator.clone() }, &source)?;
        let receiver = Receiver::start(&certificates, &plan.receiver)?;
        let product = plan.product.clone().unwrap_or_else(|| folder.path().join("product"));
        let installation = Installation::new(&product, &certificates)?;
        let mut settings = Settings::new(simulator.base_url(), simulator.token(), receiver.port());
        if !plan.receiver.tls {
            settings.kind = "syslog".into();
        }
        let start = (newest - plan.spread - TimeDelta::days(1)).format("%Y-%m-%dT%H:%M:%SZ");
        settings.service = format!("initial_start_time_in_utc: \"{start}\"\n");
        installation.configure(&settings)?;
        Ok(Self { source, simulator, receiver, settings, installation, certificates, folder, newest })
    }

    /// Writes the configuration again, after a change of [`Stage::settings`].
    pub fn configure(&self) -> Result<()> {
        self.installation.configure(&self.settings)
    }

    /// Starts the collector.
    pub fn start(&self) -> Result<Collector> {
        Collector::start(&self.installation)
    }

    /// Adds `count` alerts that are newer than all others, a second apart.
    pub fn add_newer(&mut self, count: usize) {
        self.newest += TimeDelta::seconds(count as i64);
        self.add(count, self.newest, TimeDelta::seconds(count as i64));
    }

    /// Adds `count` alerts that appear late: the newest of them is `age` older than the newest alert there
    /// is.
    pub fn add_late(&mut self, count: usize, age: TimeDelta) {
        self.add(count, self.newest - age, TimeDelta::seconds(count as i64));
    }

    fn add(&mut self, count: usize, newest: DateTime<Utc>, spread: TimeDelta) {
        let alerts = Batch { count, first: self.source.len() as u64, seed: 1, newest, spread }.make();
        self.simulator.add(&alerts);
        self.source.extend(alerts);
    }

    /// The alerts that have arrived, in their order.
    pub fn arrived(&self) -> Vec<Frame> {
        self.receiver.events(ALERTS_TABLE)
    }

    /// Compares what has arrived with the source.
    pub fn compare(&self) -> Report {
        compare(&self.source, &self.receiver.frames_from(0))
    }

    /// Waits until every alert of the source has arrived at least once, for as long as a test waits.
    pub fn wait_for_all(&self, collector: &Collector) -> Result<()> {
        self.wait_with_progress(collector, PATIENCE, |_| ())
    }

    /// Waits until every alert of the source has arrived at least once. `progress` hears how many have.
    pub fn wait_with_progress(
        &self,
        collector: &Collector,
        timeout: Duration,
        mut progress: impl FnMut(usize),
    ) -> Result<()> {
        let deadline = Instant::now() + timeout;
        let mut check = Check::new(&self.source);
        let mut known = 0;
        while check.missing() > 0 {
            // In slices, so that the end of the collector is noticed while nothing arrives.
            match self.receiver.wait_for_more(known, Duration::from_millis(500)) {
                Some(new) => {
                    known += new.len();
                    new.iter().for_each(|frame| check.take(frame));
                    progress(self.source.len() - check.missing());
                }
                None if !collector.is_running() => bail!("the collector ended: {}{}", check.report(), collector.tail()),
                None => {}
            }
            if check.missing() > 0 && Instant::now() >= deadline {
                bail!("waited {timeout:?} for all alerts: {}{}", check.report(), collector.tail());
            }
        }
        Ok(())
    }
}

/// Whatever a test is about, the token must not be where it has no business.
impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let log = std::fs::read(self.installation.product().join("collector.log")).unwrap_or_default();
        let state = self.installation.state_files().unwrap_or_default();
        let frames = self.receiver.frames_from(0);
        let places = std::iter::once(("the log", &log[..]))
            .chain(state.values().map(|content| ("the state", &content[..])))
            .chain(frames.iter().map(|frame| ("an event", &frame.line[..])));
        let tokens = [self.simulator.token(), self.settings.token.clone()];
        for (place, bytes) in places {
            for token in tokens.iter().filter(|token| token.len() > 8) {
                let found = memchr::memmem::find(bytes, token.as_bytes());
                assert!(found.is_none(), "the token is in {place} of {}", self.installation.product().display());
            }
        }
    }
}
