//! The names of the original's threads.

use collector_config::{Component, ServicePlan};
use collector_model::Identity;
use tracing::{Span, info, warn};

use super::{MAIN_THREAD, Process, span};

/// The names of a service's threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceThreads {
    /// The module that pulls.
    pub module: &'static str,
    /// The thread that pulls.
    pub puller: String,
    /// The thread that sets up.
    pub setup: String,
    /// The thread that stands for the service.
    pub service: String,
    /// The thread that stands for the service's input.
    pub input: String,
}

impl ServiceThreads {
    /// Those of the service of this plan.
    pub fn of(plan: &ServicePlan) -> Self {
        Self::new(&plan.identity, &plan.component)
    }

    /// Those of this service; the ones that pull have the name of what pulls.
    pub fn new(identity: &Identity, component: &Component) -> Self {
        let Identity { input, id, service } = identity;
        let module = match component {
            Component::Bundled => "CloudSekPuller",
            // It is of no vendor.
            Component::File { .. } => "CollectorPuller",
        };
        Self {
            module,
            puller: format!("{module}({input},{id},{service},predefined)"),
            setup: format!("{module}Setup({input},{input}#{id},{service}#predefined)"),
            service: format!("ServiceThread({input},{id},{service},predefined)"),
            input: format!("InputThread({input},{id})"),
        }
    }

    /// Says that they start. The lines about set-up and puller are in their spans.
    pub fn announce(&self, period_in_seconds: u64, set_up: &Span, pull: &Span) {
        let Self { puller, setup, service, .. } = self;
        span(Process::Input, MAIN_THREAD).in_scope(|| {
            info!("{service} - Starting thread (execution_period={period_in_seconds}s)");
            info!("{setup} -> Starting thread");
            info!("{puller} - Starting thread (execution_period={period_in_seconds}s)");
        });
        set_up.in_scope(|| warn!("The token/header/authentication has not been created yet"));
        pull.in_scope(|| warn!("Waiting until setup will be executed"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_the_originals_names() {
        let identity =
            |service: &str| Identity { input: "cloudsek".into(), id: "cloudsek_1".into(), service: service.into() };
        let threads = ServiceThreads::new(&identity("alerts"), &Component::Bundled);
        assert_eq!(threads.puller, "CloudSekPuller(cloudsek,cloudsek_1,alerts,predefined)");
        assert_eq!(threads.setup, "CloudSekPullerSetup(cloudsek,cloudsek#cloudsek_1,alerts#predefined)");
        let component = Component::File {
            path: collector_files::RootedPath::of_operator("acme.wasm"),
            key: "inputs.cloudsek.component".into(),
        };
        let threads = ServiceThreads::new(&identity("events"), &component);
        assert_eq!(threads.puller, "CollectorPuller(cloudsek,cloudsek_1,events,predefined)");
    }
}
