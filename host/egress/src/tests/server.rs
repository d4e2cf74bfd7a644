//! A server that says exactly what a test wants it to say, byte by byte, over TCP or TLS.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::connector::Transport;

/// What the server does once it has written an answer.
#[derive(Clone, Copy)]
pub enum Then {
    /// Waits for the next request.
    Next,
    /// Closes, with what TLS has to say at the end.
    Close,
    /// Drops the connection without a word.
    Drop,
    /// Does nothing more, and stays.
    Stall,
    /// Writes one more byte now and then, forever.
    Trickle,
    /// Becomes a tunnel to this address.
    Tunnel(SocketAddr),
}

pub struct Server {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: mpsc::UnboundedReceiver<String>,
}

impl Server {
    /// Starts a server whose answer to a request (its head, and its body if it has a content-length) is what
    /// `answer` says.
    pub async fn start(answer: impl Fn(&str) -> (Vec<u8>, Then) + Send + Sync + 'static) -> Self {
        Self::start_with(None, answer).await
    }

    /// The same, over TLS if there is an acceptor.
    pub async fn start_with(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&str) -> (Vec<u8>, Then) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (sender, requests) = mpsc::unbounded_channel();
        let (counter, answer) = (Arc::clone(&connections), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let (tls, answer, sender) = (tls.clone(), Arc::clone(&answer), sender.clone());
                tokio::spawn(async move {
                    let mut stream: Box<dyn Transport> = match tls {
                        None => Box::new(stream),
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                    };
                    // An error is the client's leaving, which the test sees on its own side.
                    let _ = serve(&mut stream, &*answer, &sender).await;
                });
            }
        });
        Self { address, connections, requests }
    }

    /// A server that gives the same answer always and then does the same.
    pub async fn always(answer: impl Into<Vec<u8>>, then: Then) -> Self {
        let answer = answer.into();
        Self::start(move |_| (answer.clone(), then)).await
    }

    pub fn http(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn https(&self) -> String {
        format!("https://{}", self.address)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The next request that came in, in lower case.
    pub async fn request(&mut self) -> String {
        self.requests.recv().await.unwrap().to_lowercase()
    }
}

async fn serve(
    stream: &mut Box<dyn Transport>,
    answer: &(dyn Fn(&str) -> (Vec<u8>, Then) + Send + Sync),
    requests: &mpsc::UnboundedSender<String>,
) -> std::io::Result<()> {
    loop {
        let Some(request) = read_request(stream).await? else { return Ok(()) };
        let (bytes, then) = answer(&request);
        let _ = requests.send(request);
        stream.write_all(&bytes).await?;
        stream.flush().await?;
        match then {
            Then::Next => {}
            Then::Close => return stream.shutdown().await,
            Then::Drop => return Ok(()),
            Then::Stall => std::future::pending().await,
            Then::Trickle => loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                stream.write_all(b"x").await?;
                stream.flush().await?;
            },
            Then::Tunnel(address) => {
                let mut upstream = TcpStream::connect(address).await?;
                return tokio::io::copy_bidirectional(stream, &mut upstream).await.map(drop);
            }
        }
    }
}

async fn read_request(stream: &mut Box<dyn Transport>) -> std::io::Result<Option<String>> {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_lowercase()
                .split_once("content-length: ")
                .map_or(0, |(_, rest)| rest.lines().next().unwrap_or_default().parse().unwrap());
            if body.len() >= length {
                return Ok(Some(text));
            }
        }
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(None);
        }
    }
}

/// An answer with a content-length.
pub fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    with_headers("", body)
}

/// The same with more headers, each ended by `\r\n`.
pub fn with_headers(headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    with_status(200, headers, body)
}

/// The same with another status.
pub fn with_status(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status} Status\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A certificate authority, with its certificate in a file.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub ca_file: NamedTempFile,
}

impl Authority {
    pub fn new() -> Self {
        Self::signed_by(None)
    }

    /// An authority whose certificate this one has signed.
    pub fn intermediate(&self) -> Self {
        Self::signed_by(Some(&self.issuer))
    }

    fn signed_by(issuer: Option<&Issuer<'static, KeyPair>>) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("test authority {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = match issuer {
            None => params.self_signed(&key),
            Some(issuer) => params.signed_by(&key, issuer),
        };
        let mut ca_file = NamedTempFile::new().unwrap();
        ca_file.write_all(certificate.unwrap().pem().as_bytes()).unwrap();
        Self { issuer: Issuer::new(params, key), ca_file }
    }

    /// An acceptor with a certificate for this name, after `change` has had its way with it.
    pub fn acceptor(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}
