//! Makes one connection to the tenant's origin: to an address that policy permits, through the proxy if there
//! is one, and with TLS. All of it within one time-out. Pooling and HTTP are left to the client.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use collector_files::Threads;
use collector_net::{
    AddressPolicy, ConnectError, ConnectProblem, DialError, LookupError, Peer, RefusedAddress, connect, permitted,
};
use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::error::{ConnectStage, DnsProblem, EgressError, ProxyProblem, TlsProblem};
use super::origin::{Origin, Scheme};
use super::proxy::Proxy;

/// Longest answer to CONNECT that is read. A status line and some headers; proxies that explain themselves in
/// HTML do so after the headers, which nobody reads here.
pub(super) const LONGEST_TUNNEL_ANSWER: usize = 16 * 1024;

/// Connects to one origin, whatever URI the HTTP client asks for: even a fault in the check of the origin
/// could not lead a tenant's request, and its token, to another host.
#[derive(Clone)]
pub(super) struct Connector(Arc<Target>);

pub(super) struct Target {
    pub(super) origin: Origin,
    pub(super) proxy: Option<Proxy>,
    /// Present if the origin or the proxy is spoken to over TLS.
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) addresses: AddressPolicy,
    /// On which names are looked up.
    pub(super) threads: Threads,
    /// For the look-up, TCP, the proxy and TLS together.
    pub(super) connect_timeout: Duration,
}

impl Connector {
    pub(super) fn new(target: Target) -> Self {
        Self(Arc::new(target))
    }

    /// The proxy that forwards plain requests, and answers in place of the API what it does not forward.
    pub(super) fn forwarding_proxy(&self) -> Option<&Proxy> {
        let Target { origin, proxy, .. } = &*self.0;
        proxy.as_ref().filter(|proxy| proxy.forwards(origin))
    }

    /// What it wants to see on each of them.
    pub(super) fn forwarding_authorization(&self) -> Option<&HeaderValue> {
        self.forwarding_proxy()?.authorization.as_ref()
    }
}

impl Service<Uri> for Connector {
    type Response = ApiConnection;
    type Error = EgressError;
    type Future = Pin<Box<dyn Future<Output = Result<ApiConnection, EgressError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), EgressError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let target = Arc::clone(&self.0);
        Box::pin(async move { target.connect().await })
    }
}

impl Target {
    async fn connect(&self) -> Result<ApiConnection, EgressError> {
        let deadline = Instant::now() + self.connect_timeout;
        let origin_name = self.origin.to_string();
        let (transport, forwarded) = match &self.proxy {
            None => {
                let (host, port) = (self.origin.host(), self.origin.port());
                let tcp = self.dial(host, port, &self.addresses, &origin_name, deadline).await?;
                (Box::new(tcp) as Box<dyn Transport>, false)
            }
            // Who may name a proxy may name one in a private network, but in none that is denied. The proxy
            // resolves the API's name, out of our sight: its own rules must keep names from leading inside.
            // Only an origin that is written as an address can be checked here.
            Some(proxy) => {
                if let Some(address) = self.origin.literal_address() {
                    let refused = permitted(vec![SocketAddr::new(address, self.origin.port())], &self.addresses).err();
                    refused.map_or(Ok(()), |refused| Err(address_refused(self.origin.host(), refused)))?;
                }
                let transport = self.dial_proxy(proxy, deadline).await?;
                if proxy.forwards(&self.origin) {
                    (transport, true)
                } else {
                    (self.tunnel(proxy, transport, deadline).await?, false)
                }
            }
        };
        let transport = match self.origin.scheme() {
            Scheme::Http => transport,
            Scheme::Https => self.secure(transport, self.origin.host(), &origin_name, deadline).await?,
        };
        Ok(ApiConnection { io: TokioIo::new(transport), forwarded })
    }

    async fn dial_proxy(&self, proxy: &Proxy, deadline: Instant) -> Result<Box<dyn Transport>, EgressError> {
        let name = format!("the proxy {proxy}");
        let tcp =
            Box::new(self.dial(&proxy.host, proxy.port, &proxy.addresses(&self.addresses), &name, deadline).await?);
        match proxy.scheme {
            Scheme::Http => Ok(tcp),
            Scheme::Https => self.secure(tcp, &proxy.host, &name, deadline).await,
        }
    }

