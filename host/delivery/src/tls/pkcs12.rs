//! Certificate and key from one PKCS#12 file (`.p12`, `.pfx`), which is how many operators are handed them.
//!
//! Read are the forms of today (AES, as OpenSSL 3 and Java write it) and of before (RC2 and triple DES).

use collector_files::RootedPath;
use p12_keystore::{Certificate, Pkcs12Archive};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use secrecy::{ExposeSecret, SecretString};

use super::{PKCS, TlsError, read};

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
        let content = read(PKCS, &self.file)?;
        let archive = Pkcs12Archive::from_pkcs12(&content, self.password.expose_secret())
            .map_err(|error| self.fault(&content, &error))?;
        let key = archive.keys.first().ok_or_else(|| TlsError::NoKey { file: self.file.path().to_owned() })?;
        // Bags are linked by an id. A file with one certificate needs none, and some have none.
        let linked = key
            .local_key_id
            .as_ref()
            .and_then(|id| archive.certs.iter().position(|bag| bag.local_key_id.as_deref() == Some(id.as_ref())));
        let no_certificate = || TlsError::NoCertificate { role: PKCS, file: self.file.path().to_owned() };
        let own = archive.certs.get(linked.unwrap_or(0)).ok_or_else(no_certificate)?;
        let others = archive.certs.iter().filter(|other| other.cert != own.cert);
        let authorities: Vec<_> = others.map(|bag| bag.cert.as_der().to_vec().into()).collect();
        Ok(Bundle {
            certificates: path(&own.cert, archive.certs.iter().map(|bag| &bag.cert)),
            key: PrivatePkcs8KeyDer::from(key.key.as_der().to_vec()).into(),
            authorities,
        })
    }

    /// The check of the password comes first when a file is opened; without one, a wrong password shows as
    /// nonsense within.
    fn fault(&self, content: &[u8], error: &p12_keystore::error::Error) -> TlsError {
        use p12_keystore::error::Error;
        let file = self.file.path().to_owned();
        match error {
            Error::MacError(_) | Error::UnpadError | Error::Pkcs5Error(_) => TlsError::WrongPassword { file },
            _ if content.starts_with(b"-----BEGIN") => TlsError::NotPkcs12 { file, reason: "it is PEM".to_owned() },
            Error::UnsupportedEncryptionScheme | Error::UnsupportedMacAlgorithm | Error::InvalidParameters => {
                TlsError::NotPkcs12 { file, reason: error.to_string() }
            }
            _ => TlsError::Damaged { role: PKCS, file },
        }
    }
}

/// The certificate and those that sign it, in the order in which TLS shows them, without the authority at the
/// end, which the receiver has.
fn path<'a>(own: &Certificate, all: impl Iterator<Item = &'a Certificate> + Clone) -> Vec<CertificateDer<'static>> {
    let mut path = vec![own];
    let mut last = own;
    while let Some(issuer) = all
        .clone()
        .find(|other| other.subject() == last.issuer() && other.issuer() != other.subject() && !path.contains(other))
    {
        path.push(issuer);
        last = issuer;
    }
    path.into_iter().map(|certificate| certificate.as_der().to_vec().into()).collect()
}
