//! The TLS side of an output: which receivers are trusted, and who this collector says it is.
//!
//! A Devo domain comes with three PEM files: the chain (the authorities that sign Devo's servers), and the
//! domain's certificate and key. Operators swap, truncate and encrypt them, and learn of it from one line in
//! a log: so every mistake has an error of its own, found when the files are read and not at the first
//! connection.
//!
//! The host name in the receiver's certificate is checked. The original collector doesn't, so that whoever
//! holds any certificate of that chain can take the events. In-house relays often have certificates without a
//! name that could be checked, and an original's configuration works with them: for these the check can be
//! switched off, output by output.
//!
//! What can't be switched off are the limits on weak chains (SHA-1, RSA below 2048 bits): the library has no
//! such algorithms. They are named for what they are, see [`Cause::ServerCertificateWeak`].

mod certificate;
mod pkcs12;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod verifier;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use collector_files::RootedPath;
use rustls::client::{Resumption, danger::ServerCertVerifier};
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use secrecy::zeroize::Zeroizing;
use tokio_rustls::TlsConnector;

use crate::error::{Cause, excerpt};
use certificate::{Certificate, Validity};
pub use pkcs12::Pkcs12File;
pub(crate) use verifier::ChainFault;
use verifier::Verifier;

/// The role of a file that holds certificate and key together.
const PKCS: &str = "pkcs";

/// The largest file of certificates or with a key. A bundle of every public authority is a quarter of a
/// megabyte.
const MAX_FILE_IN_BYTES: u64 = 4 * 1024 * 1024;

/// The PEM files of one Devo domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the authorities that may sign the receiver's certificate. No others are trusted.
    pub chain: RootedPath,
    /// The domain's certificate, with its intermediates if any.
    pub cert: RootedPath,
    /// The key of that certificate: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: RootedPath,
}

/// What it takes to open TLS 1.2 or 1.3 connections in the name of one Devo domain. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    verifier: Arc<Verifier>,
    /// When this collector's own certificate is valid.
    validity: Option<Validity>,
}

/// What is wrong with the files of an output. Never holds anything that was read from the key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There is no file of that name.
    #[error(
        "the {role} file {file} does not exist; \
         download it from Devo, or correct the output's \"{role}\" setting",
        file = .file.display()
    )]
    Missing {
        /// The setting that names the file: `chain`, `cert`, `key` or `pkcs`.
        role: &'static str,
        /// The file.
        file: PathBuf,
    },
    /// The file can't be read.
    #[error(
        "the {role} file {file} can't be read ({source}); \
         let the collector's user read it",
        file = .file.display()
    )]
    Unreadable {
        /// The setting that names the file: `chain`, `cert`, `key` or `pkcs`.
        role: &'static str,
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file starts a PEM section and doesn't end it, or what is within is not base64; or it is PKCS#12
    /// that can't be read.
    #[error(
        "the {role} file {file} is damaged: it is not valid {form}; \
         copy it again, whole and unchanged",
        file = .file.display(), form = if *.role == PKCS { "PKCS#12" } else { "PEM" }
    )]
    Damaged {
        /// The setting that names the file: `chain`, `cert`, `key` or `pkcs`.
        role: &'static str,
        /// The file.
        file: PathBuf,
    },
    /// A file that should have certificates has none.
    #[error(
        "the {role} file {file} has no certificate{section}; \
         check that the files are not mixed up",
        file = .file.display(), section = if *.role == PKCS { "" } else { " (BEGIN CERTIFICATE)" }
    )]
    NoCertificate {
        /// The setting that names the file: `chain`, `cert` or `pkcs`.
        role: &'static str,
        /// The file.
        file: PathBuf,
    },
    /// The certificates in the file are not ones that TLS can use.
    #[error(
        "the {role} file {file} has no certificate that can be used ({reason}); \
         download it again from Devo",
        file = .file.display()
    )]
    UnusableCertificate {
        /// The setting that names the file: `chain`, `cert` or `pkcs`.
        role: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// All certificates of the file, or the domain's own, are out of date.
    #[error(
        "the {role} file {file} has no certificate that is valid at this time ({reason}); \
         download it again from Devo, or correct this machine's clock",
        file = .file.display()
    )]
    OutOfDate {
        /// The setting that names the file: `chain`, `cert` or `pkcs`.
        role: &'static str,
        /// The file.
        file: PathBuf,
        /// Since when, or until when.
        reason: String,
    },
    /// The PKCS#12 file is locked with another password.
    #[error(
        "the pkcs file {file} can't be opened with this password; \
         correct the password, or take it out if the file was made without one",
        file = .file.display()
    )]
    WrongPassword {
        /// The file.
        file: PathBuf,
    },
    /// The file is not PKCS#12, or locked in a way that can't be read.
    #[error(
        "the pkcs file {file} is not a PKCS#12 file that can be read ({reason}); \
         export it again with AES-256, or give PEM files as \"cert\" and \"key\"",
        file = .file.display()
    )]
    NotPkcs12 {
        /// The file.
        file: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// To open the file takes too long, or too much memory.
    #[error(
        "the pkcs file {file} asks for too much work: its password would have to be hashed more than {rounds} times in all, \
         or in more than 64 MiB; export it again with the usual settings, or give PEM files as \"cert\" and \"key\"",
        file = .file.display()
    )]
    TooMuchWork {
        /// The file.
        file: PathBuf,
        /// How often at most.
        rounds: u64,
    },
    /// The file has no private key.
    #[error(
        "the file {file} has no private key; \
         check that the files are not mixed up",
        file = .file.display()
    )]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// The key asks for a passphrase, and there is nobody to type it.
    #[error(
        "the key in {file} is encrypted; \
         write it without a passphrase (openssl pkey -in ... -out ...)",
        file = .file.display()
    )]
    EncryptedKey {
        /// The file.
        file: PathBuf,
    },
    /// The key is of a kind that TLS can't use.
    #[error(
        "the key in {file} can't be used; \
         it must be RSA (2048 bits or more), ECDSA (P-256, P-384) or Ed25519",
        file = .file.display()
    )]
    UnusableKey {
        /// The file.
        file: PathBuf,
    },
    /// Certificate and key are not of one pair.
    #[error(
        "the certificate in {cert} and the key in {key} do not belong together; \
         take both from the same download",
        cert = .cert.display(), key = .key.display()
    )]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

