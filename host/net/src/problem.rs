//! What the system says of a connection, in one reading for all.

use std::io;

use thiserror::Error;

/// Why there is no connection, or none any more.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ConnectProblem {
    /// Nothing listens there.
    #[error("connection refused")]
    Refused,
    /// No route.
    #[error("network or host unreachable")]
    Unreachable,
    /// The other side, or something on the way, cut it.
    #[error("connection reset")]
    Reset,
    /// The network gave up.
    #[error("the network timed out")]
    TimedOut,
    /// Anything else.
    #[error("{0}")]
    Other(io::ErrorKind),
}

impl From<&io::Error> for ConnectProblem {
    fn from(error: &io::Error) -> Self {
        use io::ErrorKind;
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::NetworkDown => Self::Unreachable,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => Self::Reset,
            ErrorKind::TimedOut => Self::TimedOut,
            other => Self::Other(other),
        }
    }
}
