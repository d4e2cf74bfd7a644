//! Whose services there are in this process, and in which state each is.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::SystemTime;

use collector_model::printable;

use super::{Facts, State};
use crate::service::{Observed, Service};

/// The tenants of this process and their services; a process with one configuration has one tenant, without
/// a name. Clones share them.
#[derive(Clone, Default)]
pub struct ServiceRegistry(Arc<RwLock<BTreeMap<Arc<str>, Entry>>>);

/// What is known of a tenant.
#[derive(Default)]
struct Entry {
    /// Why the configuration that is there can't be used.
    refused: Option<Arc<str>>,
    /// Those that run.
    running: Vec<Arc<Observed>>,
    /// Those that don't.
    resting: Vec<Resting>,
}

/// A service that does not run.
#[derive(Clone)]
pub struct Resting {
    /// Its input's name in the configuration; empty where a whole tenant does not run.
    pub input: String,
    /// Its name in the configuration; empty where that is not known.
    pub service: String,
    /// Why it does not run.
    pub state: State,
}

/// Services are in the registry as running as long as this lives.
pub struct Registration {
    registry: ServiceRegistry,
    tenant: Arc<str>,
}

/// A service, or a tenant of which no service runs.
pub struct Seen {
    /// Empty where the process has one configuration.
    pub tenant: Arc<str>,
    /// Empty where a whole tenant does not run.
    pub input: String,
    /// Empty where a whole tenant or input does not run.
    pub service: String,
    /// The one that it is in.
    pub state: State,
    /// What is counted of it, if it runs.
    pub observed: Option<Arc<Observed>>,
}

impl Seen {
    /// What there is to say of its state, so that it can be shown: without secrets, in one line.
    pub fn detail(&self) -> Option<String> {
        let detail = self.state.detail()?;
        let masked = match &self.observed {
            Some(observed) => observed.secrets.mask(&detail).into_owned(),
            // Errors of a configuration have none of its secrets in them.
            None => detail,
        };
        Some(printable(&masked).to_string())
    }
}

impl ServiceRegistry {
    /// Has these services of a tenant from now on, and these that can't run.
    pub fn register(&self, tenant: Arc<str>, services: &[Service], resting: &[Resting]) -> Registration {
        let running = services.iter().map(|service| service.observed().clone()).collect();
        // It may be gone by now.
        if let Some(entry) = self.write().get_mut(&tenant) {
            (entry.running, entry.resting) = (running, resting.to_vec());
        }
        Registration { registry: self.clone(), tenant }
    }

    /// A tenant's configuration was taken; it starts.
    pub fn accept(&self, tenant: &Arc<str>) {
        self.write().entry(tenant.clone()).or_default().refused = None;
    }

    /// A tenant's configuration can't be used; what runs of it runs on.
    pub fn refuse(&self, tenant: &Arc<str>, error: &str) {
        self.write().entry(tenant.clone()).or_default().refused = Some(error.into());
    }

    /// A tenant could not start at all.
    pub fn fail(&self, tenant: &Arc<str>, error: &str) {
        let state = State::Stopped { error: error.into() };
        if let Some(entry) = self.write().get_mut(tenant) {
            entry.resting = vec![Resting { input: String::new(), service: String::new(), state }];
        }
    }

    /// A tenant is gone.
    pub fn forget(&self, tenant: &str) {
        self.write().remove(tenant);
    }

    /// How many tenants there are.
    pub fn tenants(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// All services, or those of one tenant, ordered by tenant.
    pub fn services(&self, tenant: Option<&str>, now: SystemTime) -> Vec<Seen> {
        let tenants = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match tenant {
            Some(name) => {
                tenants.get_key_value(name).into_iter().flat_map(|(name, entry)| entry.seen(name, now)).collect()
            }
            None => tenants.iter().flat_map(|(name, entry)| entry.seen(name, now)).collect(),
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Arc<str>, Entry>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn seen(&self, tenant: &Arc<str>, now: SystemTime) -> Vec<Seen> {
        let running = self.running.iter().cloned().map(|observed| {
            let facts = Facts { refused: self.refused.clone(), ..Facts::of(&observed, now) };
            Seen {
                tenant: tenant.clone(),
                input: observed.identity.input().to_owned(),
                service: observed.identity.service().to_owned(),
                state: State::of(facts, now),
                observed: Some(observed),
            }
        });
        let resting = self.resting.iter().cloned().map(|Resting { input, service, state }| Seen {
            tenant: tenant.clone(),
            input,
            service,
            state,
            observed: None,
        });
        let mut seen: Vec<_> = running.chain(resting).collect();
        let runs = seen.iter().any(|seen| seen.observed.is_some());
        let state = match &self.refused {
            Some(error) if !runs => Some(State::Rejected { error: error.clone() }),
            None if seen.is_empty() => Some(State::Starting),
            _ => None,
        };
        if let Some(state) = state {
            let (input, service) = Default::default();
            seen = vec![Seen { tenant: tenant.clone(), input, service, state, observed: None }];
        }
        seen
    }
}

impl Drop for Registration {
    /// What has ended by itself stays as what it was, until there is something else to say of the tenant.
    fn drop(&mut self) {
        let mut tenants = self.registry.write();
        let Some(entry) = tenants.get_mut(&self.tenant) else { return };
        let now = SystemTime::now();
        let ended = std::mem::take(&mut entry.running);
        let stopped = ended.iter().filter(|observed| observed.metrics.needs_operator());
        entry.resting.extend(stopped.map(|observed| {
            let state = match State::of(Facts::of(observed, now), now) {
                // Its secrets are known as long as it is.
                State::Stopped { error } => State::Stopped { error: observed.secrets.mask(&error).into() },
                other => other,
            };
            let (input, service) = (observed.identity.input().to_owned(), observed.identity.service().to_owned());
            Resting { input, service, state }
        }));
    }
}
