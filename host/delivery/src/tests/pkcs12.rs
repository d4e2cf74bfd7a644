//! Certificate and key from one PKCS#12 file.

use p12_keystore::{
    Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, PrivateKey, PrivateKeyChain,
};
use pkcs5::pbes2;
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
    let before = [EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc, EncryptionAlgorithm::PbeWithShaAnd40BitRc4Cbc];
    for algorithm in [MODERN, before[0], before[1]] {
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

/// One value in DER.
fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let length = match content.len() {
        0..=0x7f => length[7..].to_vec(),
        0x80..=0xff => [&[0x81], &length[7..]].concat(),
        0x100..=0xffff => [&[0x82], &length[6..]].concat(),
        _ => [&[0x83], &length[5..]].concat(),
    };
    [&[tag][..], &length, &content].concat()
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tagged(0x30, parts)
}

const DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
const ENCRYPTED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x06";
const PBES2: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d";
const LOCKED_KEY: &[u8] = b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x02";

fn algorithm(parameters: &pbes2::Parameters) -> Vec<u8> {
    sequence(&[PBES2, &der::Encode::to_der(parameters).unwrap()])
}

fn parameters(rounds: u32) -> pbes2::Parameters {
    pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(rounds, b"salt", [0; 16]).unwrap()
}

fn scrypt(cost: u64, parallelization: u16) -> pbes2::Parameters {
    let usual = pkcs5::scrypt::Params::new(4, 8, 1).unwrap();
    let mut parameters = pbes2::Parameters::generate_scrypt_aes256cbc(usual, b"salt", [0; 16]).unwrap();
    if let pbes2::Kdf::Scrypt(scrypt) = &mut parameters.kdf {
        (scrypt.cost_parameter, scrypt.parallelization) = (cost, parallelization);
    }
    parameters
}

/// A bag with something that is as good as a key, until it is used as one.
fn bag(parameters: &pbes2::Parameters) -> Vec<u8> {
    bag_of(parameters, &parameters.encrypt(PASSWORD, &sequence(&[])).unwrap())
}

/// A bag that nobody opens, not even to make it.
fn closed_bag(parameters: &pbes2::Parameters) -> Vec<u8> {
    bag_of(parameters, &[0; 16])
}

fn bag_of(parameters: &pbes2::Parameters, content: &[u8]) -> Vec<u8> {
    let content = sequence(&[&algorithm(parameters), &tagged(4, &[content])]);
    sequence(&[LOCKED_KEY, &tagged(0xa0, &[&content])])
}

/// A safe that is open to all.
fn open_safe(bags: &[u8]) -> Vec<u8> {
    sequence(&[DATA, &tagged(0xa0, &[&tagged(4, &[&sequence(&[bags])])])])
}

/// A safe that shows what is in it to nobody without the password.
fn locked_safe(bags: &[u8]) -> Vec<u8> {
    let parameters = parameters(1);
    let content = parameters.encrypt(PASSWORD, &sequence(&[bags])).unwrap();
    let content = sequence(&[DATA, &algorithm(&parameters), &tagged(0x80, &[&content])]);
    let content = sequence(&[b"\x02\x01\x00", &content]);
    sequence(&[ENCRYPTED_DATA, &tagged(0xa0, &[&content])])
}

/// What comes of a file of this one safe, which nobody has signed.
fn outcome(domain: &Certificates, safe: &[u8]) -> TlsError {
    let content = sequence(&[b"\x02\x01\x03", &sequence(&[DATA, &tagged(0xa0, &[&tagged(4, &[&sequence(&[safe])])])])]);
    let file = domain.file("hostile.p12");
    std::fs::write(file.path(), content).unwrap();
    let error = Tls::from_pkcs12(&Pkcs12File { file, password: PASSWORD.into() }, None).unwrap_err();
    assert!(error.to_string().contains("hostile.p12"), "{error}");
    error
}

#[test]
fn a_pkcs12_file_that_asks_for_too_much_work_is_refused() {
    let domain = Certificates::new();
    let many = bag(&parameters(1_000)).repeat(5_000);
    let dear = bag(&parameters(1_000_000)).repeat(4);
    for safe in [
        open_safe(&many),
        locked_safe(&many),
        open_safe(&dear),
        open_safe(&closed_bag(&parameters(3_000_001))),
        open_safe(&closed_bag(&scrypt(1 << 20, 1))),
        open_safe(&closed_bag(&scrypt(1 << 15, u16::MAX))),
    ] {
        let error = outcome(&domain, &safe);
        assert!(matches!(error, TlsError::TooMuchWork { .. }), "{error}");
    }
}

#[test]
fn a_pkcs12_file_whose_parameters_make_no_sense_is_damaged() {
    let domain = Certificates::new();
    for cost in [0, 1, 3] {
        let error = outcome(&domain, &open_safe(&closed_bag(&scrypt(cost, 1))));
        assert!(matches!(error, TlsError::Damaged { .. }), "{cost}: {error}");
    }
}

#[test]
fn a_pkcs12_file_within_the_bound_is_opened() {
    let domain = Certificates::new();
    for parameters in [parameters(600_000), scrypt(1 << 14, 1)] {
        let error = outcome(&domain, &open_safe(&bag(&parameters)));
        assert!(matches!(error, TlsError::NoCertificate { .. }), "{error}");
    }
}
