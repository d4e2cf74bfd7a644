//! The puller task: waits for the set-up, makes the state ready, then pulls every period, and goes on with
//! the rest of what the source has for as long as the next pull is not due.

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use collector_egress::rate::{self, Kind, Limiter};
use collector_model::metrics::Summary;
use collector_sandbox::{Budget, Outcome};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::End;
use super::invoke::{Caller, Purpose, ServiceExit};
use super::schedule::{Backoff, IDLE_CALL, Next, Period, Reason, Timetable, Waits};
use super::setup::Readiness;

/// The puller task of one service.
pub struct Puller {
    caller: Caller,
    readiness: Readiness,
    name: String,
    period: Period,
    allowance: Allowance,
}

/// Of what the budget of a call is made.
pub struct Allowance {
    /// What the operator's request limits leave.
    pub limiter: Limiter,
    /// The limit of one call.
    pub requests_of_a_call: u32,
}

/// What the calls of one cycle did together.
#[derive(Default)]
struct Totals {
    requests: u64,
    received: u64,
    duplicates: u64,
    sent: u64,
}

/// What a call of one cycle came to.
enum Settled {
    Done {
        /// As the component says.
        up_to_date: bool,
    },
    Failed {
        /// Before it is tried again.
        wait: Duration,
    },
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
    pub fn new(caller: Caller, readiness: Readiness, name: String, period: Period, allowance: Allowance) -> Self {
        Self { caller, readiness, name, period, allowance }
    }

    /// How often it pulls.
    pub fn period(&self) -> Period {
        self.period
    }

    /// Runs until the stop, or until it can't go on without the operator.
    pub async fn run(&self) -> End {
        match self.pull_for_ever().await {
            Err(ServiceExit(end)) => end,
            Ok(never) => match never {},
        }
    }

    async fn pull_for_ever(&self) -> Result<Infallible, ServiceExit> {
        self.caller.run_until_stopped(self.readiness.ready()).await?;
        self.pre_pull().await?;
        info!("Starting data collection every {} seconds", self.period.seconds());
        Cycles::new(self).run().await
    }

    async fn wait_for_setup(&self) -> Result<(), ServiceExit> {
        if !self.readiness.is_ready() {
            warn!("Waiting until setup will be executed");
        }
        self.caller.run_until_stopped(self.readiness.ready()).await
    }

