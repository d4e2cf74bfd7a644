//! The calls of a component for one service: each on a fresh instance, with fresh limits.

use std::sync::Arc;
use std::time::Instant;

use collector_egress::rate::Kind;
use collector_model::CallLimit;
use collector_model::metrics::Summary;
use futures_util::future::BoxFuture;
use tracing::Instrument;
use wasmtime::Store;

use crate::bindings::Implemented;
use crate::bindings::exports::devo::collector::service::{Budget, Failure, Guest as Exports};
use crate::budget::CallMemory;
use crate::call::CallState;
use crate::failed::Failed;
use crate::meter::{self, CPU_BOUND};
use crate::sandbox::Sandbox;
use crate::slow_lane::CpuBound;
use crate::stopwatch::Stopwatch;
use crate::terminated::Terminated;
use crate::views::Context;

/// What a call came to: the component's own answer, or why the host terminated it.
pub type Outcome<T> = Result<Result<T, Failed>, Terminated>;

/// What a function that the component exports is going to answer.
type Answer<'a, T> = BoxFuture<'a, wasmtime::Result<Result<T, Failure>>>;

/// A component with what one service lets it reach. Clones share both.
#[derive(Clone)]
pub struct Guest {
    sandbox: Arc<Sandbox>,
    context: Arc<Context>,
}

impl Guest {
    pub(crate) fn new(sandbox: Arc<Sandbox>, context: Context) -> Self {
        Self { sandbox, context: Arc::new(context) }
    }

    /// Calls `set-up`.
    pub async fn set_up(&self) -> Outcome<()> {
        self.run(Kind::Live, |component, store| Box::pin(exports(component).call_set_up(store))).await
    }

    /// Calls `pre-pull`.
    pub async fn pre_pull(&self) -> Outcome<()> {
        self.run(Kind::Live, |component, store| Box::pin(exports(component).call_pre_pull(store))).await
    }

    /// Calls `pull`.
    pub async fn pull(&self, budget: Budget) -> Outcome<Summary> {
        let pulled =
            self.run(Kind::Live, move |component, store| Box::pin(exports(component).call_pull(store, budget)));
        Ok(pulled.await?.map(Summary::from))
    }

    /// Calls `backfill`.
    pub async fn backfill(&self, budget: Budget) -> Outcome<Summary> {
        let pulled =
            self.run(Kind::Backfill, move |component, store| Box::pin(exports(component).call_backfill(store, budget)));
        Ok(pulled.await?.map(Summary::from))
    }

    async fn run<T: Send + 'static>(
        &self,
        kind: Kind,
        export: impl for<'a> FnOnce(&'a Implemented, &'a mut Store<CallState>) -> Answer<'a, T> + Send + 'static,
    ) -> Outcome<T> {
        // Nothing of the call is there before its turn.
        let memory = self.context.budget.admit().await;
        let cpu_bound = CpuBound::default();
        // A call takes several kilobytes while it is under way: boxed, a service that waits for its next one
        // has none.
        let call = Box::pin(self.clone().call(kind, memory, cpu_bound.clone(), export).in_current_span());
        match &self.sandbox.slow_lane {
            Some(lane) => lane.drive(call, &cpu_bound).await,
            None => call.await,
        }
    }

    async fn call<T>(
        self,
        kind: Kind,
        memory: CallMemory,
        cpu_bound: CpuBound,
        export: impl for<'a> FnOnce(&'a Implemented, &'a mut Store<CallState>) -> Answer<'a, T>,
    ) -> Outcome<T> {
        let Self { sandbox, context } = self;
        let (limits, metrics) = (context.limits, context.metrics.clone());
        let _room = sandbox.room().await;
        let _ticking = sandbox.ticker.run();
        let stopwatch = Stopwatch::default();
        let state = CallState::new(context, kind, stopwatch.clone(), memory.clone());
        let mut store = Store::new(sandbox.pre.engine(), state);
        meter::apply(&limits, &mut store);
        // Epochs don't interrupt a host function, so the whole call has a time-out around it.
        let call = async {
            let started = Instant::now();
            let component = sandbox.pre.instantiate_async(&mut store).await?;
            metrics.add_instance(started.elapsed());
            export(&component, &mut store).await
        };
        // What functions of the host compute is the call's too, and no epoch interrupts it.
        let goes_on = |computed| {
            if computed > CPU_BOUND {
                cpu_bound.set();
            }
            computed <= limits.cpu
        };
        let started = Instant::now();
        let call = tokio::time::timeout(limits.wall, stopwatch.time(call, goes_on));
        let outcome = tokio::select! {
            biased;
            () = memory.needed_by_others() => None,
            outcome = call => Some(outcome),
        };
        metrics.add_computed(stopwatch.total());
        metrics.note_use(CallLimit::Wall, started.elapsed().as_secs());
        store.data().used().for_each(|(limit, amount)| metrics.note_use(limit, amount));
        let outcome = match outcome {
            None => Err(Terminated::NoMemory),
            Some(Ok(Some(Ok(answer)))) => {
                let call = store.data();
                call.terminated().map_or_else(|| Ok(answer.map_err(|failure| call.failed(failure))), Err)
            }
            Some(Ok(Some(Err(error)))) => Err(store.data_mut().terminated_by(&error)),
            Some(Ok(None)) => Err(Terminated::LimitExceeded { limit: CallLimit::Cpu, allowed: limits }),
            Some(Err(_)) => Err(Terminated::LimitExceeded { limit: CallLimit::Wall, allowed: limits }),
        };
        if let Err(Terminated::LimitExceeded { limit, .. }) = outcome {
            metrics.add_exceeded(limit);
        }
        outcome
    }
}

/// What the component exports.
fn exports(component: &Implemented) -> &Exports {
    component.devo_collector_service()
}
