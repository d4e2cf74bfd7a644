//! The half-close: how it becomes certain that the receiver has read everything.
//!
//! The protocol has no acknowledgement; the end of a connection has to serve as one. After the last event
//! this side says that it is done (TLS close_notify if there is TLS, then the half-close of TCP) and reads
//! until the other side is done too, which a receiver is once it has read everything. An alert, a reset or
//! silence instead means: not delivered.

use std::io;
use std::time::Duration;

use nix::libc;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::GetStruct;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::{sleep, timeout};

use super::Connection;
use crate::error::Cause;

impl Connection {
    /// Says that there is no more and waits, at most `within`, for proof that the receiver has read all of
    /// it.
    pub(crate) async fn confirm(mut self, within: Duration) -> Result<(), Cause> {
        match timeout(within, self.close()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Cause::ConfirmTimeout { after: within }),
        }
    }

    /// An end of file proves that the receiver has read everything only if the receiver sent it after our
    /// last byte had reached it. Bytes that it did not read prove the contrary: TCP answers them with a
    /// reset.
    ///
    /// 1. The receiver's end may be here already. Then it was sent before the receiver can have seen ours: no
    ///    proof, whatever follows.
    /// 2. It may be under way while we send our end. If the receiver has closed its socket, its TCP resets
    ///    the connection on the first byte of ours that comes too late. But that reset arrives *after* the
    ///    end of file, at a socket that has been told the end: reading it returns a clean end of file, and
    ///    goes on doing so. So the end of file is believed only when TCP has come to its own end without an
    ///    error, which it does once the other side has acknowledged everything up to and including our end.
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
        // The poller has nothing to tell here: for it the connection was over with both ends of file. Mostly
        // it is over indeed, because the receiver's end carries the acknowledgement of ours.
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

    /// Reads until TCP's end of file. Many receivers close without a close_notify of their own; ours has told
    /// them where the events end, so nothing is lost by accepting that.
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

    fn tcp_state(&self) -> Result<u8, Cause> {
        match getsockopt(self.tcp(), TcpInfoHead) {
            Ok([state, ..]) => Ok(state),
            Err(error) => Err(Cause::Other { reason: format!("the state of the connection can't be read: {error}") }),
        }
    }
}

// The head of Linux's `struct tcp_info` (include/uapi/linux/tcp.h), whose first byte is the state. The kernel
// fills as much as it is asked for; the whole struct has grown with every few releases.
nix::getsockopt_impl!(TcpInfoHead, libc::IPPROTO_TCP, libc::TCP_INFO, [u8; 8], GetStruct<[u8; 8]>);

#[derive(Clone, Copy)]
struct TcpInfoHead;

// States of Linux's TCP (include/net/tcp_states.h). A socket whose connection ended in good order shows CLOSE
// while the kernel waits out TIME_WAIT on its own.
const TCP_ESTABLISHED: u8 = 1;
const TCP_TIME_WAIT: u8 = 6;
const TCP_CLOSE: u8 = 7;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Address;
    use crate::settings::{DevoSettings, Transport};
    use crate::tests::certificates::Certificates;
    use crate::tests::receiver::{Behaviour, Receiver};
    use crate::tests::{PATIENCE, soon};
    use crate::tls::Tls;

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
        // The sender's runtime stands still meanwhile, so that no read can have told it of the end: only TCP
        // knows.
        receivers.block_on(receiver.until(|seen| seen.half_closed == 1));
        // Nothing was written, so that nothing is left unread and nothing is reset: it is the order alone
        // that tells.
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
}
