//! Certificate and key from one PKCS#12 file.

use p12_keystore::{
    Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, PrivateKey, PrivateKeyChain,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::receiver::{Behaviour, Receiver};
use super::*;

const PASSWORD: &str = "pässword";

/// A PKCS#12 file of the domain, with the authority in it, as it is exported from browsers and by Devo.
fn file(domain: &Certificates, algorithm: EncryptionAlgorithm) -> Pkcs12File {
    let files = domain.files();
    let certificate = |file| {
        Certificate::from_der(&CertificateDer::from_pem_file(collector_files::RootedPath::path(file)).unwrap()).unwrap()
    };
    let key = PrivatePkcs8KeyDer::from_pem_file(files.key.path()).unwrap();
    let key = PrivateKey::from_der(key.secret_pkcs8_der()).unwrap();
    let chain = PrivateKeyChain::new("id", key, [certificate(&files.cert), certificate(&files.chain)]);
    let mut store = KeyStore::new();
    store.add_entry("domain", KeyStoreEntry::PrivateKeyChain(chain));
    write(domain, &store, algorithm)
}

fn write(domain: &Certificates, store: &KeyStore, algorithm: EncryptionAlgorithm) -> Pkcs12File {
    let mac = match algorithm {
        EncryptionAlgorithm::PbeWithHmacSha256AndAes256 => MacAlgorithm::HmacSha256,
        _ => MacAlgorithm::HmacSha1,
    };
    let writer = store.writer(PASSWORD).encryption_algorithm(algorithm).mac_algorithm(mac);
    let content = writer.encryption_iterations(10).mac_iterations(10).write().unwrap();
    let file = domain.file("domain.p12");
    std::fs::write(file.path(), content).unwrap();
    Pkcs12File { file, password: PASSWORD.into() }
}

const MODERN: EncryptionAlgorithm = EncryptionAlgorithm::PbeWithHmacSha256AndAes256;

async fn delivers(tls: Tls, domain: &Certificates) {
    let receiver = Receiver::start(domain.server(), &[Behaviour::Read]).await;
    let devo = start(settings_over(Transport::Tls(tls), "localhost", receiver.port));
    soon(devo.send(&table(), &events(0..3, 10))).await.unwrap();
    soon(devo.flush()).await.unwrap();
    assert!(receiver.seen().connections == [lines(&events(0..3, 10))]);
}

#[tokio::test]
async fn a_pkcs12_file_stands_in_for_certificate_and_key() {
    let domain = Certificates::new();
    for algorithm in [MODERN, EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc] {
        let tls = Tls::from_pkcs12(&file(&domain, algorithm), Some(&domain.files().chain)).unwrap();
        delivers(tls, &domain).await;
    }
}

#[tokio::test]
async fn without_a_chain_file_the_authorities_in_the_pkcs12_file_are_trusted() {
    let domain = Certificates::new();
    let tls = Tls::from_pkcs12(&file(&domain, MODERN), None).unwrap();
    delivers(tls, &domain).await;
}

#[test]
fn mistakes_with_a_pkcs12_file_are_told_apart() {
    let domain = Certificates::new();
    let good = file(&domain, MODERN);
    let chain = domain.files().chain;
    let mistake = |pkcs12: &Pkcs12File| {
        let error = Tls::from_pkcs12(pkcs12, Some(&chain)).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(&*pkcs12.file.path().to_string_lossy()), "the error doesn't tell the file: {text}");
        assert!(!text.contains(PASSWORD), "the password is in the error");
        error
    };

    let error = mistake(&Pkcs12File { password: "other".into(), ..good.clone() });
    assert!(matches!(error, TlsError::WrongPassword { .. }), "{error}");
    let error = mistake(&Pkcs12File { file: domain.file("nothing"), ..good.clone() });
    assert!(matches!(error, TlsError::Missing { role: "pkcs", .. }), "{error}");
    let error = mistake(&Pkcs12File { file: domain.files().cert, ..good.clone() });
    assert!(matches!(error, TlsError::NotPkcs12 { .. }), "{error}");

    let content = std::fs::read(good.file.path()).unwrap();
    let cut = domain.file("cut.p12");
    std::fs::write(cut.path(), &content[..content.len() / 2]).unwrap();
    let error = mistake(&Pkcs12File { file: cut, ..good.clone() });
    assert!(matches!(error, TlsError::Damaged { role: "pkcs", .. }), "{error}");

    let mut no_key = KeyStore::new();
    let certificate = Certificate::from_der(&CertificateDer::from_pem_file(chain.path()).unwrap()).unwrap();
    no_key.add_entry("authority", KeyStoreEntry::Certificate(certificate));
    let error = mistake(&write(&domain, &no_key, MODERN));
    assert!(matches!(error, TlsError::NoKey { .. }), "{error}");
}

#[test]
fn a_pkcs12_file_shows_neither_password_nor_key() {
    let domain = Certificates::new();
    assert!(!format!("{:?}", file(&domain, MODERN)).contains(PASSWORD));
}