    async fn dial(
        &self,
        host: &str,
        port: u16,
        addresses: &AddressPolicy,
        name: &str,
        deadline: Instant,
    ) -> Result<TcpStream, EgressError> {
        let peer = Peer { host, port, addresses, threads: &self.threads };
        let unresolved = |problem| EgressError::Dns { host: host.to_owned(), problem };
        connect(&peer, deadline).await.map_err(|error| match error {
            ConnectError::LookUp(LookupError::Failed(_)) => unresolved(DnsProblem::NotResolved),
            ConnectError::LookUp(LookupError::NoAddress) => unresolved(DnsProblem::NoAddress),
            ConnectError::LookUp(LookupError::TimedOut) => unresolved(DnsProblem::Timeout(self.connect_timeout)),
            ConnectError::Refused(refused) => address_refused(host, refused),
            ConnectError::Dial(DialError::Failed(error)) => {
                EgressError::Connect { target: name.to_owned(), problem: (&error).into() }
            }
            ConnectError::Dial(DialError::TimedOut) => EgressError::ConnectTimeout {
                target: name.to_owned(),
                stage: ConnectStage::Tcp,
                after: self.connect_timeout,
            },
        })
    }

    /// Asks the proxy for a connection to the origin.
    async fn tunnel(
        &self,
        proxy: &Proxy,
        mut transport: Box<dyn Transport>,
        deadline: Instant,
    ) -> Result<Box<dyn Transport>, EgressError> {
        let authority = self.origin.authority();
        let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
        if let Some(authorization) = &proxy.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(authorization.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        let exchange = async {
            transport.write_all(&request).await?;
            transport.flush().await?;
            read_tunnel_answer(&mut transport).await
        };
        let outcome = timeout_at(deadline, exchange).await.map_err(|_| EgressError::ConnectTimeout {
            target: format!("the proxy {proxy}"),
            stage: ConnectStage::Tunnel,
            after: self.connect_timeout,
        })?;
        let problem = match outcome {
            Ok(Some(200..=299)) => return Ok(transport),
            Ok(Some(status)) => ProxyProblem::Refused { status },
            Ok(None) => ProxyProblem::Malformed,
            Err(_) => ProxyProblem::Closed,
        };
        Err(EgressError::Proxy { proxy: proxy.to_string(), problem })
    }

    async fn secure(
        &self,
        transport: Box<dyn Transport>,
        host: &str,
        name: &str,
        deadline: Instant,
    ) -> Result<Box<dyn Transport>, EgressError> {
        let failed = |problem| EgressError::Tls { target: name.to_owned(), problem };
        let server_name = ServerName::try_from(host.to_owned())
            .map_err(|_| failed(TlsProblem::Other(format!("\"{host}\" is not a valid host name"))))?;
        let Some(config) = &self.tls else {
            return Err(failed(TlsProblem::Other("TLS is not set up for this input".to_owned())));
        };
        let handshake = TlsConnector::from(Arc::clone(config)).connect(server_name, transport);
        match timeout_at(deadline, handshake).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(error) => failed(error.into()),
                None if error.kind() == io::ErrorKind::UnexpectedEof => failed(TlsProblem::Closed),
                None => EgressError::Connect { target: name.to_owned(), problem: ConnectProblem::from(&error) },
            }),
            Err(_) => Err(EgressError::ConnectTimeout {
                target: name.to_owned(),
                stage: ConnectStage::Tls,
                after: self.connect_timeout,
            }),
        }
    }
}

/// None of the addresses is permitted: the first one says why.
fn address_refused(host: &str, RefusedAddress { address, range }: RefusedAddress) -> EgressError {
    EgressError::AddressRefused { host: host.to_owned(), address, range }
}

/// The status of the proxy's answer, read up to the end of its headers; none if it is no HTTP. Bytes after
/// the headers of a success would belong to the API, which does not speak first in TLS: they are as malformed
/// as a broken status line.
pub(super) async fn read_tunnel_answer(transport: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<u16>> {
    let mut answer = Vec::with_capacity(1024);
    loop {
        if transport.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            let status = tunnel_status(&answer);
            let is_clean = answer.len() == end + 4 || !matches!(status, Some(200..=299));
            return Ok(status.filter(|_| is_clean));
        }
        if answer.len() > LONGEST_TUNNEL_ANSWER {
            return Ok(None);
        }
    }
}

fn tunnel_status(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.")?;
    let digits = std::str::from_utf8(rest.get(2..5)?).ok()?;
    let is_separated = rest.get(1) == Some(&b' ') && matches!(rest.get(5), Some(b' ' | b'\r'));
    digits.parse().ok().filter(|status| is_separated && (100..=599).contains(status))
}

/// Anything that carries bytes both ways: TCP, TLS over TCP, TLS over TLS to a proxy.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// An open connection to the API.
pub(super) struct ApiConnection {
    io: TokioIo<Box<dyn Transport>>,
    /// A proxy at the other end forwards the requests, and so wants the whole URL in each of them.
    forwarded: bool,
}

impl Connection for ApiConnection {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.forwarded)
    }
}

impl Read for ApiConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl Write for ApiConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, pieces)
    }
}
