//! Why the host ended a call.

use std::fmt;

use thiserror::Error;
use wasmtime::component::ResourceTableError;

use crate::config::Limits;

/// A call that the host ended. It costs the tenant this call and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Breach {
    /// The component used too much of something.
    #[error("the component {}", .limit.describe(.allowed))]
    Limit {
        /// Of what.
        limit: Limit,
        /// All limits of the call.
        allowed: Limits,
    },
    /// It failed by itself.
    #[error("the component failed: {0}")]
    Trap(String),
}

/// What a component can use too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Memory,
    Tables,
    Cpu,
    Wall,
    HostCall,
    Handles,
    Requests,
    ConcurrentRequests,
    LogLines,
}

impl Limit {
    /// The setting, below `limits`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Memory => "memory_in_bytes",
            Self::Tables => "table_elements",
            Self::Cpu => "cpu_in_milliseconds",
            Self::Wall => "wall_in_seconds",
            Self::HostCall => "host_call_in_bytes",
            Self::Handles => "handles",
            Self::Requests => "requests",
            Self::ConcurrentRequests => "concurrent_requests",
            Self::LogLines => "log_lines",
        }
    }

    /// The limit behind an error of the engine, which has no type for it.
    pub(super) fn behind(error: &wasmtime::Error) -> Option<Self> {
        if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
            return Some(Self::Handles);
        }
        let text = error.root_cause().to_string();
        let known = [("fuel allocated for hostcalls", Self::HostCall), ("handle limit exceeded", Self::Handles)];
        known.into_iter().find_map(|(part, limit)| text.contains(part).then_some(limit))
    }

    fn describe(self, allowed: &Limits) -> impl fmt::Display {
        let what = match self {
            Self::Memory => format!("used more than {} bytes of memory", allowed.memory_in_bytes),
            Self::Tables => format!("used more than {} elements of tables", allowed.table_elements),
            Self::Cpu => format!("computed for more than {:?}", allowed.cpu),
            Self::Wall => format!("took longer than {:?}", allowed.wall),
            Self::HostCall => format!("handed over more than {} bytes at once", allowed.host_call_in_bytes),
            Self::Handles => format!("had more than {} handles open", allowed.handles),
            Self::Requests => format!("made more than {} requests", allowed.requests),
            Self::ConcurrentRequests => format!("made more than {} requests at once", allowed.concurrent_requests),
            Self::LogLines => format!("wrote more than {} lines to the log", allowed.log_lines),
        };
        format!("{what} (limits.{})", self.key())
    }
}
