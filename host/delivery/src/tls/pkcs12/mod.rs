//! Certificate and key from one PKCS#12 file (`.p12`, `.pfx`), which is how many operators are handed them.
//!
//! Read are the forms of today (AES, as OpenSSL 3 and Java write it) and of before (RC2 and triple DES).
//! `archive` opens the file.

mod archive;

use collector_files::RootedPath;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use secrecy::{ExposeSecret, SecretString};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{PKCS, TlsError, read};
use archive::{Archive, Fault};

/// How often all of a file together may have its password hashed. OpenSSL and Java ask for thousands, advice
/// for new files is 600,000, and three times that is what a check and two locks then take: seconds.
const MOST_ROUNDS: u64 = 3_000_000;

/// Most certificates that are shown in a handshake. Receivers take no longer paths; to look for one among
/// thousands of certificates that name each other would never end.
pub(super) const LONGEST_PATH: usize = 10;

/// A PKCS#12 file of one Devo domain, instead of certificate and key in PEM.
#[derive(Clone, Debug)]
pub struct Pkcs12File {
    /// The file.
    pub file: RootedPath,
    /// What it is locked with; empty if with nothing.
    pub password: SecretString,
}

/// What a PKCS#12 file holds.
pub(super) struct Bundle {
    /// The certificate of the key, and those that may be between it and an authority.
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    /// All certificates but that of the key.
    pub(super) authorities: Vec<CertificateDer<'static>>,
}

impl Pkcs12File {
    pub(super) fn open(&self) -> Result<Bundle, TlsError> {
        self.understand(&read(PKCS, &self.file)?, MOST_ROUNDS)
    }

    /// The same with what is in the file, and with a bound of its own.
    pub(super) fn understand(&self, content: &[u8], rounds: u64) -> Result<Bundle, TlsError> {
        let file = || self.file.path().to_owned();
        let Archive { mut keys, certificates } = archive::open(content, self.password.expose_secret(), rounds)
            .map_err(|fault| match fault {
                Fault::Password => TlsError::WrongPassword { file: file() },
                Fault::TooMuchWork => TlsError::TooMuchWork { file: file(), rounds },
                _ if content.starts_with(b"-----BEGIN") => {
                    TlsError::NotPkcs12 { file: file(), reason: "it is PEM".to_owned() }
                }
                Fault::Unsupported(reason) => TlsError::NotPkcs12 { file: file(), reason: reason.to_owned() },
                Fault::Damaged => TlsError::Damaged { role: PKCS, file: file() },
            })?;
        if keys.is_empty() {
            return Err(TlsError::NoKey { file: file() });
        }
        let key = keys.swap_remove(0);
        let mut named = Vec::with_capacity(certificates.len());
        for certificate in &certificates {
            let read = X509Certificate::from_der(&certificate.der);
            let (_, read) = read.map_err(|_| TlsError::Damaged { role: PKCS, file: file() })?;
            let (subject, issuer) = (read.tbs_certificate.subject.as_raw(), read.tbs_certificate.issuer.as_raw());
            named.push(Named { der: &certificate.der, subject, issuer });
        }
        // Bags are linked by an id. A file with one certificate needs none, and some have none.
        let linked = key.id.as_ref().and_then(|id| certificates.iter().position(|other| other.id.as_ref() == Some(id)));
        let no_certificate = || TlsError::NoCertificate { role: PKCS, file: file() };
        let own = named.get(linked.unwrap_or(0)).ok_or_else(no_certificate)?;
        Ok(Bundle {
            certificates: path(own, &named),
            key: PrivatePkcs8KeyDer::from(key.der.to_vec()).into(),
            authorities: named.iter().filter(|other| other.der != own.der).map(Named::owned).collect(),
        })
    }
}

/// A certificate, and what it says of itself and of who signed it.
struct Named<'a> {
    der: &'a [u8],
    subject: &'a [u8],
    issuer: &'a [u8],
}

impl Named<'_> {
    fn owned(&self) -> CertificateDer<'static> {
        self.der.to_vec().into()
    }
}

/// The certificate and those that sign it, in the order in which TLS shows them, without the authority at the
/// end, which the receiver has.
fn path(own: &Named<'_>, all: &[Named<'_>]) -> Vec<CertificateDer<'static>> {
    let mut path = vec![own];
    while let Some(last) = path.last()
        && path.len() < LONGEST_PATH
        && let Some(issuer) = all.iter().find(|other| {
            let signs = other.subject == last.issuer && other.issuer != other.subject;
            signs && path.iter().all(|before| before.der != other.der)
        })
    {
        path.push(issuer);
    }
    path.into_iter().map(Named::owned).collect()
}
