//! One tenant: what one configuration asks for, running. A process has one, or hosts many that know nothing
//! of each other.
//!
//! [`Sandboxes`] has what its services run, [`Tenant::prepare`] opens the state and makes the services,
//! [`Tenant::announce`] says so, [`Tenant::start`] sets them going, and [`Running::ended`] waits until the
//! last of them has ended and everything that it held is free again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use collector_config::{Cause, Component, ConfigError, OutputPlan, Persistence, Plan};
use collector_model::{ErrorCode, error_code};
use collector_sandbox::{ComponentError, Engine, Sandbox};
use collector_state::{RedisDatabase, StateFolder, Store};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, warn};

use crate::component::BUNDLED;
use crate::devo_compat::{Process, SenderNames, ServiceThreads, announce_inputs, service_span};
use crate::observe::state::{Resting, State};
use crate::observe::status::Monitors;
use crate::observe::telemetry::Messages;
use crate::service::{End, Service};

/// How long is waited for a write to the state that was under way when its service ended.
const RELEASE: Duration = Duration::from_secs(10);

/// The sandboxes of the components that a configuration names, in the order of its services. None is there
/// for the bundled component: preparing gets that.
pub struct Sandboxes(Vec<Option<Arc<Sandbox>>>);

impl Sandboxes {
    /// Of the operator's configuration. Blocks while components are compiled.
    ///
    /// # Errors
    /// A component can't be run.
    pub fn of_operator(plan: &Plan, engine: &Engine) -> anyhow::Result<Self> {
        let sandbox = |component: &Component| match component {
            Component::Bundled => Ok(None),
            Component::File { path, key } => {
                engine.sandbox_of_file(path).map(Some).map_err(|error| unusable(key, &error))
            }
        };
        let sandboxes = plan.services.iter().map(|service| sandbox(&service.component));
        Ok(Self(sandboxes.collect::<Result<_, ConfigError>>()?))
    }

    /// Of a tenant's configuration. Whoever waits meanwhile holds nothing, and may give it up.
    ///
    /// # Errors
    /// As [`Sandboxes::of_operator`].
    pub async fn of_tenant(plan: &Plan, engine: &Engine) -> anyhow::Result<Self> {
        let mut sandboxes = Vec::with_capacity(plan.services.len());
        for service in &plan.services {
            sandboxes.push(match &service.component {
                Component::Bundled => None,
                Component::File { path, key } => {
                    Some(engine.sandbox_of_tenant(path).await.map_err(|error| unusable(key, &error))?)
                }
            });
        }
        Ok(Self(sandboxes))
    }
}

/// The services of a configuration that can start.
pub struct Tenant {
    services: Vec<Service>,
    /// Those that can't, or are not to.
    resting: Vec<Resting>,
    /// Whether one could not.
    end: End,
    /// Until then it lasts, where none of its services is to run.
    idle_until: Option<CancellationToken>,
    outputs: Vec<OutputPlan>,
    messages: Messages,
    store: Store,
}

/// A tenant whose services run. Dropping it ends them at once.
pub struct Running {
    services: JoinSet<End>,
    end: End,
    monitors: Monitors,
    store: Store,
}

impl Tenant {
    /// Opens the state and prepares every service; one that can't start is reported and left out. Reads and
    /// writes files and may compile the bundled component, so it is not for a runtime's worker that others
    /// wait for; must be called within a tokio runtime all the same.
    ///
    /// # Errors
    /// The state can't be kept, or the bundled component can't be run.
    pub fn prepare(
        plan: Plan,
        sandboxes: Sandboxes,
        messages: Messages,
        engine: &Engine,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        plan.warnings.iter().for_each(|warning| warn!("{warning}"));
        announce_inputs(&plan.services);
        let mut store = open_store(&plan.persistence)?;
        if let Some(bytes) = plan.stored_in_bytes {
            store = store.at_most(bytes);
        }
        let budget = engine.tenant_budget();
        let mut tenant = Self {
            services: Vec::new(),
            resting: plan.disabled.into_iter().map(disabled).collect(),
            end: End::Stopped,
            idle_until: plan.services.is_empty().then(|| stop.clone()),
            outputs: plan.outputs,
            messages,
            store,
        };
        let sandboxes = sandboxes.0.into_iter().map(|sandbox| sandbox.map_or_else(|| bundled(engine), Ok));
        let sandboxes: Vec<_> = sandboxes.collect::<anyhow::Result<_>>()?;
        for (service, sandbox) in plan.services.into_iter().zip(sandboxes) {
            let (identity, thread) = (service.identity.clone(), ServiceThreads::of(&service).puller);
            match Service::new(service, &tenant.outputs, &tenant.store, (&sandbox, &budget), stop.clone()) {
                Ok(service) => tenant.services.push(service),
                Err(error) => {
                    let ErrorCode { class, number: code } = error.code();
                    service_span(Process::Input, &thread, &identity).in_scope(|| error!(class, code, "{error}"));
                    let state = State::Stopped { error: error.to_string().into() };
                    let (input, service) = (identity.input().to_owned(), identity.service().to_owned());
                    tenant.resting.push(Resting { input, service, state });
                    tenant.end = End::Failed;
                }
            }
        }
        Ok(tenant)
    }

