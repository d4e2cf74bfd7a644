//! Why the host ended a call: a limit exceeded, or a trap.

use std::fmt;

use collector_model::{Limit, Limits};
use thiserror::Error;
use wasmtime::component::ResourceTableError;

/// A call that the host terminated. It costs the tenant this call and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Terminated {
    /// The component used too much of something.
    #[error("the component {}", describe(*.limit, .allowed))]
    LimitExceeded {
        /// Of what.
        limit: Limit,
        /// All limits of the call.
        allowed: Limits,
    },
    /// It failed by itself.
    #[error("the component failed: {0}")]
    Trap(String),
}

/// The limit behind an error of the engine, which has no type for it.
pub(crate) fn limit_behind(error: &wasmtime::Error) -> Option<Limit> {
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        return Some(Limit::Handles);
    }
    let text = error.root_cause().to_string();
    let known = [("fuel allocated for hostcalls", Limit::HostCall), ("handle limit exceeded", Limit::Handles)];
    known.into_iter().find_map(|(part, limit)| text.contains(part).then_some(limit))
}

/// What a component did that its limit does not allow.
fn describe(limit: Limit, allowed: &Limits) -> impl fmt::Display {
    let what = match limit {
        Limit::Memory => format!("used more than {} bytes of memory", allowed.memory_in_bytes),
        Limit::Tables => format!("used more than {} elements of tables", allowed.table_elements),
        Limit::Cpu => format!("computed for more than {:?}", allowed.cpu),
        Limit::Wall => format!("took longer than {:?}", allowed.wall),
        Limit::HostCall => format!("handed over more than {} bytes at once", allowed.host_call_in_bytes),
        Limit::Handles => format!("had more than {} handles open", allowed.handles),
        Limit::Requests => format!("made more than {} requests", allowed.requests),
        Limit::ConcurrentRequests => format!("made more than {} requests at once", allowed.concurrent_requests),
        Limit::LogLines => format!("wrote more than {} lines to the log", allowed.log_lines),
        Limit::Body => format!("got an answer of more than {} bytes", allowed.max_body_in_bytes),
        Limit::State => format!("stored a value of more than {} bytes", allowed.state_in_bytes),
        Limit::Queue => format!("had more than {} bytes of events under way", allowed.queue_in_bytes),
    };
    format!("{what} (limits.{})", limit.key())
}
