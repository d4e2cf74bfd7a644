//! From a name to a TCP connection, within one deadline.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use collector_files::{NoThread, Threads, Work};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// Why a name gave no address.
#[derive(Debug, Error)]
pub enum LookupError {
    /// The resolver says no, or could not be asked.
    #[error("{0}")]
    Failed(io::Error),
    /// The name exists and has no address.
    #[error("it has no address")]
    NoAddress,
    /// No answer in time.
    #[error("the resolver did not answer in time")]
    TimedOut,
}

/// Why none of the addresses gave a connection.
#[derive(Debug, Error)]
pub enum DialError {
    /// What the system said of the last one that answered at all.
    #[error("{0}")]
    Failed(io::Error),
    /// None of them answered in time.
    #[error("no answer in time")]
    TimedOut,
}

/// The addresses of a host, a name or an address itself. There is at least one. The system's resolver can't
/// be interrupted: a look-up that nobody waits for any more holds one of `threads` until it is over.
///
/// # Errors
/// There is none, or none in time.
pub async fn look_up(
    host: &str,
    port: u16,
    deadline: Instant,
    threads: &Threads,
) -> Result<Vec<SocketAddr>, LookupError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let name = host.to_owned();
    let ask = move || (name, port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
    let patience = deadline.saturating_duration_since(Instant::now());
    let found = timeout_at(deadline, threads.run(Work::LookUp, patience, ask)).await;
    let addresses = match found.map_err(|_| LookupError::TimedOut)? {
        Ok(found) => found.map_err(LookupError::Failed)?,
        Err(NoThread::Busy(_)) => return Err(LookupError::TimedOut),
        Err(gone @ NoThread::Gone) => return Err(LookupError::Failed(io::Error::other(gone))),
    };
    if addresses.is_empty() { Err(LookupError::NoAddress) } else { Ok(addresses) }
}

/// Connects to the first of the addresses that answers, tried in turn. Each gets an equal share of the time
/// that is left, so that a first address that swallows packets (IPv6 without a route, often) leaves time for
/// the others.
///
/// # Errors
/// No address answered with a connection. What the system said of one counts more than another's silence.
pub async fn dial(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, DialError> {
    let mut failure = DialError::TimedOut;
    let mut left = addresses.len() as u32;
    for address in addresses {
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / left;
        left -= 1;
        match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // What is written is written in one go and then waited for: Nagle's delay could only hold it
                // back. Without it the connection still works.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => failure = DialError::Failed(error),
            Err(_) => {}
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    /// An address that nobody listens at, for as long as the socket lives.
    fn unused() -> (TcpSocket, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    #[tokio::test]
    async fn an_address_that_refuses_leaves_the_next_one_its_turn() {
        let (_socket, refusing) = unused();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listening = listener.local_addr().unwrap();
        let stream = dial(&[refusing, listening], soon()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listening);
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn what_the_system_says_is_the_reason() {
        let (_socket, refusing) = unused();
        let error = dial(&[refusing], soon()).await.unwrap_err();
        assert!(matches!(error, DialError::Failed(error) if error.kind() == io::ErrorKind::ConnectionRefused));
    }

    #[tokio::test]
    async fn a_deadline_that_is_over_is_a_time_out() {
        let error = look_up("localhost", 1, Instant::now(), &Threads::of_tenant()).await;
        assert!(matches!(error, Err(LookupError::TimedOut) | Ok(_)), "{error:?}");
        assert!(matches!(dial(&[], Instant::now()).await, Err(DialError::TimedOut)));
    }

    #[tokio::test]
    async fn an_address_is_its_own_name() {
        assert_eq!(
            look_up("::1", 7, Instant::now(), &Threads::of_tenant()).await.unwrap(),
            ["[::1]:7".parse().unwrap()]
        );
    }
}
