//! The names of the original's threads.

use collector_config::Component;
use collector_model::Identity;

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
        let component = Component::File { path: "acme.wasm".into(), key: "inputs.cloudsek.component".into() };
        let threads = ServiceThreads::new(&identity("events"), &component);
        assert_eq!(threads.puller, "CollectorPuller(cloudsek,cloudsek_1,events,predefined)");
    }
}
