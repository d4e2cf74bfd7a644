//! Who is taken for the receiver: the holder of a certificate that an authority in the chain file has signed
//! and that bears the receiver's name.
//!
//! The decision is that of the TLS library, by its own functions. This verifier exists for what the library
//! leaves out: to say in words of its own what is wrong with a chain ("bad signature" is all that is said of
//! an RSA key of 1024 bits, which the original's lowered security level lets pass), and to leave the name out
//! where the operator asks for it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

use super::certificate::{Certificate, OutOfDate, Weakness, weakness};

/// Decides whether the other side of a connection is the receiver.
#[derive(Clone, Debug)]
pub(super) struct Verifier {
    roots: Arc<RootCertStore>,
    /// What the authorities say of themselves, of those that have a key too weak to be believed.
    weak_roots: Arc<[Certificate]>,
    algorithms: WebPkiSupportedAlgorithms,
    checks_name: bool,
}

/// What is wrong with a receiver's certificates where the TLS library has no word for it.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ChainFault {
    #[error("{0}")]
    Weak(Weakness),
    #[error("{reason}")]
    ReceiverOutOfDate { reason: OutOfDate },
    #[error("{subject:?}: {reason}")]
    AuthorityOutOfDate { subject: String, reason: OutOfDate },
}

impl Verifier {
    /// Trusts these authorities and nobody else.
    pub(super) fn new(
        roots: RootCertStore,
        authorities: Vec<Certificate>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let weak_roots = authorities.into_iter().filter(Certificate::has_weak_key).collect();
        Self { roots: Arc::new(roots), weak_roots, algorithms, checks_name: true }
    }

    /// Takes the holder of any certificate of the chain, whatever its name.
    pub(super) fn without_name(&self) -> Self {
        Self { checks_name: false, ..self.clone() }
    }

    /// The error in better words if there are any.
    fn explained(&self, error: Error, presented: &[&CertificateDer<'_>], now: DateTime<Utc>) -> Error {
        let Error::InvalidCertificate(reason) = &error else { return error };
        let read = || presented.iter().filter_map(|der| Certificate::read(der)).collect::<Vec<_>>();
        #[allow(deprecated, reason = "the older form of the same finding")]
        let fault = match reason {
            CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithm
            | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                weakness(&read(), &self.weak_roots).map(ChainFault::Weak)
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => {
                read().iter().enumerate().find_map(|(index, certificate)| {
                    let reason = certificate.validity().fault_at(now)?;
                    Some(match index {
                        0 => ChainFault::ReceiverOutOfDate { reason },
                        _ => ChainFault::AuthorityOutOfDate { subject: certificate.subject().to_owned(), reason },
                    })
                })
            }
            _ => None,
        };
        match fault {
            Some(fault) => CertificateError::Other(OtherError(Arc::new(fault))).into(),
            None => error,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let receiver = ParsedCertificate::try_from(end_entity)?;
        let signed =
            verify_server_cert_signed_by_trust_anchor(&receiver, &self.roots, intermediates, now, self.algorithms.all);
        signed.map_err(|error| {
            let presented: Vec<_> = std::iter::once(end_entity).chain(intermediates).collect();
            let now = i64::try_from(now.as_secs()).ok().and_then(|now| DateTime::from_timestamp(now, 0));
            self.explained(error, &presented, now.unwrap_or_default())
        })?;
        if self.checks_name {
            verify_server_name(&receiver, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
            .map_err(|error| self.explained(error, &[cert], Utc::now()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
            .map_err(|error| self.explained(error, &[cert], Utc::now()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
