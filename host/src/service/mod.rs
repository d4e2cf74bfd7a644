//! One service of one tenant, from its start to its end: the set-up checks credentials again and again, the puller pulls
//! every period, for ever.
//!
//! `schedule` decides when, `call` makes a call of the component and judges its outcome, `setup` and `puller` are the two
//! tasks, named as the original's threads. Nothing that goes wrong in a call ends the service but what only the operator can
//! mend: a wrong setting, or a state that can't be used.

mod call;
#[cfg(test)]
mod fairness;
mod puller;
mod schedule;
mod setup;

use std::sync::Arc;

use collector_config::{Component, OutputPlan, Receiver, ServicePlan};
use collector_delivery::{ConsoleHandle, DevoHandle, DevoSettings, Framer, Output, Outputs, RecordLetters};
use collector_egress::{ApiClient, EgressError};
use collector_model::{ErrorCode, Identity, Limits, error_code, metrics::ServiceMetrics};
use collector_state::{Bucket, OriginalError, StateError, Store, find_original};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, info, warn};

use crate::devo_compat::ServiceThreads;
use crate::log::{self, Process};
use crate::sandbox::{Grant, Sandbox};
use crate::status::{SenderNames, SenderService};
use call::Caller;
use puller::Puller;
pub use schedule::Backoff;
use schedule::Period;
use setup::{Readiness, Setup};

/// The key under which the bundled component keeps its state.
const STATE_KEY: &str = "state";

/// A service that is ready to run.
pub struct Service {
    threads: ServiceThreads,
    grant: Arc<Grant>,
    setup_span: Span,
    setup: Setup,
    puller: Puller,
}

/// Why a service can't start.
#[derive(Debug, Error)]
pub enum StartError {
    /// There is no way to its API: certificates or proxy can't be used.
    #[error("{code} reason: {0}", code = error_code::NO_WAY_TO_API)]
    Api(#[from] EgressError),
    /// Its state can't be used.
    #[error("{code} reason: The persisted state can't be loaded: {0}", code = error_code::STATE_UNUSABLE)]
    State(#[from] StateError),
    /// The state of the original collector is there, and can't be used.
    #[error("{code} reason: {0}", code = error_code::ORIGINAL_STATE_UNUSABLE)]
    Original(#[from] OriginalError),
}

impl StartError {
    /// Its code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Api(_) => error_code::NO_WAY_TO_API,
            Self::State(_) => error_code::STATE_UNUSABLE,
            Self::Original(_) => error_code::ORIGINAL_STATE_UNUSABLE,
        }
    }
}

/// Why a service ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was told to.
    Stopped,
    /// It can't go on without the operator.
    Failed,
}

impl Service {
    /// Prepares a service: its way to the API, its bucket, its outputs.
    pub fn new(
        plan: ServicePlan,
        outputs: &[OutputPlan],
        store: &Store,
        sandbox: Arc<Sandbox>,
        stop: CancellationToken,
    ) -> Result<Self, StartError> {
        let threads = ServiceThreads::new(&plan.identity, &plan.component);
        let identity = plan.identity;
        let bucket = store.bucket(identity.to_string());
        // What the original has left is of use to no other component.
        if plan.component == Component::Bundled {
            take_over_original(store, &bucket, &identity)?;
        }
        let grant = Arc::new(Grant {
            api: ApiClient::new(plan.api)?,
            limiter: plan.limiter,
            bucket,
            outputs: Outputs::new(outputs.iter().map(|output| start(output, &identity, &plan.limits)).collect()),
            dead_letters: RecordLetters {
                file: plan.dead_letters_file,
                service: identity.to_string(),
                required: !matches!(store, Store::Memory(_)),
            },
            table: plan.table,
            settings: plan.settings,
            limits: plan.limits,
            span: log::service_span(Process::Input, &threads.puller, &identity),
            metrics: ServiceMetrics::default(),
            identity,
        });
        let caller = Caller::new(sandbox, grant.clone(), stop);
        let readiness = Readiness::default();
        Ok(Self {
            setup: Setup::new(caller.clone(), readiness.clone(), threads.module, plan.token, plan.refresh),
            puller: Puller::new(caller, readiness, threads.puller.clone(), Period::new(plan.period)),
            setup_span: log::service_span(Process::Input, &threads.setup, &grant.identity),
            threads,
            grant,
        })
    }

    /// What the service is known by.
    pub fn identity(&self) -> &Identity {
        &self.grant.identity
    }

    /// The names of its threads.
    pub fn threads(&self) -> &ServiceThreads {
        &self.threads
    }

    /// What the service may reach; its outputs have the numbers of what was sent.
    pub fn grant(&self) -> &Arc<Grant> {
        &self.grant
    }

    /// Says in the original's words that the service starts.
    pub fn announce(&self) {
        let ServiceThreads { puller, setup, service, .. } = &self.threads;
        let seconds = self.puller.period().seconds();
        log::span(Process::Input, log::MAIN_THREAD).in_scope(|| {
            info!("{service} - Starting thread (execution_period={seconds}s)");
            info!("{setup} -> Starting thread");
            info!("{puller} - Starting thread (execution_period={seconds}s)");
        });
        self.setup_span.in_scope(|| warn!("The token/header/authentication has not been created yet"));
        self.grant.span.in_scope(|| warn!("Waiting until setup will be executed"));
    }

    /// Whether the API accepts settings and credentials. Pulls nothing.
    pub async fn validate(&self) -> bool {
        let accepted = self.setup.check_once().instrument(self.setup_span.clone()).await;
        matches!(accepted, Ok(true))
    }

    /// Runs until the stop, or until it can't go on.
    pub async fn run(self) -> End {
        tokio::select! {
            end = self.setup.run().instrument(self.setup_span) => end,
            end = self.puller.run().instrument(self.grant.span.clone()) => end,
        }
    }
}

/// Where there is no state yet but one of the original collector, that one is taken over: once, for then there is one.
fn take_over_original(store: &Store, bucket: &Bucket, identity: &Identity) -> Result<(), StartError> {
    if bucket.get(STATE_KEY)?.is_some() {
        return Ok(());
    }
    if let Some(state) = find_original(store, &identity.input, &identity.id, &identity.service)? {
        bucket.set(STATE_KEY, &state)?;
        info!("The state of the original collector has been taken over; it is left as it is where it was");
    }
    Ok(())
}

/// Starts an output for one service.
fn start(plan: &OutputPlan, service: &Identity, limits: &Limits) -> Output {
    let framer = Framer::of_this_machine();
    let thread = SenderNames::new(plan).sender(SenderService::Standard, 0);
    log::service_span(Process::Output, &thread, service).in_scope(|| match &plan.receiver {
        Receiver::Devo(settings) => {
            let settings = DevoSettings { queue_in_bytes: limits.queue_in_bytes, ..(**settings).clone() };
            Output::Devo(DevoHandle::start(settings, framer))
        }
        Receiver::Console => Output::Console(ConsoleHandle::new(&plan.name, framer)),
    })
}
