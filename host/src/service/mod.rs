//! One service of one tenant, from its start to its end: the set-up checks credentials again and again, the
//! puller pulls every period, forever.
//!
//! `schedule` decides when, `invoke` makes a call of the component and judges its outcome, `setup` and
//! `puller` are the two tasks, named as the original's threads. Nothing that goes wrong in a call ends the
//! service but what only the operator can mend: a wrong setting, or a state that can't be used.

#[cfg(test)]
mod fairness;
mod invoke;
mod puller;
mod schedule;
mod setup;

use std::sync::Arc;

use collector_config::{Component, OutputPlan, Receiver, ServicePlan};
use collector_delivery::{ConsoleHandle, DevoHandle, DevoSettings, Framer, Output, Outputs, RecordLetters};
use collector_egress::{ApiClient, EgressError};
use collector_model::metrics::ServiceMetrics;
use collector_model::{ErrorCode, Identity, KnownSecrets, Limits, error_code};
use collector_sandbox::host::config::SettingsView;
use collector_sandbox::host::http::HttpView;
use collector_sandbox::host::keyvalue::BucketView;
use collector_sandbox::host::logging::LogView;
use collector_sandbox::host::output::OutputView;
use collector_sandbox::{Sandbox, TenantBudget, Views};
use collector_state::{Bucket, OriginalError, StateError, Store, find_original};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, info};

use crate::devo_compat::{Process, SenderNames, SenderService, ServiceThreads, service_span};
use invoke::Caller;
use puller::{Allowance, Puller};
pub use schedule::Backoff;
use schedule::Period;
use setup::{Readiness, Setup, Token};

/// The key under which the bundled component keeps its state.
const STATE_KEY: &str = "state";

/// A service that is ready to run.
pub struct Service {
    threads: ServiceThreads,
    observed: Arc<Observed>,
    setup_span: Span,
    setup: Setup,
    puller_span: Span,
    puller: Puller,
}

/// What is seen of a service from outside, for as long as its tenant runs: by the metrics, the status page
/// and the reports on what was sent.
pub struct Observed {
    /// What it is known by.
    pub identity: Identity,
    /// What one of its calls may use.
    pub limits: Limits,
    /// What is counted of it.
    pub metrics: Arc<ServiceMetrics>,
    /// Its outputs, with the numbers of what was sent.
    pub outputs: Arc<Outputs>,
    /// What must not be shown of it.
    pub secrets: KnownSecrets,
    /// In which its lines are written.
    pub span: Span,
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
        sandbox: (&Arc<Sandbox>, &TenantBudget),
        stop: CancellationToken,
    ) -> Result<Self, StartError> {
        let threads = ServiceThreads::of(&plan);
        let (identity, limits) = (plan.identity, plan.limits);
        let bucket = store.bucket(identity.storage_name()).at_most(limits.state_in_bytes);
        // What the original has left is of use to no other component.
        if plan.component == Component::Bundled {
            take_over_original(store, &bucket, &identity)?;
        }
        let api = ApiClient::new(plan.api)?;
        let outputs = outputs.iter().map(|output| start(output, &identity, &limits));
        let outputs = Arc::new(Outputs::new(outputs.collect()));
        let puller_span = service_span(Process::Input, &threads.puller, &identity);
        let views = Views {
            http: HttpView { api: api.clone(), limiter: plan.limiter.clone() },
            bucket: BucketView(bucket),
            output: OutputView {
                outputs: outputs.clone(),
                dead_letters: RecordLetters {
                    file: plan.dead_letters_file,
                    service: identity.to_string(),
                    required: store.is_durable(),
                },
                table: plan.table,
            },
            log: LogView(puller_span.clone()),
            settings: SettingsView(plan.settings),
        };
        let metrics = Arc::<ServiceMetrics>::default();
        let (sandbox, budget) = sandbox;
        let guest = sandbox.guest(views, limits, metrics.clone(), budget.clone());
        let caller = Caller::new(guest, outputs.clone(), metrics.clone(), stop);
        let readiness = Readiness::default();
        let token = Token { file: plan.token_file, known: plan.secrets.clone() };
        let allowance = Allowance { limiter: plan.limiter, requests_of_a_call: limits.requests };
        Ok(Self {
            setup: Setup::new(caller.clone(), readiness.clone(), threads.module, token, api, plan.refresh),
            puller: Puller::new(caller, readiness, threads.puller.clone(), Period::new(plan.period), allowance),
            setup_span: service_span(Process::Input, &threads.setup, &identity),
            observed: Arc::new(Observed {
                identity,
                limits,
                metrics,
                outputs,
                secrets: plan.secrets,
                span: puller_span.clone(),
            }),
            puller_span,
            threads,
        })
    }

    /// What the service is known by.
    pub fn identity(&self) -> &Identity {
        &self.observed.identity
    }

    /// The names of its threads.
    pub fn threads(&self) -> &ServiceThreads {
        &self.threads
    }

    /// What is seen of it from outside.
    pub fn observed(&self) -> &Arc<Observed> {
        &self.observed
    }

    /// Says in the original's words that the service starts.
    pub fn announce(&self) {
        self.threads.announce(self.puller.period().seconds(), &self.setup_span, &self.puller_span);
    }

    /// Whether the API accepts settings and credentials. Pulls nothing.
    pub async fn validate(&self) -> bool {
        let mut backoff = Backoff::default();
        let checked = self.setup.check_once(&mut backoff).instrument(self.setup_span.clone()).await;
        matches!(checked, Ok(None))
    }

    /// Runs until the stop, or until it can't go on.
    pub async fn run(self) -> End {
        let Self { setup, setup_span, puller, puller_span, observed, .. } = self;
        let end = tokio::select! {
            end = setup.run().instrument(setup_span) => end,
            end = puller.run().instrument(puller_span) => end,
        };
        if end == End::Failed {
            observed.metrics.set_needs_operator();
        }
        end
    }
}

/// Where there is no state yet but one of the original collector, that one is taken over: once, for then
/// there is one.
fn take_over_original(store: &Store, bucket: &Bucket, identity: &Identity) -> Result<(), StartError> {
    if bucket.get(STATE_KEY)?.is_some() {
        return Ok(());
    }
    if let Some(state) = find_original(store, identity.input(), identity.id(), identity.service())? {
        bucket.set(STATE_KEY, &state)?;
        info!("The state of the original collector has been taken over; it is left as it is where it was");
    }
    Ok(())
}

/// Starts an output for one service.
fn start(plan: &OutputPlan, service: &Identity, limits: &Limits) -> Output {
    let framer = Framer::of_this_machine();
    let thread = SenderNames::new(plan).sender(SenderService::Standard, 0);
    service_span(Process::Output, &thread, service).in_scope(|| match &plan.receiver {
        Receiver::Devo(settings) => {
            let settings = DevoSettings { queue_in_bytes: limits.queue_in_bytes, ..(**settings).clone() };
            Output::Devo(DevoHandle::start(settings, framer))
        }
        Receiver::Console => Output::Console(ConsoleHandle::new(&plan.name, framer)),
    })
}
