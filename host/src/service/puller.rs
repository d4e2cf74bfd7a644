//! The puller task: waits for the set-up, makes the state ready, then pulls every period.

use std::convert::Infallible;
use std::time::Instant;

use tokio::time::sleep;
use tracing::{info, warn};

use super::End;
use super::call::{Caller, Interrupted};
use super::schedule::{Backoff, Period};
use super::setup::Readiness;
use crate::sandbox::Summary;

/// The puller task of one service.
pub struct Puller {
    caller: Caller,
    readiness: Readiness,
    name: String,
    period: Period,
}

impl Puller {
    /// `name` is the one that the original prints.
    pub fn new(caller: Caller, readiness: Readiness, name: String, period: Period) -> Self {
        Self { caller, readiness, name, period }
    }

    /// How often it pulls.
    pub fn period(&self) -> Period {
        self.period
    }

    /// Runs until the stop, or until it can't go on without the operator.
    pub async fn run(&self) -> End {
        match self.pull_for_ever().await {
            Err(Interrupted(end)) => end,
            Ok(never) => match never {},
        }
    }

    async fn pull_for_ever(&self) -> Result<Infallible, Interrupted> {
        self.caller.pause(self.readiness.ready()).await?;
        self.pre_pull().await?;
        info!("Starting data collection every {} seconds", self.period.seconds());
        loop {
            let started = Instant::now();
            let Summary { requests, received, duplicates, sent, .. } = self.pull_until_up_to_date().await?;
            let elapsed = started.elapsed();
            let wait = self.period.rest(elapsed);
            self.caller.grant().figures.add_cycle(elapsed, self.period.duration());
            let took = elapsed.as_secs_f64();
            if wait.is_zero() {
                info!(
                    requests,
                    received,
                    duplicates,
                    sent,
                    elapsed_in_seconds = took,
                    "Elapsed time: {took:.3} seconds. Last retrieval took too much time, no wait will be applied in this loop"
                );
            } else {
                info!(
                    requests,
                    received,
                    duplicates,
                    sent,
                    elapsed_in_seconds = took,
                    "Data collection completed. Elapsed time: {took:.3} seconds. Waiting for {:.3} second(s) until the next one",
                    wait.as_secs_f64()
                );
            }
            self.caller.pause(sleep(wait)).await?;
        }
    }

    async fn wait_for_setup(&self) -> Result<(), Interrupted> {
        if !self.readiness.is_ready() {
            warn!("Waiting until setup will be executed");
        }
        self.caller.pause(self.readiness.ready()).await
    }

    /// Makes the persisted state ready. What is wrong with it only the operator can mend.
    async fn pre_pull(&self) -> Result<(), Interrupted> {
        info!("{} Starting the execution of pre_pull()", self.name);
        let outcome = self.caller.guarded(self.caller.sandbox().pre_pull(self.caller.grant())).await?;
        if !matches!(outcome, Ok(Ok(()))) {
            self.caller.report(outcome)?;
            return Err(Interrupted(End::Failed));
        }
        info!("{} Finalizing the execution of pre_pull()", self.name);
        Ok(())
    }

    /// Pulls piece by piece, and again after failures, until there is nothing more to deliver. Sums up the pieces.
    async fn pull_until_up_to_date(&self) -> Result<Summary, Interrupted> {
        let mut backoff = Backoff::default();
        let mut total = Summary { requests: 0, received: 0, duplicates: 0, sent: 0, up_to_date: true };
        loop {
            // A wait that the limits ask for does not count as the component's time.
            self.caller.pause(self.caller.grant().limiter.ready()).await?;
            let call = self.caller.sandbox().pull(self.caller.grant());
            match self.caller.guarded(call).await? {
                Ok(Ok(piece)) => {
                    self.caller.grant().figures.add_piece(&piece);
                    total.requests += piece.requests;
                    total.received += piece.received;
                    total.duplicates += piece.duplicates;
                    total.sent += piece.sent;
                    if piece.up_to_date {
                        return Ok(total);
                    }
                    backoff = Backoff::default();
                }
                outcome => {
                    // The state was not advanced, so the source will be read again: what is queued would only repeat.
                    self.caller.grant().outputs.discard().await;
                    let wait = backoff.after(&outcome);
                    self.caller.report(outcome)?;
                    self.readiness.doubt();
                    info!("The pull is tried again in {} seconds", wait.as_secs());
                    self.caller.pause(sleep(wait)).await?;
                    self.wait_for_setup().await?;
                }
            }
        }
    }
}
