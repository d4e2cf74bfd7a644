//! CloudSEK's API over HTTP or HTTPS: tokens, pages, rate limits, and faults on request.
//!
//! A page is built once and then only copied, so that in a benchmark the collector is measured and not this.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::runtime::Runtime;

use crate::alerts::Alert;
use crate::certificates::Pair;
use crate::tls;
use crate::waiting::Watched;

mod answer;
mod envelope;
mod fault;
mod pages;
mod serve;

pub use envelope::Envelope;
pub use fault::Fault;
use pages::Pages;

/// The path behind the prefix.
pub const PATH: &str = "/api/historic/alerts";

/// In which order the pages show the alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// By `incident_time`, the newest on page 1.
    #[default]
    NewestFirst,
    /// By `incident_time`, the oldest on page 1.
    OldestFirst,
    /// In no order; the same one as long as nothing is added.
    Shuffled,
}

/// At most `requests` are served in any `window`; more are told to come back.
#[derive(Debug, Clone, Copy)]
pub struct RateLimit {
    /// How many.
    pub requests: usize,
    /// In what time.
    pub window: Duration,
}

/// How the API behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Certificate of the server; plain HTTP without one.
    pub certificate: Option<Pair>,
    /// Path before [`PATH`], for example `/tenant`.
    pub prefix: String,
    /// The token that is served.
    pub token: String,
    /// A token that is known but has no right to read alerts: it is answered 403.
    pub forbidden_token: String,
    /// Order of the records.
    pub order: Order,
    /// Shape of an answer.
    pub envelope: Envelope,
    /// Larger limits are cut to this one.
    pub max_limit: usize,
    /// Records at the end of a page that stand at the beginning of the next one as well.
    pub repeated: usize,
    /// No limit without one.
    pub rate_limit: Option<RateLimit>,
    /// Take connections and never say anything, not even in the TLS handshake.
    pub mute: bool,
    /// Threads that serve requests.
    pub threads: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            certificate: None,
            prefix: String::new(),
            token: "test-token-of-the-simulator".to_owned(),
            forbidden_token: "test-token-without-rights".to_owned(),
            order: Order::default(),
            envelope: Envelope::default(),
            max_limit: 100,
            repeated: 0,
            rate_limit: None,
            mute: false,
            threads: 1,
        }
    }
}

/// A request as it was seen.
#[derive(Debug, Clone)]
pub struct Request {
    /// When it came.
    pub at: Instant,
    /// Path and query.
    pub target: String,
    /// Whether it carried the right token.
    pub authorized: bool,
    /// Who asked, by its own words.
    pub user_agent: Option<String>,
    /// What it was answered; `None` for a fault without an answer.
    pub status: Option<u16>,
}

/// A running API.
#[derive(Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
    port: u16,
}

/// What the connections and the test's thread share.
#[derive(Debug)]
struct Shared {
    state: Watched<State>,
}

#[derive(Debug)]
struct State {
    settings: Settings,
    pages: Pages,
    faults: VecDeque<Fault>,
    served: VecDeque<Instant>,
    requests: Vec<Request>,
}

impl Simulator {
    /// Starts on a free port of the loopback interface.
    pub fn start(settings: Settings, alerts: &[Alert]) -> Result<Self> {
        let mut pages = Pages::new(settings.order, settings.envelope, settings.repeated);
        pages.add(alerts);
        pages.prepare(settings.max_limit);
        let state = State { settings, pages, faults: VecDeque::new(), served: VecDeque::new(), requests: Vec::new() };
        let mut simulator = Self { shared: Arc::new(Shared { state: Watched::new(state) }), runtime: None, port: 0 };
        simulator.listen()?;
        Ok(simulator)
    }

    /// Stops serving: connections are refused until [`Simulator::resume`].
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }

    /// Serves again, on the same port.
    pub fn resume(&mut self) -> Result<()> {
        if self.runtime.is_some() {
            bail!("the simulator runs already");
        }
        self.listen()
    }

    fn listen(&mut self) -> Result<()> {
        let (certificate, threads) =
            self.shared.state.read(|state| (state.settings.certificate.clone(), state.settings.threads));
        let tls = certificate.as_ref().map(tls::server).transpose()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("simulator")
            .enable_all()
            .build()?;
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind(("127.0.0.1", self.port)))
            .with_context(|| format!("listening on port {}", self.port))?;
        self.port = listener.local_addr()?.port();
        runtime.spawn(serve::accept(listener, tls, Arc::clone(&self.shared)));
        self.runtime = Some(runtime);
        Ok(())
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What an operator writes as `base_url`.
    pub fn base_url(&self) -> String {
        self.shared.state.read(|state| {
            let scheme = if state.settings.certificate.is_some() { "https" } else { "http" };
            format!("{scheme}://localhost:{}{}", self.port, state.settings.prefix)
        })
    }

    /// The token that is served.
    pub fn token(&self) -> String {
        self.shared.state.read(|state| state.settings.token.clone())
    }

    /// Adds alerts: they appear at the place that the order gives them.
    pub fn add(&self, alerts: &[Alert]) {
        self.shared.state.change(|state| {
            state.pages.add(alerts);
            let limit = state.settings.max_limit;
            state.pages.prepare(limit);
        });
    }

    /// Changes a setting while it runs: token, rate limit and largest page. The certificate is read at
    /// [`Simulator::resume`].
    pub fn change(&self, edit: impl FnOnce(&mut Settings)) {
        self.shared.state.change(|state| edit(&mut state.settings));
    }

    /// Answers the next `times` requests with a fault, after those that were asked for before.
    pub fn fail(&self, times: usize, fault: Fault) {
        self.shared.state.change(|state| state.faults.extend(std::iter::repeat_n(fault, times)));
    }

    /// Has no more requests fail.
    pub fn recover(&self) {
        self.shared.state.change(|state| state.faults.clear());
    }

    /// Forgets the faults that have not happened yet.
    pub fn heal(&self) {
        self.shared.state.change(|state| state.faults.clear());
    }

    /// All requests so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state.read(|state| state.requests.clone())
    }

    /// How many requests came so far.
    pub fn request_count(&self) -> usize {
        self.shared.state.read(|state| state.requests.len())
    }

    /// Waits until `count` requests have come since the start.
    pub fn wait_for_requests(&self, count: usize, timeout: Duration) -> Result<()> {
        let seen = self.shared.state.wait(timeout, |state| (state.requests.len() >= count).then_some(()));
        if seen.is_none() {
            bail!("waited {timeout:?} for {count} requests to the API; {} came", self.request_count());
        }
        Ok(())
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests;
