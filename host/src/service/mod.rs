//! One service of one tenant, from its start to its end: the set-up checks credentials again and again, the puller pulls
//! every period, for ever.
//!
//! `schedule` decides when, `call` makes a call of the component and judges its outcome, `setup` and `puller` are the two
//! tasks, named as the original's threads. Nothing that goes wrong in a call ends the service but what only the operator can
//! mend: a wrong setting, or a state that can't be used.

mod call;
mod puller;
mod schedule;
mod setup;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, info, warn};

use crate::config::{Identity, OutputPlan, ServicePlan};
use crate::egress::{ApiClient, EgressError};
use crate::log::{self, Process};
use crate::sandbox::{Sandbox, Tenant};
use crate::senders::{ConsoleHandle, DevoHandle, Framer, Output, Outputs};
use crate::state::Store;
use call::Caller;
use puller::Puller;
use schedule::Period;
use setup::{Readiness, Setup};

/// A service that is ready to run.
pub struct Service {
    identity: Identity,
    tenant: Arc<Tenant>,
    setup_span: Span,
    setup: Setup,
    puller: Puller,
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
    ) -> Result<Self, EgressError> {
        let identity = plan.identity;
        let tenant = Arc::new(Tenant {
            api: ApiClient::new(plan.api)?,
            bucket: store.bucket(identity.to_string()),
            outputs: Outputs::new(outputs.iter().map(output).collect()),
            table: plan.table,
            settings: plan.settings,
            limits: plan.limits,
            span: log::span(Process::Input, &identity.puller()),
        });
        let caller = Caller::new(sandbox, tenant.clone(), stop);
        let readiness = Readiness::default();
        Ok(Self {
            setup: Setup::new(caller.clone(), readiness.clone(), plan.token, plan.refresh),
            puller: Puller::new(caller, readiness, identity.puller(), Period::new(plan.period)),
            setup_span: log::span(Process::Input, &identity.puller_setup()),
            identity,
            tenant,
        })
    }

    /// What the service is known by.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What the service may reach; its outputs have the numbers of what was sent.
    pub fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }

    /// Says in the original's words that the service starts.
    pub fn announce(&self) {
        let (puller, seconds) = (self.identity.puller(), self.puller.period().seconds());
        log::span(Process::Input, log::MAIN_THREAD).in_scope(|| {
            info!("{} - Starting thread (execution_period={seconds}s)", self.identity.service_thread());
            info!("{} -> Starting thread", self.identity.puller_setup());
            info!("{puller} - Starting thread (execution_period={seconds}s)");
        });
        self.setup_span.in_scope(|| warn!("The token/header/authentication has not been created yet"));
        self.tenant.span.in_scope(|| warn!("Waiting until setup will be executed"));
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
            end = self.puller.run().instrument(self.tenant.span.clone()) => end,
        }
    }
}

fn output(plan: &OutputPlan) -> Output {
    let framer = Framer::of_this_machine();
    match plan {
        OutputPlan::Devo(settings) => Output::Devo(DevoHandle::start((**settings).clone(), framer)),
        OutputPlan::Console(name) => Output::Console(ConsoleHandle::new(name, framer)),
    }
}
