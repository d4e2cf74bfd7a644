//! The sandbox: a compiled component, and a fresh instance with fresh limits for every call.
//!
//! Three scopes that are never mixed: [`Engine`] lives as long as the process, a [`Grant`] as long as its service, a
//! `Cycle` as long as one call. A [`Sandbox`] is shared by all services that run the same component.

mod bindings;
mod breach;
mod cache;
mod cycle;
mod engine;
mod error;
mod linker;
mod meter;
mod pool;
mod slow_lane;
mod stopwatch;
mod ticker;
mod world;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use collector_egress::rate::Kind;
use collector_model::Limit;
use collector_model::metrics::Summary;
use futures_util::future::BoxFuture;
use tracing::Instrument;
use wasmtime::Store;
use wasmtime::component::InstancePre;

pub use bindings::exports::devo::collector::service::{Budget, Failure, Fault};
pub use bindings::{devo, wasi};
pub use breach::Breach;
pub use cache::usual_folder as usual_cache_folder;
pub use cycle::Grant;
pub use engine::Engine;
pub use error::ComponentError;
pub use meter::Meter;

use bindings::{Implemented as Collector, ImplementedPre as CollectorPre};
use cycle::Cycle;
use slow_lane::{Long, SlowLane};
use stopwatch::Stopwatch;
use ticker::Ticker;

/// The component that this program carries.
const BUNDLED: &[u8] = include_bytes!(env!("COLLECTOR_COMPONENT"));

/// A component, compiled and linked, from which instances are made.
pub struct Sandbox {
    pre: CollectorPre<Cycle>,
    ticker: Arc<Ticker>,
    /// Where calls go that compute for long, if there are others that they could be in the way of.
    slow_lane: Option<Arc<SlowLane>>,
}

/// What a call came to: the component's own answer, or the limit that ended it.
pub type Outcome<T> = Result<Result<T, Failure>, Breach>;

/// What a function that the component exports is going to answer.
type Answer<'a, T> = BoxFuture<'a, wasmtime::Result<Result<T, Failure>>>;

impl Sandbox {
    fn new(
        pre: InstancePre<Cycle>,
        ticker: Arc<Ticker>,
        slow_lane: Option<Arc<SlowLane>>,
    ) -> wasmtime::Result<Arc<Self>> {
        Ok(Arc::new(Self { pre: CollectorPre::new(pre)?, ticker, slow_lane }))
    }

    /// Calls `set-up`.
    pub async fn set_up(self: &Arc<Self>, grant: &Arc<Grant>) -> Outcome<()> {
        self.run(grant, Kind::Live, |collector, store| Box::pin(service(collector).call_set_up(store))).await
    }

    /// Calls `pre-pull`.
    pub async fn pre_pull(self: &Arc<Self>, grant: &Arc<Grant>) -> Outcome<()> {
        self.run(grant, Kind::Live, |collector, store| Box::pin(service(collector).call_pre_pull(store))).await
    }

    /// Calls `pull`.
    pub async fn pull(self: &Arc<Self>, grant: &Arc<Grant>, budget: Budget) -> Outcome<Summary> {
        let pulled =
            self.run(grant, Kind::Live, move |collector, store| Box::pin(service(collector).call_pull(store, budget)));
        Ok(pulled.await?.map(Summary::from))
    }

    /// Calls `backfill`.
    pub async fn backfill(self: &Arc<Self>, grant: &Arc<Grant>, budget: Budget) -> Outcome<Summary> {
        let pulled = self.run(grant, Kind::Backfill, move |collector, store| {
            Box::pin(service(collector).call_backfill(store, budget))
        });
        Ok(pulled.await?.map(Summary::from))
    }

    async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        grant: &Arc<Grant>,
        kind: Kind,
        export: impl for<'a> FnOnce(&'a Collector, &'a mut Store<Cycle>) -> Answer<'a, T> + Send + 'static,
    ) -> Outcome<T> {
        let long = Long::default();
        // A call takes several kilobytes while it is under way: boxed, a service that waits for its next one has none.
        let call = Box::pin(self.clone().call(grant.clone(), kind, long.clone(), export).in_current_span());
        match &self.slow_lane {
            Some(lane) => lane.drive(call, &long).await,
            None => call.await,
        }
    }

    async fn call<T>(
        self: Arc<Self>,
        grant: Arc<Grant>,
        kind: Kind,
        long: Long,
        export: impl for<'a> FnOnce(&'a Collector, &'a mut Store<Cycle>) -> Answer<'a, T>,
    ) -> Outcome<T> {
        let _ticking = self.ticker.run();
        let mut store = Store::new(self.pre.engine(), Cycle::new(grant.clone(), kind, self.ticker.tick()));
        meter::apply(&grant.limits, long, &mut store);
        // Epochs don't interrupt a host function, so the whole call has a time-out around it.
        let call = async {
            let started = Instant::now();
            let collector = self.pre.instantiate_async(&mut store).await?;
            grant.metrics.add_instance(started.elapsed());
            export(&collector, &mut store).await
        };
        let (started, mut stopwatch) = (Instant::now(), Stopwatch::default());
        let outcome = tokio::time::timeout(grant.limits.wall, stopwatch.time(call)).await;
        grant.metrics.add_computed(stopwatch.total());
        grant.metrics.note_use(Limit::Wall, started.elapsed().as_secs());
        store.data().used().for_each(|(limit, amount)| grant.metrics.note_use(limit, amount));
        let outcome = match outcome {
            Ok(Ok(answer)) => store.data().breach().map_or(Ok(answer), Err),
            Ok(Err(error)) => Err(store.data_mut().breach_behind(&error)),
            Err(_) => Err(Breach::Limit { limit: Limit::Wall, allowed: grant.limits }),
        };
        if let Err(Breach::Limit { limit, .. }) = outcome {
            grant.metrics.add_exceeded(limit);
        }
        outcome
    }
}

/// What the component exports.
fn service(collector: &Collector) -> &bindings::exports::devo::collector::service::Guest {
    collector.devo_collector_service()
}
