//! One connection to a receiver, from the handshake to the confirmation that all of it was read.
//!
//! The protocol has no acknowledgement; the end of a connection has to serve as one. After the last event this side
//! says that it is done (TLS close_notify if there is TLS, then the half-close of TCP) and reads until the other side
//! is done too, which a receiver is once it has read everything. An alert, a reset or silence instead means: not
//! delivered.
//!
//! Three traps are known, and the first two have cost events in other senders:
//!
//! - Under TLS 1.3 the client's part of the handshake ends before the server has looked at its certificate. A refusal
//!   comes as an alert on a later *read*, while writes succeed. So reading never stops while something is written.
//! - A balancer closes idle connections. Its end of file may be under way while events are written, and is then read
//!   after them like the answer to them. The state of the TCP connection tells the two apart: see
//!   [`Connection::confirm`].
//! - Without TLS nothing tells who listens. A TLS or HTTP server reads the events as nonsense, answers with an error
//!   and closes, which is the very sequence of a confirmation but for the answer. Receivers of events send nothing: so
//!   on a plain connection any answer means that it is none.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use collector_net::{DialError, LookupError, RefusedAddress, dial, look_up, permitted};
use nix::libc;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::GetStruct;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::stream::Stream;
use super::{Address, Cause, DevoSettings, Transport};

/// An open connection, ready for events.
pub(super) struct Connection {
    stream: Stream,
}

impl Connection {
    /// Connects and shakes hands, both within the time that the settings give.
    pub(super) async fn open(settings: &DevoSettings) -> Result<Self, Cause> {
        let DevoSettings { address, transport, connect_timeout: within, .. } = settings;
        let within = *within;
        let deadline = Instant::now() + within;
        let tcp = connect(address, within, settings.allow_private_addresses).await?;
        let tls = match transport {
            Transport::Tls(tls) => tls,
            Transport::Tcp => return Ok(Self { stream: Stream::Tcp(tcp) }),
        };
        match timeout_at(deadline, tls.connector().connect(address.host().clone(), tcp)).await {
            Ok(Ok(stream)) => Ok(Self { stream: Stream::Tls(Box::new(stream)) }),
            Ok(Err(error)) => Err(match Cause::of(&error) {
                Cause::ClosedEarly | Cause::Reset => Cause::HandshakeCut,
                cause => cause,
            }),
            Err(_) => Err(Cause::HandshakeTimeout { after: within }),
        }
    }

