//! Whom TLS clients trust: the machine's root certificates, and those of a `ca_file` besides. Devo gives its
//! customers a chain of their own, so the outputs have their own trust; how a TLS client begins is the same
//! for all.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use collector_files::{Refusal, RootedPath};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use thiserror::Error;

/// The configurations in use. A machine's usual 145 roots take 86 KB once parsed: with a set each, ten
/// thousand tenants would need 860 MB; shared, a client takes 1 KB. Nothing of a tenant is in it; the
/// sessions that it can resume authenticate the server alone.
static IN_USE: Mutex<Vec<(Trusted, Weak<ClientConfig>)>> = Mutex::new(Vec::new());

/// Whom a client trusts: by what it asks, and the bytes of its `ca_file` (empty: none).
type Trusted = (Client, Vec<u8>);

/// What a client asks, which decides whom it trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// An API, which is public: the machine's roots count beside a `ca_file`.
    Api,
    /// A store, which is somebody's own: a `ca_file` counts alone.
    Store,
}

/// The largest `ca_file`. A bundle of every public authority is a quarter of a megabyte.
const MAX_CA_FILE_IN_BYTES: u64 = 4 * 1024 * 1024;

/// Why there is nobody to trust.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TrustError {
    /// The file of extra root certificates is of no use.
    #[error("ca_file {path}: {problem}", path = .path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: CaFileProblem,
    },
    /// The machine has no root certificates and none are configured.
    #[error("no root certificates were found on this machine")]
    NoRootCertificates,
}

/// What is wrong with a `ca_file`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CaFileProblem {
    /// It can't be read.
    #[error("can't be read ({0}); check the path and its permissions")]
    Unreadable(String),
    /// It has no certificate in PEM form.
    #[error("holds no certificate; it must be PEM, with -----BEGIN CERTIFICATE----- lines")]
    NoCertificate,
    /// One of its certificates is damaged.
    #[error("holds a certificate that can't be used ({0}); replace the file")]
    BadCertificate(String),
}

/// How every TLS client begins: with TLS 1.2 and 1.3, and the provider named here. Taken from the process,
/// two crates could each bring one and rustls would panic.
pub fn tls_client_builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the ciphers of TLS 1.2 and 1.3")
}

/// The TLS configuration of HTTP clients with this `ca_file`.
///
/// # Errors
/// [`TrustError::CaFile`] when the file is of no use, [`TrustError::NoRootCertificates`] when there is
/// nothing to trust.
pub fn https_client_config(ca_file: Option<&RootedPath>) -> Result<Arc<ClientConfig>, TrustError> {
    client_config(Client::Api, ca_file)
}

/// The TLS configuration of clients of a store with this `ca_file`, which then takes the place of the
/// machine's roots.
///
/// # Errors
/// As [`https_client_config`].
pub fn store_client_config(ca_file: Option<&RootedPath>) -> Result<Arc<ClientConfig>, TrustError> {
    client_config(Client::Store, ca_file)
}

fn client_config(client: Client, ca_file: Option<&RootedPath>) -> Result<Arc<ClientConfig>, TrustError> {
    let pem = match ca_file {
        Some(file) => read(file)?,
        None => Vec::new(),
    };
    // Held while the roots are read, so that a thousand tenants that start together read them once.
    let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    in_use.retain(|(_, config)| config.strong_count() > 0);
    let key = (client, pem);
    // An empty ca_file must not pass for "no ca_file".
    if !(ca_file.is_some() && key.1.is_empty())
        && let Some((_, config)) = in_use.iter().find(|(known, _)| *known == key)
        && let Some(config) = config.upgrade()
    {
        return Ok(config);
    }
    let mut roots = RootCertStore::empty();
    if let Some(file) = ca_file {
        add_ca_file(&mut roots, file.path(), &key.1)?;
    }
    if client == Client::Api || ca_file.is_none() {
        // Errors of single files are the machine's everyday: what counts is whether anything can be trusted
        // in the end.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        return Err(TrustError::NoRootCertificates);
    }
    let mut config = tls_client_builder().with_root_certificates(roots).with_no_client_auth();
    if client == Client::Api {
        // It speaks HTTP/1.1 alone; a server that prefers HTTP/2 must not choose it.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
    }
    let config = Arc::new(config);
    in_use.push((key, Arc::downgrade(&config)));
    Ok(config)
}

/// Whether a `ca_file` is of use, without the machine's own roots.
///
/// # Errors
/// [`TrustError::CaFile`].
pub fn check_ca_file(file: &RootedPath) -> Result<(), TrustError> {
    add_ca_file(&mut RootCertStore::empty(), file.path(), &read(file)?)
}

fn read(file: &RootedPath) -> Result<Vec<u8>, TrustError> {
    file.read(MAX_CA_FILE_IN_BYTES).map_err(|error| {
        let reason = Refusal::of(&error).map_or_else(|| error.kind().to_string(), Refusal::to_string);
        unusable(file.path(), CaFileProblem::Unreadable(reason))
    })
}

fn add_ca_file(roots: &mut RootCertStore, path: &Path, pem: &[u8]) -> Result<(), TrustError> {
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate =
            certificate.map_err(|error| unusable(path, CaFileProblem::BadCertificate(error.to_string())))?;
        roots.add(certificate).map_err(|error| unusable(path, CaFileProblem::BadCertificate(error.to_string())))?;
    }
    if roots.is_empty() { Err(unusable(path, CaFileProblem::NoCertificate)) } else { Ok(()) }
}

fn unusable(path: &Path, problem: CaFileProblem) -> TrustError {
    TrustError::CaFile { path: path.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn problem_of(content: &[u8]) -> CaFileProblem {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let path = RootedPath::of_operator(file.path());
        let outcome = https_client_config(Some(&path));
        assert_eq!(check_ca_file(&path).as_ref().unwrap_err(), outcome.as_ref().unwrap_err());
        match outcome {
            Err(TrustError::CaFile { problem, .. }) => problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_ca_file_without_a_usable_certificate_is_an_error() {
        assert_eq!(problem_of(b""), CaFileProblem::NoCertificate);
        assert_eq!(problem_of(b"no PEM here"), CaFileProblem::NoCertificate);
        let garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(problem_of(garbage), CaFileProblem::BadCertificate(_)));
    }

    #[test]
    fn a_missing_ca_file_is_named() {
        let error = https_client_config(Some(&RootedPath::of_operator("/nowhere/ca.pem"))).unwrap_err();
        assert!(error.to_string().starts_with("ca_file /nowhere/ca.pem: can't be read"), "{error}");
    }

    #[test]
    fn clients_with_the_same_trust_share_it() {
        // A certificate of our own: not every machine has roots.
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(certificate.pem().as_bytes()).unwrap();
        let path = RootedPath::of_operator(file.path());
        let first = https_client_config(Some(&path)).unwrap();
        assert!(Arc::ptr_eq(&first, &https_client_config(Some(&path)).unwrap()));
        assert_eq!(first.alpn_protocols, [b"http/1.1"]);
        // A store's, which trusts nobody else, is another one.
        let store = store_client_config(Some(&path)).unwrap();
        assert!(!Arc::ptr_eq(&first, &store) && store.alpn_protocols.is_empty());
        assert!(Arc::ptr_eq(&store, &store_client_config(Some(&path)).unwrap()));
    }
}
