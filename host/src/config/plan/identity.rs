//! The name of a service, and the names that the original derives from it.

use std::fmt;

use serde::Serialize;

use super::Component;

/// What a service is known by: in the log, in the state, in errors.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Identity {
    pub input: String,
    pub id: String,
    pub service: String,
}

impl Identity {
    /// The names of the service's threads; those that pull have the name of what pulls.
    pub fn threads(&self, component: &Component) -> ServiceThreads {
        let Self { input, id, service } = self;
        let module = component.puller();
        ServiceThreads {
            module,
            puller: format!("{module}({input},{id},{service},predefined)"),
            setup: format!("{module}Setup({input},{input}#{id},{service}#predefined)"),
            service: format!("ServiceThread({input},{id},{service},predefined)"),
            input: format!("InputThread({input},{id})"),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};{};{}", self.input, self.id, self.service)
    }
}

/// The names of a service's threads, as the original writes them.
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
