//! A Devo domain of one's own: an authority, a receiver's certificate and a client's, and the three files.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use collector_files::RootedPath;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tempfile::TempDir;

use super::TlsFiles;

/// Everything that was issued, and a folder with the client's files, which goes away with it.
pub struct Certificates {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
    server: (CertificateDer<'static>, PrivateKeyDer<'static>),
}

impl Certificates {
    /// A domain whose receiver is called `localhost`.
    pub fn new() -> Self {
        Self::with_server(|_| {})
    }

    /// A domain whose receiver's certificate was changed.
    pub fn with_server(change: impl FnOnce(&mut CertificateParams)) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = tempfile::tempdir().unwrap();

        let mut authority = CertificateParams::new(vec![]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, format!("authority {number}"));
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();

        let mut server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        change(&mut server);
        let server_key = KeyPair::generate().unwrap();
        let server_certificate = server.signed_by(&server_key, &authority).unwrap();
        let client_key = KeyPair::generate().unwrap();
        let client = CertificateParams::new(vec!["domain".to_owned()]).unwrap();
        let client = client.signed_by(&client_key, &authority).unwrap();

        let all = Self {
            folder,
            server: (server_certificate.der().clone(), PrivateKeyDer::try_from(server_key.serialize_der()).unwrap()),
            authority,
        };
        all.write("chain.crt", &all.authority.pem());
        all.write("domain.crt", &client.pem());
        all.write("domain.key", &client_key.serialize_pem());
        all
    }

    /// The client's three files.
    pub fn files(&self) -> TlsFiles {
        TlsFiles { chain: self.file("chain.crt"), cert: self.file("domain.crt"), key: self.file("domain.key") }
    }

    /// Where a file of this name is, or would be.
    pub fn file(&self, name: &str) -> RootedPath {
        RootedPath::of_operator(self.folder.path().join(name))
    }

    /// Writes a file into the folder.
    pub fn write(&self, name: &str, content: &str) -> RootedPath {
        std::fs::write(self.file(name).path(), content).unwrap();
        self.file(name)
    }

    /// A receiver that takes the clients of this domain.
    pub fn server(&self) -> ServerConfig {
        self.server_for(self, rustls::ALL_VERSIONS)
    }

    /// A receiver that takes the clients of another domain.
    pub fn server_for(&self, clients: &Certificates, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
        let provider = Arc::new(ring::default_provider());
        let mut trusted = RootCertStore::empty();
        trusted.add(clients.authority.der().clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(trusted), Arc::clone(&provider)).build().unwrap();
        let (certificate, key) = &self.server;
        ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate.clone()], key.clone_key())
            .unwrap()
    }
}
