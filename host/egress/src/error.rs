//! What can go wrong on the way to the API and back, each with where it happened and a remedy for the
//! operator. No text holds a header, a query or a password. Turning one into an error code or a log line is
//! left to the callers.

use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use collector_net::{AddressRange, CaFileProblem, ConnectProblem, TrustError};
use http::Method;
use thiserror::Error;

use super::origin::Origin;

/// A request that was not sent, or an answer that did not arrive whole. It can be cloned, because a
/// connector's error comes out of the HTTP client only by reference.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EgressError {
    /// The component asked for something outside its tenant's origin.
    #[error(
        "a request to {requested} was refused: this input may only reach {allowed}, the origin of its base_url; change base_url if the API has moved"
    )]
    OriginRefused {
        /// Scheme, host and port that were asked for; no more, as the rest is the component's.
        requested: String,
        /// The only origin allowed.
        allowed: Origin,
    },
    /// The component asked for a tunnel, which would lead around every check made here.
    #[error("a {method} request to {origin} was refused: a component may not open tunnels; use another component")]
    MethodRefused {
        /// The method.
        method: Method,
        /// The tenant's origin.
        origin: Origin,
    },
    /// The host is, or resolves to, an address that is not allowed.
    #[error("{host} is at {address}, a {range} address, which is refused: {}", address_remedy(*.range))]
    AddressRefused {
        /// The host of `base_url`.
        host: String,
        /// The address it resolved to.
        address: IpAddr,
        /// The range that address belongs to.
        range: AddressRange,
    },
    /// The host name did not resolve.
    #[error(
        "the host name {host} could not be resolved: {problem}; check the name and the DNS servers of this machine"
    )]
    Dns {
        /// The name.
        host: String,
        /// What happened.
        problem: DnsProblem,
    },
    /// No usable connection in time.
    #[error(
        "no connection to {target} within {after:?}: it was still {stage}; check the network, firewalls and whether a proxy is needed (proxy_url)"
    )]
    ConnectTimeout {
        /// What was connected to: an origin or a proxy.
        target: String,
        /// What was being waited for.
        stage: ConnectStage,
        /// The time-out for all stages together.
        after: Duration,
    },
    /// The TCP connection could not be made.
    #[error("no connection to {target}: {problem}; check that it is up and that firewalls let this machine reach it")]
    Connect {
        /// What was connected to: an origin or a proxy.
        target: String,
        /// What happened.
        problem: ConnectProblem,
    },
    /// The TLS handshake failed.
    #[error("no secure connection to {target}: {problem}")]
    Tls {
        /// What was connected to: an origin or a proxy.
        target: String,
        /// What was wrong.
        problem: TlsProblem,
    },
    /// The proxy answered, but did not let the connection through.
    #[error("the proxy {proxy} did not connect to the API: {problem}")]
    Proxy {
        /// Scheme, host and port of the proxy.
        proxy: String,
        /// What happened.
        problem: ProxyProblem,
    },
    /// The proxy's address makes no sense. The value is not repeated: it may hold a password.
    #[error(
        "{setting} is not the URL of an HTTP proxy: write it as http://host:port or http://user:password@host:port"
    )]
    ProxySetting {
        /// The setting or environment variable.
        setting: &'static str,
    },
    /// The file of extra root certificates is of no use.
    #[error("ca_file {path}: {problem}", path = .path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: CaFileProblem,
    },
    /// The machine has no root certificates and none are configured.
    #[error(
        "no root certificates were found on this machine: install its ca-certificates package, or set ca_file or SSL_CERT_FILE"
    )]
    NoRootCertificates,
    /// The token can't be sent as a header.
    #[error("the token can't be sent: {problem}")]
    Credential {
        /// What is wrong with it.
        problem: CredentialProblem,
    },
    /// Connected, but no answer.
    #[error(
        "{origin} did not begin to answer within {after:?}; the API is slow or overloaded, the next pull tries again"
    )]
    HeadersTimeout {
        /// The API.
        origin: Origin,
        /// The time-out.
        after: Duration,
    },
    /// The answer began and did not end.
    #[error("the answer of {origin} stopped: {wait} within {after:?}; the next pull tries again")]
    BodyTimeout {
        /// The API.
        origin: Origin,
        /// Which of the two time-outs it was.
        wait: BodyWait,
        /// The time-out.
        after: Duration,
    },
    /// The answer is larger than allowed.
    #[error(
        "the answer of {origin} is larger than {limit} bytes: ask for smaller pages (request.limit) or raise max_body_in_bytes"
    )]
    BodyTooLarge {
        /// The API.
        origin: Origin,
        /// The limit, in bytes after decompression.
        limit: u64,
    },
    /// The answer is compressed in a way that was not asked for.
    #[error(
        "the answer of {origin} has the Content-Encoding {encoding:?}, which was not asked for; gzip or none is understood, look at what stands in front of the API"
    )]
    Encoding {
        /// The API.
        origin: Origin,
        /// What the answer says.
        encoding: String,
    },
    /// The connection ended within the answer's body.
    #[error(
        "the answer of {origin} broke off after {received} bytes; nothing of it is used, the next pull tries again"
    )]
    Truncated {
        /// The API.
        origin: Origin,
        /// Bytes of the body that had arrived: as they were sent, or, of a gzip that stops too early, what
        /// came out of it.
        received: u64,
    },
    /// The connection ended before the answer began.
    #[error("{origin} closed the connection without an answer; the next pull tries again")]
    ConnectionLost {
        /// The API.
        origin: Origin,
    },
    /// The component did not finish its own request body.
    #[error("the body of the request to {origin} could not be read to its end; the component failed while writing it")]
    RequestBody {
        /// The API.
        origin: Origin,
    },
    /// Something that is no HTTP.
    #[error(
        "{origin} answered with something that is not valid HTTP: {detail}; check that base_url names the API itself"
    )]
    Protocol {
        /// The API.
        origin: Origin,
        /// What was wrong, in the words of the HTTP library or the decoder.
        detail: String,
    },
}

