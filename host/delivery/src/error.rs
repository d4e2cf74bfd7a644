//! Why events were not taken or not delivered, in words that an operator can act on.
//!
//! Behind one "broken pipe" are an expired certificate, a closed port, an idle balancer and a full disk, each
//! with another remedy. So the [`Cause`] is found where the facts are known, and each has its own message and
//! remedy.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use collector_net::{AddressRange, ConnectProblem};
use rustls::{AlertDescription, CertificateError, Error as TlsProtocolError, OtherError};

use crate::tls::ChainFault;

/// Why a sender did not take or did not deliver events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// One event can't be sent as it is. None of its list was taken; those before it are not affected.
    #[error(
        "output \"{output}\": event {index} of the list is refused, for its body has a line break and would arrive as two \
         broken events; write it as one line of JSON"
    )]
    EventRefused {
        /// The output's name in the configuration.
        output: Arc<str>,
        /// Which event of the list, from 0.
        index: usize,
    },
    /// An event is larger than the output takes, and could not be put aside either. None of its list was
    /// taken.
    #[error(
        "output \"{output}\": an event is larger than \"max_event_in_bytes\", and could not be written to {file}: {reason}; \
         check permissions and free space there",
        file = .file.display()
    )]
    NotPutAside {
        /// The output's name in the configuration.
        output: Arc<str>,
        /// The file of dead letters.
        file: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// Records can't become events, and could not be kept either.
    #[error(
        "records that can't become events could not be written to {file}: {reason}; check permissions and free space there",
        file = .file.display()
    )]
    RecordNotKept {
        /// The file of dead letters.
        file: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// The receiver could not be reached or did not confirm, and the retries are used up. What was sent since
    /// the last successful flush is no longer kept: it may or may not have arrived, and must be sent again.
    #[error("output \"{output}\" at {address}: the events are not confirmed: {cause}; {remedy}", remedy = .cause.remedy())]
    Unconfirmed {
        /// The output's name in the configuration.
        output: Arc<str>,
        /// Where it was sending to.
        address: Arc<str>,
        /// The last thing that went wrong.
        cause: Cause,
    },
    /// The events were given up by `discard`, or their sender was shut down, before they were confirmed.
    #[error("output \"{output}\": the events were discarded before they were confirmed; they must be sent again")]
    Discarded {
        /// The output's name in the configuration.
        output: Arc<str>,
    },
}

/// What went wrong on the way to the receiver. [`Cause::remedy`] says what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The host name has no address.
    #[error("the host name can't be resolved ({reason})")]
    NameNotResolved {
        /// What the resolver said.
        reason: String,
    },
    /// The receiver is at an address that the operator's policy does not allow.
    #[error("the host name leads to {address}, a {range} address, which the policy of this host's operator refuses")]
    AddressRefused {
        /// The address.
        address: IpAddr,
        /// What it is.
        range: AddressRange,
    },
    /// Nothing listens on the port.
    #[error("the connection was refused")]
    Refused,
    /// No route to the receiver.
    #[error("the receiver can't be reached ({reason})")]
    Unreachable {
        /// What the operating system said.
        reason: String,
    },
    /// No connection within the time allowed.
    #[error("no connection within {} s", .after.as_secs_f64())]
    ConnectTimeout {
        /// The time allowed.
        after: Duration,
    },
    /// Connected, but the TLS handshake was not over within the time allowed.
    #[error("connected, but the TLS handshake was not over within {} s", .after.as_secs_f64())]
    HandshakeTimeout {
        /// The time allowed for connection and handshake together.
        after: Duration,
    },
    /// Connected, but the other side hung up in the handshake.
    #[error("the receiver closed the connection during the TLS handshake")]
    HandshakeCut,
    /// What answers does not speak TLS.
    #[error("what answers there does not speak TLS")]
    NotTls,
    /// Nobody in the chain file has signed the receiver's certificate.
    #[error("the receiver's certificate is not signed by an authority in the chain file")]
    ServerCertificateUnknownIssuer,
    /// The receiver's certificate is out of date, or not yet valid.
    #[error("the receiver's certificate is not valid at this time ({reason})")]
    ServerCertificateOutOfDate {
        /// What the certificate says.
        reason: String,
    },
    /// The receiver's certificate is for other names.
    #[error("the receiver's certificate is for another name ({reason})")]
    ServerCertificateWrongName {
        /// What the certificate says.
        reason: String,
    },
    /// A certificate between the receiver's and the authority's is out of date, or not yet valid.
    #[error("the receiver's certificate chain is not valid at this time ({reason})")]
    ServerChainOutOfDate {
        /// Which certificate, and since when.
        reason: String,
    },
    /// The chain proves nothing: a signature made with SHA-1, or an RSA key of less than 2048 bits.
    #[error("the receiver's certificate chain is too weak to be trusted ({weakness})")]
    ServerCertificateWeak {
        /// Which certificate, and why.
        weakness: String,
    },
    /// The receiver's certificate is bad in another way.
    #[error("the receiver's certificate can't be accepted ({reason})")]
    ServerCertificateUnacceptable {
        /// What is wrong with it.
        reason: String,
    },
    /// The receiver refused this collector's certificate. Under TLS 1.3 that shows only after events were
    /// written.
    #[error("the receiver refused the client certificate (TLS alert: {alert})")]
    ClientCertificateRefused {
        /// The alert, as TLS names it.
        alert: String,
    },
    /// The receiver refused this collector's certificate, or hung up, and the certificate is out of date.
    #[error("the client certificate is refused; it is not valid at this time ({reason})")]
    ClientCertificateOutOfDate {
        /// Since when, or what the receiver says.
        reason: String,
    },
    /// A plain connection was answered with TLS.
    #[error("what answers there speaks TLS, and this output sends plain text")]
    TlsExpected,
    /// A plain connection was answered, which receivers of events never do.
    #[error("what answers there does not take events: it said {answer:?}")]
    NotAReceiver {
        /// How the answer begins.
        answer: String,
    },
    /// Another failure of TLS.
    #[error("TLS failed ({reason})")]
    Tls {
        /// What happened.
        reason: String,
    },
    /// The connection was reset.
    #[error("the connection was reset before all events were confirmed")]
    Reset,
    /// The receiver ended the connection before it can have read everything.
    #[error("the receiver closed the connection before it had read all events")]
    ClosedEarly,
    /// The receiver reads nothing more.
    #[error("the receiver has read nothing for {} s", .after.as_secs_f64())]
    SendingTimeout {
        /// The time allowed.
        after: Duration,
    },
    /// All is sent, but the receiver did not end the connection, which is how it confirms.
    #[error("all events are sent, but the receiver did not close the connection within {} s", .after.as_secs_f64())]
    ConfirmTimeout {
        /// The time allowed.
        after: Duration,
    },
    /// Standard output is a pipe that nobody reads any more.
    #[error("nobody reads the pipe any more")]
    PipeClosed,
    /// No space is left where standard output goes to.
    #[error("no space is left on the disk")]
    DiskFull,
    /// Another failure that the operating system reports.
    #[error("{reason}")]
    Other {
        /// What it said.
        reason: String,
    },
}

