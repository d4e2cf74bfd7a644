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
mod ticker;
mod world;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tracing::Instrument;
use wasmtime::Store;
use wasmtime::component::InstancePre;

pub use bindings::exports::devo::collector::service::{Failure, Fault, Summary};
pub use bindings::{devo, wasi};
pub use breach::{Breach, Limit};
pub use cache::usual_folder as usual_cache_folder;
pub use cycle::Grant;
pub use engine::Engine;
pub use error::ComponentError;
pub use meter::Meter;

use bindings::{Implemented as Collector, ImplementedPre as CollectorPre};
use cycle::Cycle;
use ticker::Ticker;

/// The component that this program carries.
const BUNDLED: &[u8] = include_bytes!(env!("COLLECTOR_COMPONENT"));

/// A component, compiled and linked, from which instances are made.
pub struct Sandbox {
    pre: CollectorPre<Cycle>,
    ticker: Arc<Ticker>,
}

/// What a call came to: the component's own answer, or the limit that ended it.
pub type Outcome<T> = Result<Result<T, Failure>, Breach>;

impl Sandbox {
    fn new(pre: InstancePre<Cycle>, ticker: Arc<Ticker>) -> wasmtime::Result<Self> {
        Ok(Self { pre: CollectorPre::new(pre)?, ticker })
    }

    /// Calls `set-up`.
    pub async fn set_up(&self, grant: &Arc<Grant>) -> Outcome<()> {
        self.call(grant, async |collector, store| collector.devo_collector_service().call_set_up(store).await).await
    }

    /// Calls `pre-pull`.
    pub async fn pre_pull(&self, grant: &Arc<Grant>) -> Outcome<()> {
        self.call(grant, async |collector, store| collector.devo_collector_service().call_pre_pull(store).await).await
    }

    /// Calls `pull`.
    pub async fn pull(&self, grant: &Arc<Grant>) -> Outcome<Summary> {
        self.call(grant, async |collector, store| collector.devo_collector_service().call_pull(store).await).await
    }

    async fn call<T>(
        &self,
        grant: &Arc<Grant>,
        export: impl AsyncFnOnce(&Collector, &mut Store<Cycle>) -> wasmtime::Result<Result<T, Failure>>,
    ) -> Outcome<T> {
        let _ticking = self.ticker.tick();
        let mut store = Store::new(self.pre.engine(), Cycle::new(grant.clone()));
        meter::apply(&grant.limits, self.ticker.turns(), &mut store);
        // Epochs don't interrupt a host function, so the whole call has a time-out around it.
        let call = async {
            let collector = self.pre.instantiate_async(&mut store).await?;
            export(&collector, &mut store).await
        };
        let outcome = tokio::time::timeout(grant.limits.wall, call.in_current_span()).await;
        match outcome {
            Ok(Ok(answer)) => store.data().breach().map_or(Ok(answer), Err),
            Ok(Err(error)) => Err(store.data_mut().breach_behind(&error)),
            Err(_) => Err(Breach::Limit { limit: Limit::Wall, allowed: grant.limits }),
        }
    }
}
