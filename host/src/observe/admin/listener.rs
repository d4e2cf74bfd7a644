//! Where the pages are served: a TCP address, or a socket in the file system. A few connections at a time and
//! none that is idle for long: files that connections hold are missing to tenants.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingUnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use collector_config::AdminAddress;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::AbortHandle;
use tokio_util::either::Either;

/// Connections at the same time. A monitoring system needs one; for whoever comes when there are as many, the
/// oldest is closed: most likely it is idle, and whoever uses it connects anew.
const MOST_CONNECTIONS: usize = 32;

/// A client that sends nothing, or no whole request, holds a connection for this time.
const LONGEST_HEAD: Duration = Duration::from_secs(5);

/// And one that does not read its answer, or asks again and again, for this time. Others connect anew.
const LONGEST_CONNECTION: Duration = Duration::from_secs(60);

/// After a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Who may connect to a socket in the file system: the user and the group that the collector runs as.
const SOCKET_MODE: u32 = 0o660;

/// A bound address.
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

type Stream = Either<TcpStream, UnixStream>;

impl Listener {
    /// # Errors
    /// The address can't be had.
    pub async fn bind(address: &AdminAddress) -> Result<Self> {
        let bound = match address {
            AdminAddress::Tcp(address) => {
                TcpListener::bind(address).await.map(Self::Tcp).context("it can't be listened at")
            }
            AdminAddress::Unix(path) => bind_unix(path),
        };
        bound.with_context(|| format!("the admin address {address} can't be used; nothing was started"))
    }

    /// The address as clients write it.
    pub fn url(&self) -> io::Result<String> {
        match self {
            Self::Tcp(listener) => Ok(format!("http://{}", listener.local_addr()?)),
            Self::Unix(_, SocketFile(path)) => Ok(format!("unix:{}", path.display())),
        }
    }

    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| Either::Left(stream)),
            Self::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Either::Right(stream)),
        }
    }

    /// Serves forever.
    pub async fn serve(self, routes: Router) -> Infallible {
        let mut open = VecDeque::<AbortHandle>::new();
        loop {
            match self.accept().await {
                Ok(stream) => {
                    open.retain(|connection| !connection.is_finished());
                    if open.len() == MOST_CONNECTIONS {
                        open.pop_front().inspect(AbortHandle::abort);
                    }
                    open.push_back(tokio::spawn(answer(stream, routes.clone())).abort_handle());
                }
                // Most likely there are too many open files; some will be closed.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

/// Answers on a connection until its client closes it, or its time is over.
async fn answer(stream: Stream, routes: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(LONGEST_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    // What fails is this connection, and the next one is served all the same.
    let _ = tokio::time::timeout(LONGEST_CONNECTION, connection).await;
}

/// The file of a socket, which goes with whoever made it.
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // The next start removes what is left.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn bind_unix(path: &Path) -> Result<Listener> {
    // A process that was killed leaves its socket behind.
    if std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
        if BlockingUnixStream::connect(path).is_ok() {
            bail!("somebody else listens there");
        }
        std::fs::remove_file(path).context("the socket that is left there can't be removed")?;
    }
    let listener = UnixListener::bind(path).context("the socket can't be made")?;
    let file = SocketFile(path.to_owned());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(Listener::Unix(listener, file))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn serving() -> (std::net::SocketAddr, tokio::task::JoinHandle<Infallible>) {
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
        let Listener::Tcp(tcp) = &listener else { panic!("another kind") };
        let address = tcp.local_addr().unwrap();
        (address, tokio::spawn(listener.serve(Router::new())))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_ends_its_request_is_timed_out() {
        let (address, serving) = serving().await;
        for sent in ["", "GET / HTTP/1.1\r\n", "GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n"] {
            let started = tokio::time::Instant::now();
            let mut slow = TcpStream::connect(address).await.unwrap();
            slow.write_all(sent.as_bytes()).await.unwrap();
            // The end, or a reset in the middle of a request.
            let mut answer = Vec::new();
            let _ = slow.read_to_end(&mut answer).await;
            assert!(started.elapsed() >= LONGEST_HEAD, "{sent:?}");
            assert!(started.elapsed() < LONGEST_CONNECTION, "{sent:?}");
        }
        serving.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn for_whoever_is_one_too_many_the_oldest_connection_is_closed() {
        let (address, serving) = serving().await;
        let started = tokio::time::Instant::now();
        let mut idle = Vec::new();
        for _ in 0..MOST_CONNECTIONS {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        let mut last = TcpStream::connect(address).await.unwrap();
        assert_eq!(idle[0].read(&mut [0]).await.unwrap_or(0), 0);
        last.write_all(b"GET /nowhere HTTP/1.0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        last.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.0 404"), "{answer}");
        assert!(started.elapsed() < LONGEST_HEAD, "nobody had to wait for a time-out");
        serving.abort();
    }

    #[tokio::test]
    async fn a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let address: AdminAddress = format!("unix:{}", path.display()).parse().unwrap();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let listener = Listener::bind(&address).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, SOCKET_MODE);
        assert!(format!("{:#}", Listener::bind(&address).await.err().unwrap()).contains("somebody else"));
        drop(listener);
        assert!(!path.exists());
        std::fs::write(&path, "no socket").unwrap();
        assert!(Listener::bind(&address).await.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"no socket");
    }
}
