//! What stands around every run: the alerts, the source that has them in pages, and certificates for both
//! ends.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use chrono::{TimeDelta, Utc};
use sandbox::alerts::{Alert, Batch};
use sandbox::certificates::Certificates;
use sandbox::folder::Folder;
use sandbox::installation::{Installation, Settings};
use sandbox::receiver::{self, Receiver};
use sandbox::simulator::{self, Simulator};
use sandbox::tls;

/// Records of a page.
pub const LIMIT: usize = 1_000;

/// Alerts of a day at the source. A busy tenant's: with the overlap of a day, that many ids are remembered.
pub(crate) const ALERTS_OF_A_DAY: usize = 3_000;

/// A source of alerts that does not change, over HTTP or HTTPS.
pub struct Scene {
    /// All of them.
    pub alerts: Vec<Alert>,
    /// Where they are asked for.
    pub simulator: Simulator,
    /// Whether that is over TLS.
    pub https: bool,
    certificates: Certificates,
    folder: Folder,
    runs: u32,
}

impl Scene {
    /// Makes this many alerts, and all pages of them. The last record of a page is the first of the next.
    pub fn set(count: usize, https: bool) -> Result<Self> {
        ensure!(count > 1, "a page and the next have a record in common: that takes two");
        let folder = Folder::new("bench")?;
        let certificates = Certificates::write_to(&folder.path().join("authority"))?;
        let spread = TimeDelta::days(1) * i32::try_from(count.div_ceil(ALERTS_OF_A_DAY))?;
        let newest = Utc::now() - TimeDelta::hours(1);
        let alerts = Batch { count, first: 0, seed: 1, newest, spread }.make();
        let settings = simulator::Settings {
            certificate: https.then(|| certificates.server.clone()),
            max_limit: LIMIT,
            repeated: 1,
            ..Default::default()
        };
        let simulator = Simulator::start(settings, &alerts)?;
        Ok(Self { alerts, simulator, https, certificates, folder, runs: 0 })
    }

    /// How many pages there are.
    pub fn pages(&self) -> usize {
        (self.alerts.len() - 1).div_ceil(LIMIT - 1)
    }

    /// Bytes of all pages together, but for the few around their records.
    pub fn page_bytes(&self) -> u64 {
        let repeated = (1..self.pages()).map(|page| &self.alerts[self.alerts.len() - 1 - page * (LIMIT - 1)]);
        self.alerts.iter().chain(repeated).map(|alert| alert.text.len() as u64 + 1).sum()
    }

    /// A receiver that has received nothing yet, over mutual TLS 1.3.
    pub fn receiver(&self) -> Result<Receiver> {
        let versions = tls::TLS_12_AND_13[..1].to_vec();
        Receiver::start(&self.certificates, &receiver::Settings { versions, ..Default::default() })
    }

    /// A new product folder, configured for the source and this receiver, for one cycle.
    pub fn installation(&mut self, receiver: &Receiver) -> Result<Installation> {
        self.installation_with(receiver, 3600, LIMIT)
    }

    /// As [`Scene::installation`], for a cycle every so many seconds and pages of so many records.
    pub fn installation_with(&mut self, receiver: &Receiver, seconds: u32, limit: usize) -> Result<Installation> {
        self.runs += 1;
        let product: PathBuf = self.folder.path().join(format!("run-{}", self.runs));
        let installation = Installation::new(&product, &self.certificates)?;
        let mut settings = Settings::new(self.simulator.base_url(), self.simulator.token(), receiver.port());
        settings.input += &format!("request: {{limit: {limit}}}\n");
        settings.period = seconds;
        installation.configure(&settings)?;
        Ok(installation)
    }

    /// Where compiled components are kept: one cache for all runs of the scene, so that the first finds
    /// nothing in it.
    pub fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// Keeps the folder for a closer look.
    pub fn keep(&mut self) {
        self.folder.keep();
    }
}
