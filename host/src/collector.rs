//! The collector with one configuration: starts its tenant, reports on itself, and ends when all services
//! have ended.

use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use collector_config::{AdminSettings, ConfigError, Plan};
use collector_model::ErrorCode;
use collector_sandbox::Engine;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::devo_compat::GlobalStatus;
use crate::observe::admin::{Admin, Serves};
use crate::observe::state::{ServiceRegistry, StateChanges};
use crate::observe::status::Status;
use crate::observe::telemetry::Messages;
use crate::service::{End, Service};
use crate::tenant::{Sandboxes, Tenant};

/// Runs all services until the stop, or until none is left that can go on without the operator.
///
/// Compiled components are kept in the folder `cache`, if it is given, and metrics are served where `admin`
/// says.
pub async fn run(
    plan: Plan,
    cache: Option<&Path>,
    admin: &AdminSettings,
    messages: Messages,
    stop: CancellationToken,
) -> End {
    messages.open(&plan);
    let end = supervise(plan, cache, admin, &messages, stop).await.unwrap_or_else(|error| {
        report(&error);
        End::Failed
    });
    messages.flush().await;
    end
}

/// Says why the collector ends.
pub fn report(error: &anyhow::Error) {
    match error.downcast_ref::<ConfigError>() {
        Some(known) => {
            let ErrorCode { class, number: code } = known.code();
            error!(class, code, "{known}");
        }
        None => error!("{error:#}"),
    }
}

async fn supervise(
    plan: Plan,
    cache: Option<&Path>,
    admin: &AdminSettings,
    messages: &Messages,
    stop: CancellationToken,
) -> anyhow::Result<End> {
    let outputs = plan.outputs.clone();
    let registry = ServiceRegistry::default();
    let admin = Admin::bind(admin, registry.clone(), Serves::OneConfiguration).await?;
    let engine = engine(&plan, cache)?;
    let sandboxes = Sandboxes::of_operator(&plan, &engine)?;
    let tenant = Tenant::prepare(plan, sandboxes, messages.clone(), &engine, &stop)?;
    let status = GlobalStatus::new(tenant.services().iter().map(Service::threads), &outputs);
    tenant.announce();
    // Before the services begin: the original's lines have this order.
    let reports = Status::start(move |memory| status.line(memory));
    let name: Arc<str> = Arc::default();
    registry.accept(&name);
    let _registered = registry.register(name, tenant.services(), tenant.resting());
    let changes = StateChanges::new(registry);
    let running = tenant.start();
    let end = tokio::select! {
        end = running.ended() => end?,
        never = reports.report() => match never {},
        never = admin.serve() => match never {},
        never = changes.tell() => match never {},
    };
    match end {
        End::Stopped => info!("All services have stopped"),
        End::Failed if stop.is_cancelled() => warn!("All services have stopped; one of them had failed before"),
        End::Failed => error!("The collector ends: none of its services can go on without the operator"),
    }
    Ok(end)
}

/// Checks the credentials of every service against its API, and pulls nothing.
pub async fn validate(plan: Plan, cache: Option<&Path>, stop: CancellationToken) -> anyhow::Result<End> {
    let engine = engine(&plan, cache)?;
    let sandboxes = Sandboxes::of_operator(&plan, &engine)?;
    Ok(Tenant::prepare(plan, sandboxes, Messages::default(), &engine, &stop)?.validate().await)
}

fn engine(plan: &Plan, cache: Option<&Path>) -> anyhow::Result<Engine> {
    let limits: Vec<_> = plan.services.iter().map(|service| service.limits).collect();
    Engine::alone(cache, &limits).map_err(|error| anyhow!("the WebAssembly engine can't start: {error:#}"))
}
