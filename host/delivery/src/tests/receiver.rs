//! A receiver that does what it is told to, one instruction per connection, and remembers what it was sent.

use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use nix::sys::socket::{Shutdown, shutdown};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
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
    /// Reads until the sender's end, answers with this, and closes.
    Answer(&'static [u8]),
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

    /// The same without TLS.
    pub async fn start_plain(behaviours: &[Behaviour]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        Self::serve(listener, None, behaviours)
    }

    pub fn on(listener: TcpListener, config: ServerConfig, behaviours: &[Behaviour]) -> Self {
        Self::serve(listener, Some(TlsAcceptor::from(Arc::new(config))), behaviours)
    }

    fn serve(listener: TcpListener, acceptor: Option<TlsAcceptor>, behaviours: &[Behaviour]) -> Self {
        let port = listener.local_addr().unwrap().port();
        let behaviours = behaviours.to_vec();
        let (record, seen) = watch::channel(Seen::default());
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let (tcp, _) = listener.accept().await.unwrap();
                record.send_modify(|seen| seen.connections.push(Vec::new()));
                let behaviour = behaviours[number.min(behaviours.len() - 1)];
                let (acceptor, record) = (acceptor.clone(), record.clone());
                connections.spawn(async move {
                    let held = serve(acceptor.as_ref(), tcp, behaviour, &record, number).await;
                    record.send_modify(|seen| seen.done += 1);
                    if held.is_some() {
                        std::future::pending::<()>().await;
                    }
                });
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

/// A connection from a sender.
enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    async fn close(&mut self) {
        let _ = match self {
            Self::Tcp(tcp) => tcp.shutdown().await,
            Self::Tls(tls) => tls.shutdown().await,
        };
    }

    async fn answer(&mut self, answer: &[u8]) {
        match self {
            Self::Tcp(tcp) => tcp.write_all(answer).await.unwrap(),
            Self::Tls(tls) => tls.write_all(answer).await.unwrap(),
        }
        self.close().await;
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

/// What is returned is to be kept open.
async fn serve(
    acceptor: Option<&TlsAcceptor>,
    tcp: TcpStream,
    behaviour: Behaviour,
    record: &watch::Sender<Seen>,
    number: usize,
) -> Option<Stream> {
    if behaviour == Behaviour::Mute {
        return Some(Stream::Tcp(tcp));
    }
    let mut stream = match acceptor {
        // A client that is refused, or goes away, is no failure of the receiver.
        Some(acceptor) => Stream::Tls(Box::new(acceptor.accept(tcp).await.ok()?)),
        None => Stream::Tcp(tcp),
    };
    match behaviour {
        Behaviour::Mute => {}
        Behaviour::Read => {
            read(&mut stream, usize::MAX, record, number).await;
            stream.close().await;
        }
        Behaviour::ReadAndCloseWithoutNotify => read(&mut stream, usize::MAX, record, number).await,
        Behaviour::ResetAfter(count) => {
            read(&mut stream, count, record, number).await;
            stream.tcp().set_zero_linger().unwrap();
        }
        Behaviour::CloseAtOnce => {}
        Behaviour::HalfCloseFirst => {
            shutdown(std::os::fd::AsRawFd::as_raw_fd(stream.tcp()), Shutdown::Write).unwrap();
            record.send_modify(|seen| seen.half_closed += 1);
            read(&mut stream, usize::MAX, record, number).await;
        }
        Behaviour::CloseUnread => {
            // Closing is an answer to events here: it waits for them, and leaves them where they are.
            let mut first = [0; 1];
            stream.tcp().peek(&mut first).await.unwrap();
        }
        Behaviour::Stall => return Some(stream),
        Behaviour::ReadAndStay => {
            read(&mut stream, usize::MAX, record, number).await;
            return Some(stream);
        }
        Behaviour::Answer(answer) => {
            read(&mut stream, usize::MAX, record, number).await;
            stream.answer(answer).await;
        }
    }
    None
}

async fn read(stream: &mut Stream, at_least: usize, record: &watch::Sender<Seen>, number: usize) {
    let mut buffer = vec![0; 16 * 1024];
    let mut total = 0;
    while total < at_least {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                total += count;
                record.send_modify(|seen| seen.connections[number].extend_from_slice(&buffer[..count]));
            }
        }
    }
}