impl Tls {
    /// Reads the files and checks all that can be checked without a connection. Reads synchronously: for
    /// start-up.
    pub fn from_files(files: &TlsFiles) -> Result<Self, TlsError> {
        let authorities = authorities(&files.chain)?;
        let certificates = certificates("cert", files.cert.path(), &read("cert", &files.cert)?)?;
        let key = private_key(files.key.path(), &read("key", &files.key)?)?;
        Self::new(
            authorities,
            Identity { role: "cert", certificates, key, cert: files.cert.path(), key_file: files.key.path() },
        )
    }

    /// As [`Tls::from_files`], with certificate and key from one PKCS#12 file. Without a chain file, the
    /// authorities in that file are trusted.
    pub fn from_pkcs12(pkcs12: &Pkcs12File, chain: Option<&RootedPath>) -> Result<Self, TlsError> {
        let bundle = pkcs12.open()?;
        let file = pkcs12.file.path();
        let authorities = match chain {
            Some(chain) => authorities(chain)?,
            None if bundle.authorities.is_empty() => {
                let reason = "none of an authority, and there is no \"chain\"".to_owned();
                return Err(TlsError::UnusableCertificate { role: PKCS, file: file.to_owned(), reason });
            }
            None => Authorities::new(PKCS, file, bundle.authorities)?,
        };
        let (certificates, key) = (bundle.certificates, bundle.key);
        Self::new(authorities, Identity { role: PKCS, certificates, key, cert: file, key_file: file })
    }

    fn new(authorities: Authorities, identity: Identity<'_>) -> Result<Self, TlsError> {
        let Identity { role, certificates, key, cert, key_file } = identity;
        let own = certificates.first().and_then(|der| Certificate::read(der));
        let validity = own.map(|own| own.validity());
        if let Some(fault) = validity.and_then(|validity| validity.fault_at(Utc::now())) {
            return Err(TlsError::OutOfDate { role, file: cert.to_owned(), reason: fault.to_string() });
        }
        let builder = collector_net::tls_client_builder();
        let algorithms = builder.crypto_provider().signature_verification_algorithms;
        let verifier = Arc::new(Verifier::new(authorities.roots, authorities.certificates, algorithms));
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
            .with_client_auth_cert(certificates, key)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    TlsError::Mismatch { cert: cert.to_owned(), key: key_file.to_owned() }
                }
                rustls::Error::InvalidCertificate(reason) => {
                    TlsError::UnusableCertificate { role, file: cert.to_owned(), reason: excerpt(&reason) }
                }
                _ => TlsError::UnusableKey { file: key_file.to_owned() },
            })?;
        // A resumed session shows no certificate, so one that was withdrawn would look fine for as long as
        // tickets live. A connection a minute gains nothing from resuming, and thousands of tenants would
        // each keep a cache of tickets.
        config.resumption = Resumption::disabled();
        // Early data is not confirmed by the handshake and may be replayed by a third party.
        config.enable_early_data = false;
        Ok(Self { config: Arc::new(config), verifier, validity })
    }

    /// The same without a look at the name in the receiver's certificate, as the original does it: whoever
    /// holds a certificate of the chain is taken for the receiver. For relays whose certificates have no
    /// name, or another one than they are reached by.
    pub fn without_host_name_check(&self) -> Self {
        let verifier = Arc::new(self.verifier.without_name());
        let mut config = (*self.config).clone();
        config.dangerous().set_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>);
        Self { config: Arc::new(config), verifier, validity: self.validity }
    }

    /// A better explanation, if this collector's own certificate has run out meanwhile: receivers refuse it
    /// in many ways, and few of them say why.
    pub(crate) fn explained(&self, cause: Cause, now: DateTime<Utc>) -> Cause {
        let may_be_refusal =
            matches!(cause, Cause::ClientCertificateRefused { .. } | Cause::HandshakeCut | Cause::Reset);
        match self.validity.and_then(|validity| validity.fault_at(now)) {
            Some(fault) if may_be_refusal => Cause::ClientCertificateOutOfDate { reason: fault.to_string() },
            _ => cause,
        }
    }

    pub(crate) fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::clone(&self.config))
    }
}

