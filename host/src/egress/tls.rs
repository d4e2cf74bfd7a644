//! Whom the connections to the API trust: the machine's root certificates, and those of `ca_file` besides. The
//! handshake is the connector's part; the sender to Devo has its own trust, since Devo gives its customers a chain of
//! their own.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::error::{CaFileProblem, EgressError};

/// The configurations in use, by the bytes of their `ca_file` (empty: none). A machine's usual 145 roots take 86 KB
/// once parsed: with a set each, ten thousand tenants would need 860 MB; shared, a client takes 1 KB. Nothing of a
/// tenant is in it; the sessions that it can resume authenticate the server alone.
static IN_USE: Mutex<Vec<(Vec<u8>, Weak<ClientConfig>)>> = Mutex::new(Vec::new());

/// The TLS configuration for clients with this `ca_file`.
///
/// # Errors
/// [`EgressError::CaFile`] when the file is of no use, [`EgressError::NoRootCertificates`] when there is nothing to
/// trust.
pub(super) fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, EgressError> {
    let pem = match ca_file {
        Some(path) => std::fs::read(path).map_err(|error| EgressError::CaFile {
            path: path.to_owned(),
            problem: CaFileProblem::Unreadable(error.kind()),
        })?,
        None => Vec::new(),
    };
    // Held while the roots are read, so that a thousand tenants that start together read them once.
    let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    in_use.retain(|(_, config)| config.strong_count() > 0);
    let known = |(key, config): &(Vec<u8>, Weak<ClientConfig>)| (*key == pem).then(|| config.upgrade()).flatten();
    // An empty ca_file must not pass for "no ca_file".
    if !(ca_file.is_some() && pem.is_empty())
        && let Some(config) = in_use.iter().find_map(known)
    {
        return Ok(config);
    }
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        add_ca_file(&mut roots, &pem).map_err(|problem| EgressError::CaFile { path: path.to_owned(), problem })?;
    }
    // Errors of single files are the machine's everyday: what counts is whether anything can be trusted in the end.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(EgressError::NoRootCertificates);
    }
    let config = Arc::new(configure(roots));
    in_use.push((pem, Arc::downgrade(&config)));
    Ok(config)
}

/// Whether a `ca_file` is of use, without the machine's own roots.
///
/// # Errors
/// [`EgressError::CaFile`].
pub(super) fn check_ca_file(path: &Path) -> Result<(), EgressError> {
    let failed = |problem| EgressError::CaFile { path: path.to_owned(), problem };
    let pem = std::fs::read(path).map_err(|error| failed(CaFileProblem::Unreadable(error.kind())))?;
    add_ca_file(&mut RootCertStore::empty(), &pem).map_err(failed)
}

fn add_ca_file(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), CaFileProblem> {
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| CaFileProblem::BadCertificate(error.to_string()))?;
        roots.add(certificate).map_err(|error| CaFileProblem::BadCertificate(error.to_string()))?;
    }
    if roots.is_empty() { Err(CaFileProblem::NoCertificate) } else { Ok(()) }
}

fn configure(roots: RootCertStore) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // The provider is named here and not taken from the process, where two crates could each bring one and rustls would
    // panic.
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the ciphers of TLS 1.2 and 1.3");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    // The client speaks HTTP/1.1 alone; a server that prefers HTTP/2 must not choose it.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem_of(name: &str, content: &[u8]) -> CaFileProblem {
        let path = std::env::temp_dir().join(format!("devo-collector-ca-{name}-{}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        let outcome = client_config(Some(&path));
        std::fs::remove_file(&path).unwrap();
        match outcome {
            Err(EgressError::CaFile { problem, .. }) => problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_ca_file_without_a_usable_certificate_is_an_error() {
        assert_eq!(problem_of("empty", b""), CaFileProblem::NoCertificate);
        assert_eq!(problem_of("text", b"no PEM here"), CaFileProblem::NoCertificate);
        let garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(problem_of("garbage", garbage), CaFileProblem::BadCertificate(_)));
    }

    #[test]
    fn a_missing_ca_file_is_named() {
        let error = client_config(Some(Path::new("/nowhere/ca.pem"))).unwrap_err();
        assert!(error.to_string().starts_with("ca_file /nowhere/ca.pem: can't be read"), "{error}");
    }

    #[test]
    fn clients_with_the_same_trust_share_it() {
        let Ok(first) = client_config(None) else { return };
        assert!(Arc::ptr_eq(&first, &client_config(None).unwrap()));
    }
}
