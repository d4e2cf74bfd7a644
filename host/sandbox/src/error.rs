//! Why a component can't be run, and what the operator can do about it.

use std::io;

use thiserror::Error;

/// A component that can't be run. Nothing of it was.
#[derive(Debug, Error)]
pub enum ComponentError {
    /// There is no such file, or it can't be read.
    #[error("the file {0} can't be read: {1}")]
    Unreadable(String, io::Error),
    /// It is something else.
    #[error("the file {0} is not a component: {1}")]
    NotAComponent(String, &'static str),
    /// It imports what the world does not have.
    #[error("it wants {}, which no collector may reach", .0.join(" and "))]
    Beyond(Vec<String>),
    /// It is made for another version of an interface: which one, and which one there is.
    #[error("it is made for {0}, and what is offered is {1}")]
    Version(String, String),
    /// It has nothing that the host could call.
    #[error("it does not export {0}")]
    NoService(&'static str),
    /// Its code is not valid, or an interface has other functions than its name says.
    #[error("the component can't be used: {0}")]
    Invalid(String),
}

impl ComponentError {
    /// What the operator can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unreadable(..) => "Give the path of a component, relative to the product folder.",
            Self::NotAComponent(..) => {
                "Give a component; wasm-component-ld links one, `wasm-tools component new` makes one."
            }
            Self::Beyond(_) => "Build it for the target wasm32-unknown-unknown, whose libraries import nothing.",
            Self::Version(..) | Self::NoService(_) | Self::Invalid(_) => {
                "Build it for the world devo:collector/collector@2.0.0 in wit/."
            }
        }
    }
}