fn address_remedy(range: AddressRange) -> &'static str {
    if range == AddressRange::Denied {
        "the operator of this host denies its network (egress.deny_networks in host.yaml)"
    } else if range.is_allowed(true) {
        "set allow_private_addresses: true on the input if the API really is on this network"
    } else {
        "no server can be there; correct base_url or its DNS entry"
    }
}

/// Why a name gave no address.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DnsProblem {
    /// The resolver says no, or could not be asked.
    #[error("the resolver knows no such name, or could not be reached")]
    NotResolved,
    /// The name exists and has no address.
    #[error("it has no address")]
    NoAddress,
    /// No answer in time.
    #[error("the resolver did not answer within {0:?}")]
    Timeout(Duration),
}

/// What a connection was waiting for when its time was up.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ConnectStage {
    /// TCP.
    #[error("opening the TCP connection")]
    Tcp,
    /// The proxy's answer to CONNECT.
    #[error("waiting for the proxy's answer to CONNECT")]
    Tunnel,
    /// The TLS handshake.
    #[error("doing the TLS handshake")]
    Tls,
}

/// What the TLS handshake failed on.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TlsProblem {
    /// The certificate leads to no trusted root. A server that leaves out its intermediate certificate looks
    /// the same.
    #[error(
        "its certificate is signed by an issuer that this machine does not trust, or the server may not send its intermediate certificate; put the issuer's certificate, root or intermediate, into ca_file"
    )]
    UnknownIssuer,
    /// The certificate's time is over.
    #[error("its certificate has expired; the server's owner must renew it, unless the clock of this machine is wrong")]
    Expired,
    /// The certificate's time has not come.
    #[error("its certificate is not valid yet; check the clock of this machine")]
    NotValidYet,
    /// The certificate is for another host.
    #[error("its certificate is for another host name; use the name in the certificate in base_url")]
    WrongName,
    /// The certificate is revoked.
    #[error("its certificate has been revoked; the server's owner must replace it")]
    Revoked,
    /// The peer does not speak TLS.
    #[error("it does not speak TLS; check the scheme and the port of base_url or of the proxy")]
    NotTls,
    /// The peer hung up.
    #[error("it closed the connection during the TLS handshake; check the port, and firewalls that inspect TLS")]
    Closed,
    /// The peer refused, with the name of its alert.
    #[error("it refused the TLS handshake ({0}); it may want another TLS version or a client certificate")]
    Alert(String),
    /// Anything else, in the words of the TLS library.
    #[error("{0}")]
    Other(String),
}

