//! Why a component can't be run, and what the operator can do about it.

use std::io;
use std::time::Duration;

use collector_files::NoThread;
use thiserror::Error;

use crate::compile::Size;

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
    /// It has more of something than a tenant's may have, so much.
    #[error("it has {1} {0}, and at most {most} are allowed", most = .0.most())]
    TooLarge(Size, u64),
    /// It could not be compiled within limits.
    #[error("compiling it {0}")]
    Compilation(Compilation),
    /// Nothing was looked at, for want of a thread.
    #[error("it can't be looked at: {0}")]
    NoThread(#[from] NoThread),
}

/// Why the process that compiles a tenant's component has come to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Compilation {
    /// It wanted more memory than this.
    #[error("takes more than {0} bytes (compilation.memory_in_bytes)")]
    Memory(u64),
    /// It computed for longer than this.
    #[error("takes more than {0:?} of computing (compilation.cpu_in_seconds)")]
    Cpu(Duration),
    /// It was not done in this time.
    #[error("takes longer than {0:?} (compilation.wall_in_seconds)")]
    Wall(Duration),
    /// It gave more bytes of code than this.
    #[error("gives more than {0} bytes of code")]
    Code(usize),
    /// It could not be started, or did not end as it should.
    #[error("has failed: {0}")]
    Failed(String),
}

impl Compilation {
    /// Whether another try would come to the same.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Memory(_) | Self::Cpu(_) | Self::Code(_))
    }
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
            Self::TooLarge(..) => "Build it with optimisation, and from fewer parts.",
            Self::Compilation(Compilation::Failed(_)) | Self::NoThread(_) => "It is tried again later.",
            Self::Compilation(_) => {
                "Build it smaller and with optimisation, or ask the operator, who can allow more in host.yaml."
            }
        }
    }
}

/// A text of several lines as one.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
