//! The puller task: waits for the set-up, makes the state ready, then pulls every period, and goes on with the rest of what
//! the source has for as long as the next pull is not due.

use std::convert::Infallible;
use std::time::Duration;

use collector_egress::{rate, rate::Kind};
use collector_model::metrics::Summary;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::End;
use super::call::{Caller, Interrupted};
use super::schedule::{Backoff, Next, Period, Reason, Timetable, Waits};
use super::setup::Readiness;
use crate::sandbox::{Budget, Grant, Outcome};

/// The puller task of one service.
pub struct Puller {
    caller: Caller,
    readiness: Readiness,
    name: String,
    period: Period,
}

/// What the calls of one cycle did together.
#[derive(Default)]
struct Totals {
    requests: u64,
    received: u64,
    duplicates: u64,
    sent: u64,
}

impl Totals {
    fn add(&mut self, call: &Summary) {
        self.requests += u64::from(call.requests);
        self.received += call.received;
        self.duplicates += call.duplicates;
        self.sent += call.sent;
    }
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
        Cycles::new(self).run().await
    }

    async fn wait_for_setup(&self) -> Result<(), Interrupted> {
        if !self.readiness.is_ready() {
            warn!("Waiting until setup will be executed");
        }
        self.caller.pause(self.readiness.ready()).await
    }

    /// Makes the persisted state ready. What the component says is wrong with it or with the settings, only the operator can
    /// mend; anything else may pass.
    async fn pre_pull(&self) -> Result<(), Interrupted> {
        let mut backoff = Backoff::default();
        loop {
            info!("{} Starting the execution of pre_pull()", self.name);
            let outcome = self.caller.guarded(self.caller.sandbox().pre_pull(self.caller.grant())).await?;
            if matches!(outcome, Ok(Ok(()))) {
                info!("{} Finalizing the execution of pre_pull()", self.name);
                return Ok(());
            }
            let wait = backoff.after(&outcome);
            self.caller.report(outcome)?;
            self.readiness.doubt();
            info!("pre_pull() is tried again in {} seconds", wait.as_secs());
            self.caller.pause(sleep(wait)).await?;
            self.wait_for_setup().await?;
        }
    }
}

/// The cycles of a puller, one after the other.
struct Cycles<'a> {
    puller: &'a Puller,
    start: Instant,
    timetable: Timetable,
    pull_backoff: Backoff,
    backfill_backoff: Backoff,
    /// Of the cycle that the log has not heard the end of yet.
    totals: Option<Totals>,
}

impl<'a> Cycles<'a> {
    fn new(puller: &'a Puller) -> Self {
        Self {
            puller,
            start: Instant::now(),
            timetable: Timetable::new(puller.period),
            pull_backoff: Backoff::default(),
            backfill_backoff: Backoff::default(),
            totals: None,
        }
    }

    async fn run(mut self) -> Result<Infallible, Interrupted> {
        loop {
            match self.timetable.next(self.now(), self.waits()) {
                Next::Pull(time) => {
                    self.tell_end();
                    self.puller.wait_for_setup().await?;
                    self.pull(time).await?;
                }
                Next::Backfill(time) => self.backfill(time).await?,
                Next::Wait(wait, reason) => {
                    match reason {
                        Reason::Done => self.tell_end(),
                        Reason::Limits => rate::announce(wait),
                        Reason::Failure => {}
                    }
                    self.puller.caller.pause(sleep(wait)).await?;
                }
            }
        }
    }

    async fn pull(&mut self, time: Duration) -> Result<(), Interrupted> {
        self.timetable.begin_pull(self.now());
        let budget = budget(self.grant(), Kind::Live, time, self.timetable.is_pending());
        let call = self.puller.caller.sandbox().pull(self.grant(), budget);
        match self.puller.caller.guarded(call).await? {
            Ok(Ok(summary)) => {
                let pulled = self.timetable.end_pull(self.now(), summary.up_to_date);
                self.grant().metrics.add_call(&summary);
                self.grant().metrics.add_cycle(pulled.took, pulled.missed);
                self.totals.get_or_insert_default().add(&summary);
                self.pull_backoff = Backoff::default();
            }
            outcome => {
                let wait = self.pull_backoff.after(&outcome);
                self.give_up(outcome).await?;
                info!("The pull is tried again in {} seconds", wait.as_secs());
                self.timetable.fail_pull(self.now(), wait);
            }
        }
        Ok(())
    }

    async fn backfill(&mut self, time: Duration) -> Result<(), Interrupted> {
        if !self.puller.readiness.is_ready() {
            return self.wait_for_setup_until_due().await;
        }
        let budget = budget(self.grant(), Kind::Backfill, time, true);
        let call = self.puller.caller.sandbox().backfill(self.grant(), budget);
        match self.puller.caller.guarded(call).await? {
            Ok(Ok(summary)) => {
                self.timetable.end_backfill(summary.up_to_date);
                self.grant().metrics.add_call(&summary);
                self.totals.get_or_insert_default().add(&summary);
                self.backfill_backoff = Backoff::default();
            }
            outcome => {
                let wait = self.backfill_backoff.after(&outcome);
                self.give_up(outcome).await?;
                info!("The backfill is tried again in {} seconds", wait.as_secs());
                self.timetable.fail_backfill(self.now(), wait);
            }
        }
        Ok(())
    }

    /// The state was not advanced, so the source will be read again: what is queued would only repeat.
    async fn give_up(&self, outcome: Outcome<Summary>) -> Result<(), Interrupted> {
        self.grant().outputs.discard().await;
        self.puller.caller.report(outcome)?;
        self.puller.readiness.doubt();
        Ok(())
    }

    /// A pull that is due meanwhile goes first.
    async fn wait_for_setup_until_due(&self) -> Result<(), Interrupted> {
        let (_, rest) = self.timetable.cycle(self.now());
        if rest.is_zero() {
            return self.puller.wait_for_setup().await;
        }
        let ready = async {
            // Either way, it is looked again what is to be done.
            let _ = tokio::time::timeout(rest, self.puller.readiness.ready()).await;
        };
        self.puller.caller.pause(ready).await
    }

    /// Says once, in the original's words, that the cycle is over.
    fn tell_end(&mut self) {
        let Some(Totals { requests, received, duplicates, sent }) = self.totals.take() else { return };
        let (elapsed, wait) = self.timetable.cycle(self.now());
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
    }

    fn grant(&self) -> &'a std::sync::Arc<Grant> {
        self.puller.caller.grant()
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn waits(&self) -> Waits {
        let limiter = &self.grant().limiter;
        Waits {
            live: limiter.wait(Kind::Live, self.timetable.is_pending()),
            backfill: limiter.wait(Kind::Backfill, true),
        }
    }
}

/// What a call may use of the request limits in this time, and of the limit of a call: less than that, so that a component
/// which repeats a request at the end is not ended for it.
fn budget(grant: &Grant, kind: Kind, time: Duration, pending: bool) -> Budget {
    let limit = grant.limits.requests;
    let requests = grant.limiter.free(kind, time, pending).min(limit - limit / 10).max(1);
    Budget { requests, milliseconds: u64::try_from(time.as_millis()).unwrap_or(u64::MAX) }
}
