//! A receiver that does what it is told to, one instruction per connection, and remembers what it was sent.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What the receiver does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Reads until the sender's end, then closes: a good receiver.
    Read,
    /// As above, but without TLS's own end.
    ReadAndCloseWithoutNotify,
    /// Reads this many bytes at least, then resets the connection.
    ResetAfter(usize),
    /// Shakes hands and closes at once, whatever comes.
    CloseAtOnce,
    /// Shakes hands, ends its own side as an idle balancer does, and goes on reading.
    HalfCloseFirst,
    /// Shakes hands and closes while all that is sent lies unread.
    CloseUnread,
    /// Shakes hands and then does nothing.
    Stall,
    /// Reads until the sender's end, but doesn't close.
    ReadAndStay,
    /// Accepts the connection and then does nothing, not even TLS.
    Mute,
}

/// What happened so far: what arrived on each connection, in the order in which they were accepted.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub connections: Vec<Vec<u8>>,
    /// Connections whose receiving side was ended first.
    pub half_closed: usize,
    /// Connections that the receiver is done with (it closed, or it has nothing more to do on them).
    pub done: usize,
}

/// Listens until it is dropped.
pub struct Receiver {
    pub port: u16,
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Does as told with the first connections, and the last of it with all that follow.
    pub async fn start(config: ServerConfig, behaviours: &[Behaviour]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        Self::on(listener, config, behaviours)
    }

    pub fn on(listener: TcpListener, config: ServerConfig, behaviours: &[Behaviour]) -> Self {
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let behaviours = behaviours.to_vec();
        let (record, seen) = watch::channel(Seen::default());
        let task = tokio::spawn(async move {
            let record = &record;
            let mut held = Vec::new();
            for number in 0.. {
                let (tcp, _) = listener.accept().await.unwrap();
                record.send_modify(|seen| seen.connections.push(Vec::new()));
                let behaviour = behaviours[number.min(behaviours.len() - 1)];
                held.extend(serve(&acceptor, tcp, behaviour, record, number).await);
                record.send_modify(|seen| seen.done += 1);
            }
        });
        Self { port, seen, task }
    }

    /// Waits until what happened is as asked for.
    pub async fn until(&self, condition: impl FnMut(&Seen) -> bool) -> Seen {
        super::soon(self.seen.clone().wait_for(condition)).await.unwrap().clone()
    }

    /// What happened so far.
    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection that is kept open, for as long as the receiver lives.
enum Held {
    Tcp { _tcp: TcpStream },
    Tls { _tls: Box<TlsStream<TcpStream>> },
}

async fn serve(
    acceptor: &TlsAcceptor,
    tcp: TcpStream,
    behaviour: Behaviour,
    record: &watch::Sender<Seen>,
    number: usize,
) -> Option<Held> {
    if behaviour == Behaviour::Mute {
        return Some(Held::Tcp { _tcp: tcp });
    }
    // A client that is refused, or goes away, is no failure of the receiver.
    let mut tls = acceptor.accept(tcp).await.ok()?;
    match behaviour {
        Behaviour::Mute => {}
        Behaviour::Read => {
            read(&mut tls, usize::MAX, record, number).await;
            let _ = tls.shutdown().await;
        }
        Behaviour::ReadAndCloseWithoutNotify => read(&mut tls, usize::MAX, record, number).await,
        Behaviour::ResetAfter(count) => {
            read(&mut tls, count, record, number).await;
            tls.get_ref().0.set_zero_linger().unwrap();
        }
        Behaviour::CloseAtOnce => {}
        Behaviour::HalfCloseFirst => {
            nix::sys::socket::shutdown(raw(&tls), nix::sys::socket::Shutdown::Write).unwrap();
            record.send_modify(|seen| seen.half_closed += 1);
            read(&mut tls, usize::MAX, record, number).await;
        }
        Behaviour::CloseUnread => {
            // Closing is an answer to events here: it waits for them, and leaves them where they are.
            let mut first = [0; 1];
            tls.get_ref().0.peek(&mut first).await.unwrap();
        }
        Behaviour::Stall => return Some(Held::Tls { _tls: Box::new(tls) }),
        Behaviour::ReadAndStay => {
            read(&mut tls, usize::MAX, record, number).await;
            return Some(Held::Tls { _tls: Box::new(tls) });
        }
    }
    None
}

fn raw(tls: &TlsStream<TcpStream>) -> std::os::fd::RawFd {
    std::os::fd::AsRawFd::as_raw_fd(tls.get_ref().0)
}

async fn read(tls: &mut TlsStream<TcpStream>, at_least: usize, record: &watch::Sender<Seen>, number: usize) {
    let mut buffer = vec![0; 16 * 1024];
    let mut total = 0;
    while total < at_least {
        match tls.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                total += count;
                record.send_modify(|seen| seen.connections[number].extend_from_slice(&buffer[..count]));
            }
        }
    }
}
