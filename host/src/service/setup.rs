//! The set-up task: checks settings and credentials at the start, every now and then, and after a pull that
//! failed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use collector_egress::ApiClient;
use collector_files::{RootedPath, Work};
use collector_model::{KnownSecrets, Secret, error_code};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::End;
use super::invoke::{Caller, Purpose, ServiceExit};
use super::schedule::Backoff;

/// A file that is not read in this time is on a disk that does not answer.
const LONGEST_READ: Duration = Duration::from_secs(30);

/// Whether the last set-up succeeded: written by the set-up, waited for by the puller.
#[derive(Clone)]
pub struct Readiness {
    ready: Arc<watch::Sender<bool>>,
    wanted: Arc<Notify>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self { ready: Arc::new(watch::Sender::new(false)), wanted: Arc::default() }
    }
}

impl Readiness {
    /// Whether pulling makes sense now.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Returns when pulling makes sense.
    pub async fn ready(&self) {
        // The sender lives in `self`, so that the wait can't fail.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// A pull has failed: the set-up is to look again at once.
    pub fn invalidate(&self) {
        self.ready.send_replace(false);
        self.wanted.notify_one();
    }
}

/// The set-up task of one service.
pub struct Setup {
    caller: Caller,
    readiness: Readiness,
    module: &'static str,
    token: Token,
    api: ApiClient,
    refresh: Duration,
}

/// Where the token comes from, and where it is known as one that must not be shown.
pub struct Token {
    /// The file that has it, where it does not stand in the configuration.
    pub file: Option<RootedPath>,
    pub known: KnownSecrets,
}

impl Setup {
    /// `module` is the name of what pulls, as the original prints it.
    pub fn new(
        caller: Caller,
        readiness: Readiness,
        module: &'static str,
        token: Token,
        api: ApiClient,
        refresh: Duration,
    ) -> Self {
        Self { caller, readiness, module, token, api, refresh }
    }

    /// Runs until the stop, or until the set-up can't succeed without the operator.
    pub async fn run(&self) -> End {
        match self.check_for_ever().await {
            Err(ServiceExit(end)) => end,
            Ok(never) => match never {},
        }
    }

    async fn check_for_ever(&self) -> Result<Infallible, ServiceExit> {
        loop {
            self.check().await?;
            let due = async {
                tokio::select! {
                    () = sleep(self.refresh) => warn!("The token/header/authentication is expired and it needs to be refreshed"),
                    () = self.readiness.wanted.notified() => {}
                }
            };
            self.caller.run_until_stopped(due).await?;
        }
    }

    /// Tries until it succeeds.
    async fn check(&self) -> Result<(), ServiceExit> {
        let mut backoff = Backoff::default();
        while let Some(wait) = self.check_once(&mut backoff).await? {
            info!("Retrying the setup in {} seconds", wait.as_secs());
            self.caller.run_until_stopped(sleep(wait)).await?;
        }
        Ok(())
    }

    /// Checks whether settings and credentials are accepted. If not, it is to be tried again after this wait.
    pub async fn check_once(&self, backoff: &mut Backoff) -> Result<Option<Duration>, ServiceExit> {
        if let Err(reason) = self.caller.run_until_stopped(self.refresh_token()).await? {
            self.caller.record_failure(Purpose::SetUp, error_code::TOKEN_UNREADABLE, &format!("{reason}."));
            return Ok(Some(backoff.after_failure()));
        }
        let call = self.caller.guest().set_up();
        let outcome = self.caller.with_grace(call).await?;
        let wait = (!matches!(outcome, Ok(Ok(())))).then(|| backoff.after(&outcome));
        self.caller.report(Purpose::SetUp, outcome)?;
        self.caller.metrics().set_ready(wait.is_none());
        if wait.is_none() {
            self.readiness.ready.send_replace(true);
            info!("Setup for module <{}> has been successfully executed", self.module);
        }
        Ok(wait)
    }

    /// A token in a file may have been replaced: tokens are rotated.
    async fn refresh_token(&self) -> Result<(), String> {
        if let Some(file) = self.token.file.clone() {
            let (threads, token) = (file.threads().clone(), Secret::File(file));
            let read = threads.run(Work::Files, LONGEST_READ, move || token.read());
            let read = timeout(LONGEST_READ, read)
                .await
                .map_err(|_| format!("the token was not read within {LONGEST_READ:?}"))?;
            let token = read.map_err(|error| format!("the token can't be read: {error}"))?;
            let token = token.map_err(|error| format!("the token can't be read: {error}"))?;
            // Before it is sent for the first time.
            self.token.known.add_replaceable(&token);
            self.api.set_credential(&token).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}
