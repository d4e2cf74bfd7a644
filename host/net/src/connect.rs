//! From a name to a TCP connection, within one deadline: the one way by which anything is connected to.

use std::io;
use std::net::SocketAddr;

use collector_files::Threads;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::address::{AddressPolicy, RefusedAddress, permitted};
use super::resolver::{LookupError, look_up};

/// Whom to connect to.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// A name, or an address (v6 without brackets).
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// At which addresses it may be.
    pub addresses: &'a AddressPolicy,
    /// The share of whoever asks: names are looked up on its account.
    pub threads: &'a Threads,
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The name leads nowhere.
    #[error("its name could not be resolved: {0}")]
    LookUp(#[from] LookupError),
    /// None of its addresses is permitted.
    #[error(transparent)]
    Refused(#[from] RefusedAddress),
    /// None of those that are gave a connection.
    #[error(transparent)]
    Dial(#[from] DialError),
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

/// Connects to a peer, at an address that policy permits: addresses are checked after the look-up, and
/// exactly those that were checked are connected to. A second look-up could give others (DNS rebinding).
///
/// # Errors
/// There is no connection by the deadline.
pub async fn connect(peer: &Peer<'_>, deadline: Instant) -> Result<TcpStream, ConnectError> {
    let found = look_up(peer.host, peer.port, deadline, peer.threads).await?;
    let permitted = permitted(found, peer.addresses)?;
    Ok(dial(&permitted, deadline).await?)
}

/// Connects to the first of the addresses that answers, tried in turn. Each gets an equal share of the time
/// that is left, so that a first address that swallows packets (IPv6 without a route, often) leaves time for
/// the others.
///
/// # Errors
/// No address answered with a connection. What the system said of one counts more than another's silence.
async fn dial(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, DialError> {
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
        assert!(matches!(dial(&[], Instant::now()).await, Err(DialError::TimedOut)));
    }

    #[tokio::test]
    async fn what_policy_refuses_is_not_connected_to_whatever_it_is_called() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for threads in [Threads::of_tenant(), Threads::of_operator()] {
            for host in ["localhost", "127.0.0.1", "::ffff:127.0.0.1", "::1"] {
                let peer = Peer { host, port, addresses: &false.into(), threads: &threads };
                let error = connect(&peer, soon()).await.unwrap_err();
                assert!(matches!(error, ConnectError::Refused(_)), "{host}: {error}");
            }
            let denied = AddressPolicy {
                allow_private: true,
                denied: ["127.0.0.0/8", "::1"].map(|n| n.parse().unwrap()).into(),
            };
            let peer = Peer { host: "localhost", port, addresses: &denied, threads: &threads };
            assert!(matches!(connect(&peer, soon()).await, Err(ConnectError::Refused(_))));
            connect(&Peer { addresses: &true.into(), ..peer }, soon()).await.unwrap();
        }
    }
}
