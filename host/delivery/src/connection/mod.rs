//! One connection to a receiver, from the handshake to the last byte; that all of it was read is what
//! [`half_close`] finds out.
//!
//! Three traps are known, and the first two have cost events in other senders:
//!
//! - Under TLS 1.3 the client's part of the handshake ends before the server has looked at its certificate. A
//!   refusal comes as an alert on a later *read*, while writes succeed. So reading never stops while
//!   something is written.
//! - A balancer closes idle connections. Its end of file may be under way while events are written, and is
//!   then read after them like the answer to them. The state of the TCP connection tells the two apart: see
//!   [`half_close`].
//! - Without TLS nothing tells who listens. A TLS or HTTP server reads the events as nonsense, answers with
//!   an error and closes, which is the very sequence of a confirmation but for the answer. Receivers of
//!   events send nothing: so on a plain connection any answer means that it is none.

mod address;
mod half_close;
mod stream;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use collector_net::{ConnectError, DialError, LookupError, Peer, RefusedAddress};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::Cause;
use crate::settings::{DevoSettings, Transport};
pub use address::{Address, AddressError};
use stream::Stream;

/// An open connection, ready for events.
pub(crate) struct Connection {
    stream: Stream,
}

impl Connection {
    /// Connects and shakes hands, both within the time that the settings give.
    pub(crate) async fn open(settings: &DevoSettings) -> Result<Self, Cause> {
        let DevoSettings { address, transport, connect_timeout: within, .. } = settings;
        let within = *within;
        let deadline = Instant::now() + within;
        let tcp = connect(settings).await?;
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

    /// Writes all of `bytes`. Fails as soon as the receiver says or does anything that makes writing
    /// pointless, and when it takes nothing for `within`.
    pub(crate) async fn write_all(&mut self, bytes: &[u8], within: Duration) -> Result<(), Cause> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = timeout(within, self.drive(|stream, cx| stream.poll_write(cx, rest))).await;
            rest = &rest[self.judge(written, within).await?..];
        }
        Ok(())
    }

    /// Hands everything written so far to the operating system.
    pub(crate) async fn flush(&mut self, within: Duration) -> Result<(), Cause> {
        let flushed = timeout(within, self.drive(|stream, cx| stream.poll_flush(cx))).await;
        self.judge(flushed, within).await
    }

    /// Ready when the receiver has ended or broken the connection.
    pub(crate) fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
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

    /// A receiver that refuses says why in an alert and hangs up. The write that follows meets only the
    /// broken connection, while the alert (or a plain answer) still waits to be read: it is the better
    /// explanation.
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
        // The connection is over, so the read comes to its end at once; the limit is for what nobody thought
        // of.
        match timeout(Duration::from_secs(1), alert).await {
            Ok(Some(Cause::ClosedEarly | Cause::Other { .. }) | None) | Err(_) => cause,
            Ok(Some(explanation)) => explanation,
        }
    }

    fn tcp(&self) -> &TcpStream {
        self.stream.tcp()
    }
}

/// Connects to the first address of the host that answers, if policy permits it.
async fn connect(settings: &DevoSettings) -> Result<TcpStream, Cause> {
    let DevoSettings { address, connect_timeout: within, threads, .. } = settings;
    let within = *within;
    let deadline = Instant::now() + within;
    let host = address.host().to_str();
    let peer = Peer { host: &host, port: address.port(), addresses: &settings.addresses, threads };
    collector_net::connect(&peer, deadline).await.map_err(|error| match error {
        ConnectError::LookUp(error) => Cause::NameNotResolved {
            reason: match error {
                LookupError::Failed(error) => error.to_string(),
                LookupError::NoAddress => "it has no addresses".to_owned(),
                LookupError::TimedOut => "no answer in time".to_owned(),
            },
        },
        ConnectError::Refused(RefusedAddress { address, range }) => Cause::AddressRefused { address, range },
        ConnectError::Dial(DialError::Failed(error)) => Cause::of(&error),
        ConnectError::Dial(DialError::TimedOut) => Cause::ConnectTimeout { after: within },
    })
}

#[cfg(test)]
mod tests {
    use collector_net::AddressRange;

    use super::*;

    #[tokio::test]
    async fn a_name_that_leads_into_the_hosts_own_network_is_refused_before_anything_is_sent() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::new("localhost", listener.local_addr().unwrap().port()).unwrap();
        let mut settings = DevoSettings::new("devo_us_1", address, Transport::Tcp);
        assert!(Connection::open(&settings).await.is_ok());
        settings.addresses = false.into();
        let cause = Connection::open(&settings).await.err();
        assert!(matches!(cause, Some(Cause::AddressRefused { range: AddressRange::Loopback, .. })), "{cause:?}");
    }
}