impl From<&rustls::Error> for TlsProblem {
    fn from(error: &rustls::Error) -> Self {
        use rustls::CertificateError;
        match error {
            rustls::Error::InvalidCertificate(problem) => match problem {
                CertificateError::UnknownIssuer => Self::UnknownIssuer,
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotValidYet,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
                CertificateError::Revoked => Self::Revoked,
                _ => Self::other(error),
            },
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            rustls::Error::AlertReceived(alert) => Self::Alert(format!("{alert:?}")),
            _ => Self::other(error),
        }
    }
}

impl TlsProblem {
    /// Not all of it: the library repeats every purpose that a certificate names, and there may be thousands.
    fn other(error: &rustls::Error) -> Self {
        const LONGEST: usize = 200;
        Self::Other(error.to_string().chars().take(LONGEST).collect())
    }
}

/// Why a proxy did not help.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ProxyProblem {
    /// It answered CONNECT with an error.
    #[error("it answered CONNECT with status {status}; {}", proxy_remedy(*.status))]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// It does not forward a plain request before it knows who asks.
    #[error("it wants a user and a password (status 407); {}", proxy_remedy(407))]
    Unauthenticated,
    /// It hung up before it answered CONNECT.
    #[error("it closed the connection; check that the port is the proxy's")]
    Closed,
    /// It answered CONNECT with something that is no HTTP.
    #[error("its answer to CONNECT is not HTTP; check that the port is the proxy's")]
    Malformed,
}

fn proxy_remedy(status: u16) -> &'static str {
    match status {
        407 => "put those that it knows into proxy_url, as http://user:password@host:port",
        403 => "its rules must allow the API's host",
        _ => "look into the proxy's log",
    }
}

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CredentialProblem {
    /// A header can't carry it.
    #[error("token or auth_prefix holds a line break, a control character or a character outside ASCII; paste it anew")]
    NotAHeaderValue,
    /// There is nothing in it.
    #[error("it is empty; set the token of the input")]
    Empty,
}

impl From<TrustError> for EgressError {
    fn from(error: TrustError) -> Self {
        match error {
            TrustError::CaFile { path, problem } => Self::CaFile { path, problem },
            TrustError::NoRootCertificates => Self::NoRootCertificates,
        }
    }
}

/// Which wait for the body was too long.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BodyWait {
    /// Between two pieces.
    #[error("nothing more of it arrived")]
    Idle,
    /// For all pieces together: a server that sends a byte now and then.
    #[error("it was not complete")]
    Whole,
}

impl EgressError {
    /// Finds out what an error of the pooled client was about. Our own connector's errors travel inside it.
    pub(super) fn from_client_error(error: &hyper_util::client::legacy::Error, origin: &Origin) -> Self {
        Self::from_chain(error, origin).unwrap_or_else(|| Self::ConnectionLost { origin: origin.clone() })
    }

    /// The same for an error of the answer's body, of which `received` bytes had come.
    pub(super) fn from_body_error(error: &hyper::Error, origin: &Origin, received: u64) -> Self {
        match Self::from_chain(error, origin) {
            // The reason does not matter: what had come is not the whole.
            None | Some(Self::ConnectionLost { .. } | Self::Connect { .. }) => {
                Self::Truncated { origin: origin.clone(), received }
            }
            Some(other) => other,
        }
    }

    /// Walks the sources of an error down to the first that says something.
    fn from_chain(error: &(dyn StdError + 'static), origin: &Origin) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(ours) = error.downcast_ref::<Self>() {
                return Some(ours.clone());
            }
            if let Some(error) = error.downcast_ref::<hyper::Error>() {
                if error.is_user() {
                    return Some(Self::RequestBody { origin: origin.clone() });
                }
                if error.is_parse() {
                    return Some(Self::Protocol { origin: origin.clone(), detail: error.to_string() });
                }
                if error.is_incomplete_message() {
                    return Some(Self::ConnectionLost { origin: origin.clone() });
                }
            }
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return Some(Self::from_io(error, origin));
            }
            next = error.source();
        }
        None
    }

    fn from_io(error: &io::Error, origin: &Origin) -> Self {
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::Tls { target: origin.to_string(), problem: error.into() };
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::ConnectionLost { origin: origin.clone() },
            // How the HTTP library reports a broken chunk.
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                Self::Protocol { origin: origin.clone(), detail: error.to_string() }
            }
            _ => Self::Connect { target: origin.to_string(), problem: error.into() },
        }
    }
}
