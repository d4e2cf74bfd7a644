//! Which services run in this process, and whose they are.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use crate::service::{Observed, Service};

/// The services that run, by their tenant; none is the tenant of a process with one configuration. Clones
/// share them.
///
/// Services are looked at and not held: one that has ended frees its state at once.
#[derive(Clone, Default)]
pub struct ServiceRegistry(Arc<RwLock<Services>>);

type Services = BTreeMap<Option<Arc<str>>, Vec<Weak<Observed>>>;

/// Services are in the registry as long as this lives.
pub struct Registration {
    registry: ServiceRegistry,
    tenant: Option<Arc<str>>,
}

/// A service that runs.
pub struct RunningService {
    /// Empty where the process has one configuration.
    pub tenant: Arc<str>,
    /// What is seen of it.
    pub observed: Arc<Observed>,
}

impl ServiceRegistry {
    /// Has these services of a tenant from now on.
    pub fn register(&self, tenant: Option<Arc<str>>, services: &[Service]) -> Registration {
        let observed = services.iter().map(|service| Arc::downgrade(service.observed())).collect();
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), observed);
        Registration { registry: self.clone(), tenant }
    }

    /// How many tenants have services that run.
    pub fn tenants(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// All services, or those of one tenant, ordered by tenant.
    pub fn services(&self, tenant: Option<&str>) -> Vec<RunningService> {
        let services = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let asked = |name: &Option<Arc<str>>| tenant.is_none_or(|tenant| name.as_deref() == Some(tenant));
        let of_tenants = services.iter().filter(|(name, _)| asked(name));
        of_tenants
            .flat_map(|(name, services)| {
                let tenant: Arc<str> = name.clone().unwrap_or_default();
                let running = services.iter().filter_map(Weak::upgrade);
                running.map(move |observed| RunningService { tenant: tenant.clone(), observed })
            })
            .collect()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.0.write().unwrap_or_else(PoisonError::into_inner).remove(&self.tenant);
    }
}
