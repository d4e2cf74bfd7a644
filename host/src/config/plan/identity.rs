//! The name of a service, and the names that the original derives from it.

use std::fmt;

use serde::Serialize;

/// What a service is known by: in the log, in the state, in errors.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Identity {
    pub input: String,
    pub id: String,
    pub service: String,
}

impl Identity {
    /// The name of the thread that pulls, as the original writes it.
    pub fn puller(&self) -> String {
        format!("CloudSekPuller({},{},{},predefined)", self.input, self.id, self.service)
    }

    /// The name of the thread that stands for the service, as the original writes it.
    pub fn service_thread(&self) -> String {
        format!("ServiceThread({},{},{},predefined)", self.input, self.id, self.service)
    }

    /// The name of the thread that stands for the input, as the original writes it.
    pub fn input_thread(&self) -> String {
        format!("InputThread({},{})", self.input, self.id)
    }

    /// The name of the thread that sets up, as the original writes it.
    pub fn puller_setup(&self) -> String {
        format!("CloudSekPullerSetup({},{}#{},{}#predefined)", self.input, self.input, self.id, self.service)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};{};{}", self.input, self.id, self.service)
    }
}