impl Cause {
    /// What the operator can do about it, in words that continue a sentence.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NameNotResolved { .. } => "check the output's \"address\" and this machine's DNS",
            Self::AddressRefused { .. } => {
                "name a receiver with a public address, or ask the operator, who can allow private ones in host.yaml"
            }
            Self::Refused => "check the output's \"address\" and \"port\", and that the receiver runs",
            Self::Unreachable { .. } => "check this machine's network and routes",
            Self::ConnectTimeout { .. } => "check that firewalls let this machine out to that address and port",
            Self::HandshakeTimeout { .. } => {
                "check that \"port\" is the receiver's TLS port and that no proxy is in between"
            }
            Self::HandshakeCut => {
                "check that \"port\" is the receiver's TLS port and that \"cert\" and \"key\" are this Devo domain's"
            }
            Self::NotTls => "check that \"port\" is the receiver's TLS port and that no proxy is in between",
            Self::ServerCertificateUnknownIssuer => {
                "check that \"chain\" is the chain file of this Devo region and that no proxy opens the TLS connection"
            }
            Self::ServerCertificateOutOfDate { .. } => "check this machine's clock, then ask the receiver's operator",
            Self::ServerChainOutOfDate { .. } => {
                "check this machine's clock, then ask the receiver's operator for a current chain"
            }
            Self::ServerCertificateWrongName { .. } => {
                "write the receiver's own name as the output's \"address\", or, for a relay of your own that has no \
                 such name, set \"verify_hostname\" to false"
            }
            Self::ServerCertificateWeak { .. } => {
                "ask the receiver's operator for certificates with SHA-256 and RSA of 2048 bits or more, and download \
                 the chain file again"
            }
            Self::ServerCertificateUnacceptable { .. } => "ask the receiver's operator for a current certificate",
            Self::ClientCertificateRefused { .. } => {
                "check that \"cert\" and \"key\" are this Devo domain's, and not expired or revoked; \
                 download new ones if so"
            }
            Self::ClientCertificateOutOfDate { .. } => {
                "download new files for \"cert\" and \"key\" from Devo, or correct this machine's clock"
            }
            Self::TlsExpected => {
                "choose the output type \"relay\" or \"devo_platform\", or the receiver's plain TCP port"
            }
            Self::NotAReceiver { .. } => "check the output's \"address\" and \"port\"",
            Self::Tls { .. } => "check that the receiver takes TLS 1.2 or 1.3 and that no proxy is in between",
            Self::Reset => {
                "they will be sent again; if it goes on, check \"cert\" and \"key\", and firewalls that cut connections"
            }
            Self::ClosedEarly => {
                "they will be sent again; if it goes on, check the receiver's health and idle time-out"
            }
            Self::SendingTimeout { .. } => "check the receiver's load and the network, or raise \"sending_timeout\"",
            Self::ConfirmTimeout { .. } => {
                "check the receiver's load and the network, or raise \"confirm_timeout_in_seconds\""
            }
            Self::PipeClosed => "restart the program that reads the collector's standard output",
            Self::DiskFull => "make room where the collector's standard output is stored",
            Self::Other { .. } => "they will be sent again; if it goes on, check this machine's network",
        }
    }

    /// Whether another try can't help until somebody mends a file, a setting or the receiver.
    pub(crate) fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::ServerCertificateUnknownIssuer
                | Self::ServerCertificateOutOfDate { .. }
                | Self::ServerCertificateWrongName { .. }
                | Self::ServerChainOutOfDate { .. }
                | Self::ServerCertificateWeak { .. }
                | Self::ServerCertificateUnacceptable { .. }
                | Self::ClientCertificateRefused { .. }
                | Self::ClientCertificateOutOfDate { .. }
                | Self::NotTls
                | Self::TlsExpected
                | Self::NotAReceiver { .. }
                | Self::AddressRefused { .. }
        )
    }

    /// What an I/O error of a connection, or of TLS on it, means. TLS errors come wrapped in I/O errors.
    pub(crate) fn of(error: &io::Error) -> Self {
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsProtocolError>()) {
            return Self::of_tls(tls);
        }
        match ConnectProblem::from(error) {
            ConnectProblem::Refused => Self::Refused,
            ConnectProblem::Unreachable => Self::Unreachable { reason: error.to_string() },
            ConnectProblem::Reset => Self::Reset,
            ConnectProblem::Other(io::ErrorKind::UnexpectedEof | io::ErrorKind::WriteZero) => Self::ClosedEarly,
            ConnectProblem::TimedOut | ConnectProblem::Other(_) => Self::Other { reason: error.to_string() },
        }
    }

    /// What it means that a plain connection is answered.
    pub(crate) fn of_answer(answer: &[u8]) -> Self {
        // The head of a TLS record that carries an alert: its type, and the version, of which the first byte
        // is always 3.
        const TLS_ALERT: [u8; 2] = [21, 3];
        if answer.starts_with(&TLS_ALERT) {
            return Self::TlsExpected;
        }
        let first_line = answer.split(|&byte| byte == b'\n' || byte == b'\r').next().unwrap_or_default();
        Self::NotAReceiver { answer: String::from_utf8_lossy(&first_line[..first_line.len().min(80)]).into_owned() }
    }

    fn of_tls(error: &TlsProtocolError) -> Self {
        match error {
            TlsProtocolError::AlertReceived(alert) => Self::of_alert(*alert),
            TlsProtocolError::InvalidCertificate(reason) => Self::of_server_certificate(reason),
            TlsProtocolError::InvalidMessage(_) => Self::NotTls,
            other => Self::Tls { reason: excerpt(other) },
        }
    }

    fn of_alert(alert: AlertDescription) -> Self {
        use AlertDescription as Alert;
        let name = format!("{alert:?}");
        match alert {
            Alert::CertificateExpired => Self::ClientCertificateOutOfDate { reason: format!("TLS alert: {name}") },
            // What servers answer to a certificate that they don't take: OpenSSL, Java and rustls each choose
            // differently.
            Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateUnknown
            | Alert::CertificateRequired
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError => Self::ClientCertificateRefused { alert: name },
            _ => Self::Tls { reason: format!("the receiver sent the alert {name}") },
        }
    }

    fn of_server_certificate(error: &CertificateError) -> Self {
        let reason = excerpt(error);
        match error {
            CertificateError::UnknownIssuer => Self::ServerCertificateUnknownIssuer,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::ServerCertificateOutOfDate { reason },
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::ServerCertificateWrongName { reason }
            }
            CertificateError::Other(OtherError(other)) => match other.downcast_ref::<ChainFault>() {
                Some(fault @ ChainFault::Weak(_)) => Self::ServerCertificateWeak { weakness: fault.to_string() },
                Some(fault @ ChainFault::ReceiverOutOfDate { .. }) => {
                    Self::ServerCertificateOutOfDate { reason: fault.to_string() }
                }
                Some(fault @ ChainFault::AuthorityOutOfDate { .. }) => {
                    Self::ServerChainOutOfDate { reason: fault.to_string() }
                }
                None => Self::ServerCertificateUnacceptable { reason },
            },
            _ => Self::ServerCertificateUnacceptable { reason },
        }
    }
}

/// How much is told of what the other side, or a file, says of itself: a certificate has room for a thousand
/// names, all of which the TLS library repeats.
const LONGEST_EXCERPT: usize = 200;

/// The beginning of a text that somebody else may have made long.
pub(crate) fn excerpt(text: &impl fmt::Display) -> String {
    let text = text.to_string();
    match text.char_indices().nth(LONGEST_EXCERPT) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
