//! Which services run in this process, and whose they are.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use crate::sandbox::Grant;
use crate::service::Service;

/// The services that run, by their tenant; none is the tenant of a process with one configuration. Clones share them.
///
/// Services are looked at and not held: one that has ended frees its state at once.
#[derive(Clone, Default)]
pub struct Watched(Arc<RwLock<Services>>);

type Services = BTreeMap<Option<Arc<str>>, Vec<Weak<Grant>>>;

/// Services are watched as long as this lives.
pub struct Watching {
    watched: Watched,
    tenant: Option<Arc<str>>,
}

/// A service that runs.
pub struct WatchedService {
    /// Empty where the process has one configuration.
    pub tenant: Arc<str>,
    /// Has its metrics.
    pub grant: Arc<Grant>,
}

impl Watched {
    /// Watches these services of a tenant from now on.
    pub fn watch(&self, tenant: Option<Arc<str>>, services: &[Service]) -> Watching {
        let grants = services.iter().map(|service| Arc::downgrade(service.grant())).collect();
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), grants);
        Watching { watched: self.clone(), tenant }
    }

    /// How many tenants have services that run.
    pub fn tenants(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// All services, or those of one tenant, ordered by tenant.
    pub fn services(&self, tenant: Option<&str>) -> Vec<WatchedService> {
        let services = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let asked = |name: &Option<Arc<str>>| tenant.is_none_or(|tenant| name.as_deref() == Some(tenant));
        let of_tenants = services.iter().filter(|(name, _)| asked(name));
        of_tenants
            .flat_map(|(name, grants)| {
                let tenant: Arc<str> = name.clone().unwrap_or_default();
                let running = grants.iter().filter_map(Weak::upgrade);
                running.map(move |grant| WatchedService { tenant: tenant.clone(), grant })
            })
            .collect()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.watched.0.write().unwrap_or_else(PoisonError::into_inner).remove(&self.tenant);
    }
}
