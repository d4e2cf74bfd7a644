//! The TLS side of an output: which receivers are trusted, and who this collector says it is.
//!
//! A Devo domain comes with three PEM files: the chain (the authorities that sign Devo's servers), and the domain's
//! certificate and key. Operators swap, truncate and encrypt them, and learn of it from one line in a log: so every
//! mistake has an error of its own, found when the files are read and not at the first connection.
//!
//! The host name in the receiver's certificate is checked. The original collector doesn't, so that whoever holds any
//! certificate of that chain can take the events.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use secrecy::zeroize::Zeroizing;
use tokio_rustls::TlsConnector;

/// The PEM files of one Devo domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the authorities that may sign the receiver's certificate. No others are trusted.
    pub chain: PathBuf,
    /// The domain's certificate, with its intermediates if any.
    pub cert: PathBuf,
    /// The key of that certificate: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
}

/// What it takes to open TLS 1.2 or 1.3 connections in the name of one Devo domain. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
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
        /// The setting that names the file: `chain`, `cert` or `key`.
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
        /// The setting that names the file: `chain`, `cert` or `key`.
        role: &'static str,
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file starts a PEM section and doesn't end it, or what is within is not base64.
    #[error(
        "the {role} file {file} is damaged: it is not valid PEM; \
         copy it again, whole and unchanged",
        file = .file.display()
    )]
    Damaged {
        /// The setting that names the file: `chain`, `cert` or `key`.
        role: &'static str,
        /// The file.
        file: PathBuf,
    },
    /// A file that should have certificates has none.
    #[error(
        "the {role} file {file} has no certificate (BEGIN CERTIFICATE); \
         check that the files are not mixed up",
        file = .file.display()
    )]
    NoCertificate {
        /// The setting that names the file: `chain` or `cert`.
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
        /// The setting that names the file: `chain` or `cert`.
        role: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The key file has no private key.
    #[error(
        "the key file {file} has no private key (BEGIN PRIVATE KEY); \
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
    /// The TLS library refused its settings: a defect of this program, not of the files.
    #[error("TLS could not be set up ({reason}); please report this")]
    SetUp {
        /// What the library said.
        reason: String,
    },
}

impl Tls {
    /// Reads the files and checks all that can be checked without a connection. Reads synchronously: for start-up.
    pub fn from_files(files: &TlsFiles) -> Result<Self, TlsError> {
        let roots = trust_anchors(&files.chain)?;
        let certificates = certificates("cert", &files.cert)?;
        let key = private_key(&files.key)?;

        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::SetUp { reason: error.to_string() })?
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates, key)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    TlsError::Mismatch { cert: files.cert.clone(), key: files.key.clone() }
                }
                rustls::Error::InvalidCertificate(reason) => {
                    TlsError::UnusableCertificate { role: "cert", file: files.cert.clone(), reason: reason.to_string() }
                }
                _ => TlsError::UnusableKey { file: files.key.clone() },
            })?;
        // A resumed session shows no certificate, so one that was withdrawn would look fine for as long as tickets
        // live. A connection a minute gains nothing from resuming, and thousands of tenants would each keep a cache of
        // tickets.
        config.resumption = Resumption::disabled();
        // Early data is not confirmed by the handshake and may be replayed by a third party.
        config.enable_early_data = false;
        Ok(Self { config: Arc::new(config) })
    }

    pub(super) fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::clone(&self.config))
    }
}

/// Shows nothing of the configuration, which holds the key.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

fn trust_anchors(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(certificates("chain", file)?);
    if added == 0 {
        let reason = "none of them can be read".to_owned();
        return Err(TlsError::UnusableCertificate { role: "chain", file: file.to_owned(), reason });
    }
    if ignored > 0 {
        tracing::warn!("{ignored} certificates in the chain file {} can't be read and are not trusted", file.display());
    }
    Ok(roots)
}

fn certificates(role: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(role, file)?;
    let certificates = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| TlsError::Damaged { role, file: file.to_owned() })?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate { role, file: file.to_owned() });
    }
    Ok(certificates)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read("key", file)?;
    // PKCS#8 says it in the label, the older forms in a header line. It is looked for first, since the header would
    // only show up as bad base64.
    let is_encrypted = text.split(|&byte| byte == b'\n').any(|line| {
        line.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY")
            || (line.starts_with(b"Proc-Type:") && line.trim_ascii_end().ends_with(b"ENCRYPTED"))
    });
    if is_encrypted {
        return Err(TlsError::EncryptedKey { file: file.to_owned() });
    }
    // An EC key file made by openssl begins with a section of parameters, and some files carry the certificate too.
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&text) {
        let (kind, der) = section.map_err(|_| TlsError::Damaged { role: "key", file: file.to_owned() })?;
        if let Some(key) = PrivateKeyDer::from_pem(kind, der) {
            return Ok(key);
        }
    }
    Err(TlsError::NoKey { file: file.to_owned() })
}

/// The content of a file, wiped from memory when it is no longer needed, for it may be a key.
fn read(role: &'static str, file: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    match std::fs::read(file) {
        Ok(content) => Ok(Zeroizing::new(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(TlsError::Missing { role, file: file.to_owned() }),
        Err(source) => Err(TlsError::Unreadable { role, file: file.to_owned(), source }),
    }
}