    /// The services that run once it is started.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// Those that don't.
    pub fn resting(&self) -> &[Resting] {
        &self.resting
    }

    /// Whether the APIs accept the credentials of all services. Pulls nothing.
    pub async fn validate(&self) -> End {
        let mut end = self.end;
        for service in &self.services {
            if service.validate().await {
                info!("{}: the API accepts the credentials", service.identity());
            } else {
                let ErrorCode { class, number: code } = error_code::CREDENTIALS_REFUSED;
                error!(
                    class,
                    code,
                    "{} reason: The remote data is not pullable with the given credentials. Check the error traces for \
                     details. ({})",
                    error_code::CREDENTIALS_REFUSED,
                    service.identity()
                );
                end = End::Failed;
            }
        }
        end
    }

    /// Says in the original's words that the services and the outputs start.
    pub fn announce(&self) {
        self.services.iter().for_each(Service::announce);
        self.outputs.iter().for_each(|output| SenderNames::new(output).announce());
    }

    /// Sets the services going, in the current tracing span.
    pub fn start(self) -> Running {
        let Self { services, end, idle_until, outputs, messages, store, resting: _ } = self;
        let monitors = Monitors::start(&services, &outputs, &messages);
        let mut services: JoinSet<_> = services.into_iter().map(|service| service.run().in_current_span()).collect();
        if let Some(stop) = idle_until {
            services.spawn(async move {
                stop.cancelled().await;
                End::Stopped
            });
        }
        Running { services, end, monitors, store }
    }
}

impl Running {
    /// Returns when the last service has ended, and its state is free for whoever comes next. Failed if any
    /// could not go on without the operator.
    ///
    /// # Errors
    /// A service panicked; the others were ended with it.
    pub async fn ended(self) -> Result<End, JoinError> {
        let Self { mut services, end, monitors, store } = self;
        let mut outcome = Ok(end);
        while let Some(ended) = services.join_next().await {
            match ended {
                Ok(End::Stopped) => {}
                Ok(End::Failed) => outcome = outcome.map(|_| End::Failed),
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        services.shutdown().await;
        monitors.end().await;
        release(store).await;
        outcome
    }
}

/// A service may have been abandoned in the middle of a write, which goes on by itself and holds the state's
/// lock.
async fn release(store: Store) {
    if tokio::time::timeout(RELEASE, store.release()).await.is_err() {
        warn!("The state is still being written {RELEASE:?} after the end of its services: the disk does not answer");
    }
}

fn disabled(input: String) -> Resting {
    info!("The input {input} is not enabled; it is left alone");
    Resting { input, service: String::new(), state: State::Disabled }
}

fn bundled(engine: &Engine) -> anyhow::Result<Arc<Sandbox>> {
    engine.sandbox(BUNDLED).map_err(|error| anyhow!("the bundled component can't be run: {error}"))
}

/// A component that can't be run, as an error of the configuration under the key that names it.
fn unusable(key: &str, error: &ComponentError) -> ConfigError {
    Cause::Value { key: key.to_owned(), reason: error.to_string() }.remedy(error.remedy())
}

fn open_store(persistence: &Persistence) -> Result<Store, ConfigError> {
    let opened = match persistence {
        Persistence::Memory => Ok(Store::memory()),
        Persistence::Files(folder) => StateFolder::open(folder.clone()).map(Store::files),
        Persistence::Redis(settings) => RedisDatabase::open(settings.clone(), Handle::current()).map(Store::redis),
    };
    opened.map_err(|error| Cause::State(error.to_string()).remedy("Nothing was started."))
}

#[cfg(test)]
mod tests {
    use collector_files::RootedPath;

    use super::*;

    #[test]
    fn a_component_that_cannot_be_run_is_an_error_of_its_key() {
        let engine = Engine::alone(None, &[]).unwrap();
        let path = RootedPath::of_operator("/nowhere/acme.wasm");
        let error = unusable("inputs.acme.component", &engine.sandbox_of_file(&path).err().unwrap());
        assert_eq!(error.code(), error_code::KEY_VALUE);
        let error = error.to_string();
        assert!(error.contains("the key inputs.acme.component has a value that can't be used"), "{error}");
        assert!(error.contains("Give the path of a component"), "{error}");
    }
}
