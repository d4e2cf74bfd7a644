//! The collector as a whole: starts every service of a configuration, reports on itself, and ends when they have ended.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::{Cause, Component, ConfigError, Persistence, Plan, ServicePlan};
use crate::internal::Messages;
use crate::log::{self, Process};
use crate::rate::GENERIC_NOTICE;
use crate::sandbox::{Engine, Sandbox};
use crate::service::{End, Service};
use crate::state::{RedisDatabase, StateFolder, Store};
use crate::status::Status;

/// Runs all services until the stop, or until none is left that can go on without the operator.
///
/// Compiled components are kept in the folder `cache`, if one is given.
pub async fn run(plan: Plan, cache: Option<&Path>, messages: Messages, stop: CancellationToken) -> End {
    messages.open(&plan);
    let end = supervise(plan, cache, &messages, stop).await.unwrap_or_else(|error| {
        report(&error);
        End::Failed
    });
    messages.flush().await;
    end
}

/// Says why the collector ends.
pub fn report(error: &anyhow::Error) {
    match error.downcast_ref::<ConfigError>() {
        Some(known) => error!(class = known.class(), code = known.code(), "{known}"),
        None => error!("{error:#}"),
    }
}

async fn supervise(
    plan: Plan,
    cache: Option<&Path>,
    messages: &Messages,
    stop: CancellationToken,
) -> anyhow::Result<End> {
    let outputs = plan.outputs.clone();
    let Prepared { services, end: prepared } = prepare(plan, cache, &stop)?;
    services.iter().for_each(Service::announce);
    let status = Status::start(&services, &outputs, messages);
    let mut running: JoinSet<End> = services.into_iter().map(Service::run).collect();
    let ended = async {
        let mut end = prepared;
        while let Some(ended) = running.join_next().await {
            if ended? == End::Failed {
                end = End::Failed;
            }
        }
        anyhow::Ok(end)
    };
    let end = tokio::select! {
        end = ended => end?,
        never = status.report() => match never {},
    };
    status.end().await;
    match end {
        End::Stopped => info!("All services have stopped"),
        End::Failed if stop.is_cancelled() => warn!("All services have stopped; one of them had failed before"),
        End::Failed => error!("The collector ends: none of its services can go on without the operator"),
    }
    Ok(end)
}

/// Checks the credentials of every service against its API, and pulls nothing.
pub async fn validate(plan: Plan, cache: Option<&Path>, stop: CancellationToken) -> anyhow::Result<End> {
    let Prepared { services, mut end } = prepare(plan, cache, &stop)?;
    for service in services {
        if service.validate().await {
            info!("{}: the API accepts the credentials", service.identity());
        } else {
            error!(
                class = "SetupError",
                code = 100,
                "SetupError [CODE:0100] reason: The remote data is not pullable with the given credentials. Check the error \
                 traces for details. ({})",
                service.identity()
            );
            end = End::Failed;
        }
    }
    Ok(end)
}

/// The services that can start.
struct Prepared {
    services: Vec<Service>,
    /// Whether one could not.
    end: End,
}

fn prepare(plan: Plan, cache: Option<&Path>, stop: &CancellationToken) -> anyhow::Result<Prepared> {
    plan.warnings.iter().for_each(|warning| warn!("{warning}"));
    log::span(Process::Input, log::MAIN_THREAD).in_scope(|| announce_inputs(&plan.services));
    let store = open_store(&plan.persistence)?;
    let engine = Engine::start(cache).map_err(|error| anyhow!("the WebAssembly engine can't start: {error:#}"))?;
    let sandboxes = plan.services.iter().map(|service| sandbox(&engine, &service.component));
    let sandboxes: Vec<_> = sandboxes.collect::<anyhow::Result<_>>()?;
    let mut prepared = Prepared { services: Vec::new(), end: End::Stopped };
    for (service, sandbox) in plan.services.into_iter().zip(sandboxes) {
        let identity = service.identity.clone();
        match Service::new(service, &plan.outputs, &store, sandbox, stop.clone()) {
            Ok(service) => prepared.services.push(service),
            Err(error) => {
                let (class, code) = error.kind();
                log::service_span(Process::Input, &identity.puller(), &identity)
                    .in_scope(|| error!(class, code, "{error}"));
                prepared.end = End::Failed;
            }
        }
    }
    Ok(prepared)
}

fn sandbox(engine: &Engine, component: &Component) -> anyhow::Result<Arc<Sandbox>> {
    engine.sandbox(component).map_err(|error| match component {
        Component::Bundled => anyhow!("the bundled component can't be run: {error}"),
        Component::File { key, .. } => error.at(key).into(),
    })
}

/// The steps that were taken for every service before it starts, in the original's words.
fn announce_inputs(services: &[ServicePlan]) {
    for service in services {
        info!("Validating service input config");
        info!("Running overriding rules");
        for (rule, key) in service.overrides.iter().enumerate() {
            info!("Overriding rule #{} - service key {key} takes the place of the collector's own setting", rule + 1);
        }
        info!("Validating the rate limiter config given by the user");
        if service.limiter.is_generic() {
            info!("{GENERIC_NOTICE}");
        }
        info!("Adding raw config to the collector store");
        info!("Running custom validation rules");
        info!("{} Finalizing the execution of init_variables()", service.identity.puller());
    }
    let inputs: BTreeSet<_> =
        services.iter().map(|service| (service.identity.input_thread(), service.period.as_secs())).collect();
    for (input, seconds) in inputs {
        info!("{input} - Starting thread (execution_period={seconds}s)");
    }
}

fn open_store(persistence: &Persistence) -> Result<Store, ConfigError> {
    let opened = match persistence {
        Persistence::Memory => Ok(Store::memory()),
        Persistence::Files(folder) => StateFolder::open(folder).map(Store::files),
        Persistence::Redis(settings) => RedisDatabase::open(settings.clone()).map(Store::redis),
    };
    opened.map_err(|error| Cause::State(error.to_string()).cure("Nothing was started."))
}