    /// Writes all of `bytes`. Fails as soon as the receiver says or does anything that makes writing pointless, and when
    /// it takes nothing for `within`.
    pub(super) async fn write_all(&mut self, bytes: &[u8], within: Duration) -> Result<(), Cause> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = timeout(within, self.drive(|stream, cx| stream.poll_write(cx, rest))).await;
            rest = &rest[self.judge(written, within).await?..];
        }
        Ok(())
    }

    /// Hands everything written so far to the operating system.
    pub(super) async fn flush(&mut self, within: Duration) -> Result<(), Cause> {
        let flushed = timeout(within, self.drive(|stream, cx| stream.poll_flush(cx))).await;
        self.judge(flushed, within).await
    }

    /// Ready when the receiver has ended or broken the connection.
    pub(super) fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
        // Receivers send no data; session tickets and alerts are dealt with inside TLS.
        let mut ignored = [0; 512];
        loop {
            let mut buffer = ReadBuf::new(&mut ignored);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Poll::Ready(Cause::ClosedEarly),
                Poll::Ready(Ok(())) => {
                    if let Err(cause) = self.heed(buffer.filled()) {
                        return Poll::Ready(cause);
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Cause::of(&error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// What an answer means: nothing under TLS, which has told that the receiver is the one that was meant.
    fn heed(&self, answer: &[u8]) -> Result<(), Cause> {
        match self.stream {
            Stream::Tls(_) => Ok(()),
            Stream::Tcp(_) => Err(Cause::of_answer(answer)),
        }
    }

    /// Says that there is no more and waits, at most `within`, for proof that the receiver has read all of it.
    pub(super) async fn confirm(mut self, within: Duration) -> Result<(), Cause> {
        match timeout(within, self.close()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Cause::ConfirmTimeout { after: within }),
        }
    }

    /// An end of file proves that the receiver has read everything only if the receiver sent it after our last byte had
    /// reached it. Bytes that it did not read prove the contrary: TCP answers them with a reset.
    ///
    /// 1. The receiver's end may be here already. Then it was sent before the receiver can have seen ours: no proof,
    ///    whatever follows.
    /// 2. It may be under way while we send our end. If the receiver has closed its socket, its TCP resets the
    ///    connection on the first byte of ours that comes too late. But that reset arrives *after* the end of file, at
    ///    a socket that has been told the end: reading it returns a clean end of file, and goes on doing so. So the end
    ///    of file is believed only when TCP has come to its own end without an error, which it does once the other side
    ///    has acknowledged everything up to and including our end.
    ///
    /// What no sender can see: a receiver that reads events from its socket and then loses them; and one that
    /// half-closes in the moment between 1 and our end, goes on taking bytes, and throws them away.
    async fn close(&mut self) -> Result<(), Cause> {
        if self.tcp_state()? != TCP_ESTABLISHED {
            return Err(self.explained(Cause::ClosedEarly).await);
        }
        if let Err(cause) = self.drive(|stream, cx| stream.poll_shutdown(cx)).await {
            return Err(self.explained(cause).await);
        }
        self.read_to_end().await?;
        self.settled().await
    }

    /// Waits for the end of TCP's own business; fails if it was a reset.
    async fn settled(&self) -> Result<(), Cause> {
        // The poller has nothing to tell here: for it the connection was over with both ends of file. Mostly it is over
        // indeed, because the receiver's end carries the acknowledgement of ours.
        let mut pause = Duration::from_millis(1);
        while !matches!(self.tcp_state()?, TCP_CLOSE | TCP_TIME_WAIT) {
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        match self.tcp().take_error() {
            Ok(None) => Ok(()),
            Ok(Some(error)) | Err(error) => Err(Cause::of(&error)),
        }
    }

    /// Reads until TCP's end of file. Many receivers close without a close_notify of their own; ours has told them
    /// where the events end, so nothing is lost by accepting that.
    async fn read_to_end(&mut self) -> Result<(), Cause> {
        let mut ignored = [0; 512];
        loop {
            match self.stream.read(&mut ignored).await {
                Ok(0) => break,
                Ok(count) => self.heed(&ignored[..count])?,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(Cause::of(&error)),
            }
        }
        let tcp = self.stream.tcp_mut();
        loop {
            match tcp.read(&mut ignored).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(Cause::of(&error)),
            }
        }
    }

    /// Runs `act`, and fails at once when the receiver ends or breaks the connection meanwhile.
    async fn drive<T>(
        &mut self,
        mut act: impl FnMut(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Result<T, Cause> {
        std::future::poll_fn(|cx| match self.poll_lost(cx) {
            Poll::Ready(cause) => Poll::Ready(Err(cause)),
            Poll::Pending => act(Pin::new(&mut self.stream), cx).map_err(|error| Cause::of(&error)),
        })
        .await
    }

    async fn judge<T>(
        &mut self,
        outcome: Result<Result<T, Cause>, tokio::time::error::Elapsed>,
        within: Duration,
    ) -> Result<T, Cause> {
        match outcome {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(cause)) => Err(self.explained(cause).await),
            Err(_) => Err(Cause::SendingTimeout { after: within }),
        }
    }

    /// A receiver that refuses says why in an alert and hangs up. The write that follows meets only the broken
    /// connection, while the alert (or a plain answer) still waits to be read: it is the better explanation.
    async fn explained(&mut self, cause: Cause) -> Cause {
        if !matches!(cause, Cause::Reset | Cause::ClosedEarly) {
            return cause;
        }
        let mut ignored = [0; 512];
        let alert = async {
            loop {
                match self.stream.read(&mut ignored).await {
                    Ok(0) => return None,
                    Ok(count) => match self.heed(&ignored[..count]) {
                        Ok(()) => {}
                        Err(answered) => return Some(answered),
                    },
                    Err(error) => return Some(Cause::of(&error)),
                }
            }
        };
        // The connection is over, so the read comes to its end at once; the limit is for what nobody thought of.
        match timeout(Duration::from_secs(1), alert).await {
            Ok(Some(Cause::ClosedEarly | Cause::Other { .. }) | None) | Err(_) => cause,
            Ok(Some(explanation)) => explanation,
        }
    }

    fn tcp(&self) -> &TcpStream {
        self.stream.tcp()
    }

    fn tcp_state(&self) -> Result<u8, Cause> {
        match getsockopt(self.tcp(), TcpInfoHead) {
            Ok([state, ..]) => Ok(state),
            Err(error) => Err(Cause::Other { reason: format!("the state of the connection can't be read: {error}") }),
        }
    }
}

// The head of Linux's `struct tcp_info` (include/uapi/linux/tcp.h), whose first byte is the state. The kernel fills as
// much as it is asked for; the whole struct has grown with every few releases.
nix::getsockopt_impl!(TcpInfoHead, libc::IPPROTO_TCP, libc::TCP_INFO, [u8; 8], GetStruct<[u8; 8]>);

#[derive(Clone, Copy)]
struct TcpInfoHead;

// States of Linux's TCP (include/net/tcp_states.h). A socket whose connection ended in good order shows CLOSE while the
// kernel waits out TIME_WAIT on its own.
const TCP_ESTABLISHED: u8 = 1;
const TCP_TIME_WAIT: u8 = 6;
const TCP_CLOSE: u8 = 7;

/// Connects to the first address of the host that answers, if policy permits it.
async fn connect(address: &Address, within: Duration, allow_private: bool) -> Result<TcpStream, Cause> {
    let deadline = Instant::now() + within;
    let found =
        look_up(&address.host().to_str(), address.port(), deadline).await.map_err(|error| Cause::NameNotResolved {
            reason: match error {
                LookupError::Failed(error) => error.to_string(),
                LookupError::NoAddress => "it has no addresses".to_owned(),
                LookupError::TimedOut => "no answer in time".to_owned(),
            },
        })?;
    let addresses = permitted(found, allow_private)
        .map_err(|RefusedAddress { address, range }| Cause::AddressRefused { address, range })?;
    dial(&addresses, deadline).await.map_err(|error| match error {
        DialError::Failed(error) => Cause::of(&error),
        DialError::TimedOut => Cause::ConnectTimeout { after: within },
    })
}

#[cfg(test)]
mod tests {
    use collector_net::AddressRange;

    use super::*;
    use crate::senders::Tls;
    use crate::senders::tests::certificates::Certificates;
    use crate::senders::tests::receiver::{Behaviour, Receiver};
    use crate::senders::tests::{PATIENCE, soon};

    async fn open(domain: &Certificates, receiver: &Receiver) -> Connection {
        let address = Address::new("localhost", receiver.port).unwrap();
        let tls = Transport::Tls(Tls::from_files(&domain.files()).unwrap());
        let settings = DevoSettings { connect_timeout: PATIENCE, ..DevoSettings::new("devo_us_1", address, tls) };
        Connection::open(&settings).await.unwrap()
    }

    #[test]
    fn an_end_of_file_that_is_older_than_ours_is_no_proof() {
        let receivers = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let senders = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let domain = Certificates::new();
        let receiver = receivers.block_on(Receiver::start(domain.server(), &[Behaviour::HalfCloseFirst]));
        let connection = senders.block_on(open(&domain, &receiver));
        // The sender's runtime stands still meanwhile, so that no read can have told it of the end: only TCP knows.
        receivers.block_on(receiver.until(|seen| seen.half_closed == 1));
        // Nothing was written, so that nothing is left unread and nothing is reset: it is the order alone that tells.
        assert_eq!(senders.block_on(soon(connection.confirm(PATIENCE))), Err(Cause::ClosedEarly));
    }

    #[tokio::test]
    async fn a_reset_behind_an_end_of_file_is_noticed() {
        let domain = Certificates::new();
        let receiver = Receiver::start(domain.server(), &[Behaviour::CloseAtOnce]).await;
        let mut connection = open(&domain, &receiver).await;
        receiver.until(|seen| seen.done == 1).await;
        // As if the bytes had been on their way while the receiver closed.
        connection.tcp().writable().await.unwrap();
        connection.tcp().try_write(b"too late").unwrap();
        assert_eq!(soon(connection.read_to_end()).await, Ok(()), "the end of file doesn't look clean as expected");
        assert_eq!(soon(connection.settled()).await, Err(Cause::Reset));
    }

    #[tokio::test]
    async fn a_name_that_leads_into_the_hosts_own_network_is_refused_before_anything_is_sent() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::new("localhost", listener.local_addr().unwrap().port()).unwrap();
        let mut settings = DevoSettings::new("devo_us_1", address, Transport::Tcp);
        assert!(Connection::open(&settings).await.is_ok());
        settings.allow_private_addresses = false;
        let cause = Connection::open(&settings).await.err();
        assert!(matches!(cause, Some(Cause::AddressRefused { range: AddressRange::Loopback, .. })), "{cause:?}");
    }
}