    /// Makes the persisted state ready, again and again until it is or the component says that it can't be.
    async fn pre_pull(&self) -> Result<(), ServiceExit> {
        let mut backoff = Backoff::default();
        loop {
            info!("{} Starting the execution of pre_pull()", self.name);
            let outcome = self.caller.with_grace(self.caller.guest().pre_pull()).await?;
            if matches!(outcome, Ok(Ok(()))) {
                info!("{} Finalizing the execution of pre_pull()", self.name);
                return Ok(());
            }
            let wait = backoff.after(&outcome);
            self.caller.report(Purpose::PrePull, outcome)?;
            self.readiness.invalidate();
            info!("Retrying pre_pull() in {} seconds", wait.as_secs());
            self.caller.run_until_stopped(sleep(wait)).await?;
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

    async fn run(mut self) -> Result<Infallible, ServiceExit> {
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
                        Reason::Limits => {
                            rate::announce(wait);
                            if self.timetable.is_due(self.now()) {
                                self.caller().metrics().set_limited_until(SystemTime::now() + wait);
                            }
                        }
                        Reason::Failure => {}
                    }
                    self.caller().run_until_stopped(sleep(wait)).await?;
                }
            }
        }
    }

    async fn pull(&mut self, time: Duration) -> Result<(), ServiceExit> {
        self.timetable.begin_pull(self.now());
        let budget = self.puller.allowance.budget(Kind::Live, time, self.timetable.is_pending());
        let work = Work::begin(self.caller());
        let call = self.caller().guest().pull(budget);
        let outcome = self.caller().with_grace(call).await?;
        let idle = work.is_idle(self.caller());
        match self.settle(Kind::Live, outcome).await? {
            Settled::Done { up_to_date } => {
                let pulled = self.timetable.end_pull(self.now(), up_to_date);
                self.timetable.note_idle(self.now(), idle);
                self.caller().metrics().add_cycle(pulled.took, pulled.missed);
            }
            Settled::Failed { wait } => self.timetable.fail_pull(self.now(), wait),
        }
        Ok(())
    }

    async fn backfill(&mut self, time: Duration) -> Result<(), ServiceExit> {
        if !self.puller.readiness.is_ready() {
            return self.wait_for_setup_until_due().await;
        }
        let budget = self.puller.allowance.budget(Kind::Backfill, time, true);
        let work = Work::begin(self.caller());
        let call = self.caller().guest().backfill(budget);
        let outcome = self.caller().with_grace(call).await?;
        let idle = work.is_idle(self.caller());
        match self.settle(Kind::Backfill, outcome).await? {
            Settled::Done { up_to_date } => {
                self.timetable.end_backfill(up_to_date);
                self.timetable.note_idle(self.now(), idle);
            }
            Settled::Failed { wait } => self.timetable.fail_backfill(self.now(), wait),
        }
        Ok(())
    }

    /// Counts what a call has done, or says why it has failed and when it is tried again. Where it failed,
    /// the state was not advanced and the source will be read again: what is queued would only repeat.
    async fn settle(&mut self, kind: Kind, outcome: Outcome<Summary>) -> Result<Settled, ServiceExit> {
        let (name, purpose, backoff) = match kind {
            Kind::Live => ("pull", Purpose::Pull, &mut self.pull_backoff),
            Kind::Backfill => ("backfill", Purpose::Backfill, &mut self.backfill_backoff),
        };
        if let Ok(Ok(summary)) = outcome {
            *backoff = Backoff::default();
            self.caller().report(purpose, outcome)?;
            self.caller().metrics().add_call(&summary);
            self.totals.get_or_insert_default().add(&summary);
            return Ok(Settled::Done { up_to_date: summary.up_to_date });
        }
        let wait = backoff.after(&outcome);
        self.caller().discard().await;
        self.caller().report(purpose, outcome)?;
        self.puller.readiness.invalidate();
        info!("Retrying the {name} in {} seconds", wait.as_secs());
        Ok(Settled::Failed { wait })
    }

    /// A pull that is due meanwhile goes first.
    async fn wait_for_setup_until_due(&self) -> Result<(), ServiceExit> {
        let (_, rest) = self.timetable.cycle(self.now());
        if rest.is_zero() {
            return self.puller.wait_for_setup().await;
        }
        let ready = async {
            // Either way, it is looked again what is to be done.
            let _ = tokio::time::timeout(rest, self.puller.readiness.ready()).await;
        };
        self.caller().run_until_stopped(ready).await
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

    fn caller(&self) -> &'a Caller {
        &self.puller.caller
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn waits(&self) -> Waits {
        let limiter = &self.puller.allowance.limiter;
        Waits {
            live: limiter.wait(Kind::Live, self.timetable.is_pending()),
            backfill: limiter.wait(Kind::Backfill, true),
        }
    }
}

/// Whether a call was worth to be made, by what the host has seen of it and not by the component's word.
struct Work {
    begun: Instant,
    delivered: u64,
}

impl Work {
    fn begin(caller: &Caller) -> Self {
        Self { begun: Instant::now(), delivered: caller.delivered() }
    }

    fn is_idle(&self, caller: &Caller) -> bool {
        self.begun.elapsed() < IDLE_CALL && caller.delivered() == self.delivered
    }
}

impl Allowance {
    /// What a call may use of the request limits in this time, and of the limit of a call: less than that, so
    /// that a component which repeats a request at the end is not ended for it.
    fn budget(&self, kind: Kind, time: Duration, pending: bool) -> Budget {
        let limit = self.requests_of_a_call;
        let requests = self.limiter.free(kind, time, pending).min(limit - limit / 10).max(1);
        Budget { requests, milliseconds: u64::try_from(time.as_millis()).unwrap_or(u64::MAX) }
    }
}