/// Shows nothing of the configuration, which holds the key.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// Who this collector says it is, and the files that it is read from.
struct Identity<'a> {
    role: &'static str,
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    cert: &'a Path,
    key_file: &'a Path,
}

/// Who may vouch for a receiver.
struct Authorities {
    roots: RootCertStore,
    certificates: Vec<Certificate>,
}

impl Authorities {
    /// Those of a file that can be read and are valid now. The library doesn't look at the validity of what
    /// it is told to trust; OpenSSL, and so the original, does.
    fn new(role: &'static str, file: &Path, ders: Vec<CertificateDer<'static>>) -> Result<Self, TlsError> {
        let now = Utc::now();
        let (mut roots, mut certificates) = (RootCertStore::empty(), Vec::new());
        let (mut unreadable, mut out_of_date) = (0, None);
        for der in ders {
            let Some(certificate) = Certificate::read(&der) else {
                unreadable += 1;
                continue;
            };
            if let Some(fault) = certificate.validity().fault_at(now) {
                tracing::warn!(
                    "{:?} in the {role} file {} is not trusted: {fault}",
                    certificate.subject(),
                    file.display()
                );
                out_of_date = Some(fault);
                continue;
            }
            match roots.add(der) {
                Ok(()) => certificates.push(certificate),
                Err(_) => unreadable += 1,
            }
        }
        match out_of_date {
            Some(fault) if roots.is_empty() => {
                Err(TlsError::OutOfDate { role, file: file.to_owned(), reason: fault.to_string() })
            }
            None if roots.is_empty() => {
                let reason = "none of them can be read".to_owned();
                Err(TlsError::UnusableCertificate { role, file: file.to_owned(), reason })
            }
            _ => {
                if unreadable > 0 {
                    tracing::warn!(
                        "{unreadable} certificates in the {role} file {} can't be read and are not trusted",
                        file.display()
                    );
                }
                Ok(Self { roots, certificates })
            }
        }
    }
}

fn authorities(chain: &RootedPath) -> Result<Authorities, TlsError> {
    let role = "chain";
    Authorities::new(role, chain.path(), certificates(role, chain.path(), &read(role, chain)?)?)
}

fn certificates(role: &'static str, file: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| TlsError::Damaged { role, file: file.to_owned() })?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate { role, file: file.to_owned() });
    }
    Ok(certificates)
}

fn private_key(file: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    // PKCS#8 says it in the label, the older forms in a header line. It is looked for first, since the header
    // would only show up as bad base64.
    let is_encrypted = text.split(|&byte| byte == b'\n').any(|line| {
        line.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY")
            || (line.starts_with(b"Proc-Type:") && line.trim_ascii_end().ends_with(b"ENCRYPTED"))
    });
    if is_encrypted {
        return Err(TlsError::EncryptedKey { file: file.to_owned() });
    }
    // An EC key file made by openssl begins with a section of parameters, and some files carry the
    // certificate too.
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        let (kind, der) = section.map_err(|_| TlsError::Damaged { role: "key", file: file.to_owned() })?;
        if let Some(key) = PrivateKeyDer::from_pem(kind, der) {
            return Ok(key);
        }
    }
    Err(TlsError::NoKey { file: file.to_owned() })
}

/// The content of a file, wiped from memory when it is no longer needed, for it may be a key.
fn read(role: &'static str, file: &RootedPath) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let path = || file.path().to_owned();
    match file.read(MAX_FILE_IN_BYTES) {
        Ok(content) => Ok(Zeroizing::new(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(TlsError::Missing { role, file: path() }),
        Err(source) => Err(TlsError::Unreadable { role, file: path(), source }),
    }
}
