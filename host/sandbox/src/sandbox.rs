//! A component, compiled and linked once, from which instances are made.

use std::sync::Arc;

use collector_model::Limits;
use collector_model::metrics::ServiceMetrics;
use wasmtime::component::InstancePre;

use crate::bindings::ImplementedPre;
use crate::budget::TenantBudget;
use crate::cache::InUse;
use crate::call::CallState;
use crate::guest::Guest;
use crate::instances::{InstancesOf, Room};
use crate::slow_lane::SlowLane;
use crate::ticker::Ticker;
use crate::views::{Context, Views};

/// A component, ready to be instantiated. Shared by all services that run it.
pub struct Sandbox {
    pub(crate) pre: ImplementedPre<CallState>,
    pub(crate) ticker: Arc<Ticker>,
    /// Where calls go that compute for long, if there are others that they could be in the way of.
    pub(crate) slow_lane: Option<Arc<SlowLane>>,
    /// Where its instances wait until there is room for them.
    instances: Option<InstancesOf>,
    _in_use: InUse,
}

impl Sandbox {
    pub(crate) fn new(
        pre: InstancePre<CallState>,
        ticker: Arc<Ticker>,
        slow_lane: Option<Arc<SlowLane>>,
        instances: Option<InstancesOf>,
        in_use: InUse,
    ) -> wasmtime::Result<Arc<Self>> {
        Ok(Arc::new(Self { pre: ImplementedPre::new(pre)?, ticker, slow_lane, instances, _in_use: in_use }))
    }

    /// Waits until there is room for one more instance, which is taken until the permit is dropped.
    pub(crate) async fn room(&self) -> Option<Room> {
        self.instances.as_ref()?.room().await
    }

    /// The component for one service, which lets it reach these views. Each of its calls may use what the
    /// limits allow, with the memory that its tenant's calls may have together, and is counted in the
    /// metrics.
    pub fn guest(
        self: &Arc<Self>,
        views: Views,
        limits: Limits,
        metrics: Arc<ServiceMetrics>,
        budget: TenantBudget,
    ) -> Guest {
        Guest::new(self.clone(), Context { views, limits, metrics, budget })
    }
}
