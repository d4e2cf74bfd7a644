//! The original's processes and threads, as the spans that lines of the log are written in.

use collector_model::Identity;
use tracing::Span;

/// The part of the collector that a line comes from; the names are the original's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// What starts and ends the others.
    Main,
    /// What pulls.
    Input,
    /// What delivers.
    Output,
}

impl Process {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Main => "MainProcess",
            Self::Input => "InputProcess",
            Self::Output => "OutputProcess",
        }
    }
}

/// The thread that does what no other thread does.
pub const MAIN_THREAD: &str = "MainThread";

/// Lines written within this span come from `thread` of `process`.
pub fn span(process: Process, thread: &str) -> Span {
    tracing::error_span!("thread", process = process.name(), thread)
}

/// As [`span`], and the lines are about one service.
pub fn service_span(process: Process, thread: &str, service: &Identity) -> Span {
    let (input, id, service) = (service.input(), service.id(), service.service());
    tracing::error_span!("thread", process = process.name(), thread, input, id, service)
}

/// As [`span`], for the senders that deliver the log itself: what is written there must not be delivered
/// again.
pub fn internal_span(process: Process, thread: &str) -> Span {
    tracing::error_span!("thread", process = process.name(), thread, is_internal = true)
}

/// Whatever is written within this span, and within the spans that are made in it, is this tenant's.
pub fn tenant_span(tenant: &str) -> Span {
    tracing::error_span!("tenant", process = Process::Main.name(), thread = MAIN_THREAD, tenant)
}
