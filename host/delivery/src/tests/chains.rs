//! Chains that are weak, out of date or without the right name, each told apart.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_RSA_SHA256, PublicKeyData,
    SignatureAlgorithm, SigningKey,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::receiver::{Behaviour, Receiver};
use super::*;

/// An RSA key of that many bits, of which nobody knows the other half. What it signs is not worth looking at,
/// and when it is of a weak kind nobody looks.
struct Rsa {
    public: Vec<u8>,
    signature: Vec<u8>,
}

impl Rsa {
    fn new(bits: usize) -> Self {
        // SEQUENCE { INTEGER modulus, INTEGER 65537 }; the modulus is positive and odd.
        let mut modulus = vec![0x00, 0xc1];
        modulus.resize(bits / 8 + 1, 0x5b);
        let integers = [tlv(0x02, &modulus), tlv(0x02, &[1, 0, 1])].concat();
        Self { public: tlv(0x30, &integers), signature: vec![0x11; bits / 8] }
    }
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let head = match content.len() {
        0..128 => vec![tag, length[1]],
        128..256 => vec![tag, 0x81, length[1]],
        _ => vec![tag, 0x82, length[0], length[1]],
    };
    [head, content.to_vec()].concat()
}

impl PublicKeyData for Rsa {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

impl SigningKey for Rsa {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.signature.clone())
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut authority = CertificateParams::new(vec![]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, name);
    authority
}

fn receiver() -> CertificateParams {
    let mut receiver = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    receiver.distinguished_name = rcgen::DistinguishedName::new();
    receiver.distinguished_name.push(DnType::CommonName, "the receiver");
    receiver
}

/// A receiver that shows these certificates, and takes anybody.
fn server(certificates: Vec<CertificateDer<'static>>, key: &KeyPair) -> ServerConfig {
    ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap()
}

/// The error of a sender that trusts `chain` and meets this receiver.
async fn refusal(chain: &rcgen::Certificate, config: ServerConfig) -> SendError {
    let domain = Certificates::new();
    let files = TlsFiles { chain: domain.write("chain.pem", &chain.pem()), ..domain.files() };
    let receiver = Receiver::start(config, &[Behaviour::Read]).await;
    failure(settings_for("localhost", &files, receiver.port)).await
}

#[tokio::test]
async fn a_chain_signed_with_sha_1_is_told_as_weak() {
    let rsa = Rsa::new(2048);
    let root_params = authority("the authority");
    let root = root_params.self_signed(&rsa).unwrap();
    let key = KeyPair::generate().unwrap();
    let signed = receiver().signed_by(&key, &Issuer::new(root_params, rsa)).unwrap();
    // The names of RSA with SHA-256 and with SHA-1 differ in their last number only.
    let (sha_256, sha_1) = (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05");
    let mut der = signed.der().to_vec();
    let places: Vec<_> = (0..der.len() - 9).filter(|&place| der[place..].starts_with(sha_256)).collect();
    places.iter().for_each(|&place| der[place..place + 9].copy_from_slice(sha_1));

    let error = refusal(&root, server(vec![der.into()], &key)).await;
    let text = error.to_string();
    assert!(matches!(cause(error), Cause::ServerCertificateWeak { .. }), "{text}");
    assert!(text.contains("\"CN=the receiver\" is signed with SHA-1"), "{text}");
    assert!(text.contains("RSA of 2048 bits or more"), "no remedy in: {text}");
}

#[tokio::test]
async fn a_chain_with_a_short_rsa_key_is_told_as_weak() {
    let rsa = Rsa::new(1024);
    let root_params = authority("the authority");
    let root = root_params.self_signed(&rsa).unwrap();
    let key = KeyPair::generate().unwrap();
    let signed = receiver().signed_by(&key, &Issuer::new(root_params, rsa)).unwrap();
    let error = refusal(&root, server(vec![signed.der().clone()], &key)).await;
    let text = error.to_string();
    assert!(matches!(cause(error), Cause::ServerCertificateWeak { .. }), "{text}");
    assert!(text.contains("the RSA key of \"CN=the authority\" has 1024 bits"), "{text}");
}

#[tokio::test]
async fn a_forged_signature_of_a_strong_key_is_not_told_as_weak() {
    let rsa = Rsa::new(2048);
    let root_params = authority("the authority");
    let root = root_params.self_signed(&rsa).unwrap();
    let key = KeyPair::generate().unwrap();
    let signed = receiver().signed_by(&key, &Issuer::new(root_params, rsa)).unwrap();
    let cause = cause(refusal(&root, server(vec![signed.der().clone()], &key)).await);
    assert!(matches!(cause, Cause::ServerCertificateUnacceptable { .. }), "{cause:?}");
}

#[tokio::test]
async fn an_authority_in_between_that_has_expired_is_told_as_such() {
    let root_key = KeyPair::generate().unwrap();
    let root_params = authority("the authority");
    let root = root_params.self_signed(&root_key).unwrap();
    let mut middle_params = authority("the middle");
    middle_params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let (middle_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let middle = middle_params.signed_by(&middle_key, &Issuer::new(root_params, root_key)).unwrap();
    let signed = receiver().signed_by(&key, &Issuer::new(middle_params, middle_key)).unwrap();
    let error = refusal(&root, server(vec![signed.der().clone(), middle.der().clone()], &key)).await;
    let text = error.to_string();
    assert!(matches!(cause(error), Cause::ServerChainOutOfDate { .. }), "{text}");
    assert!(text.contains("\"CN=the middle\": expired on 2020-01-01 00:00:00 UTC"), "{text}");
}

#[tokio::test]
async fn an_expired_receiver_is_told_with_its_date() {
    let domain = Certificates::with_server(|server| server.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let receiver = Receiver::start(domain.server(), &[Behaviour::Read]).await;
    let error = failure(settings(&domain, receiver.port)).await;
    assert!(error.to_string().contains("expired on 2020-01-01 00:00:00 UTC"), "{error}");
}

#[test]
fn a_chain_file_that_has_expired_is_told_when_it_is_read() {
    let domain = Certificates::new();
    let mut expired = authority("the authority");
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let expired = expired.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
    let chain = domain.write("expired.crt", &expired);
    let error = Tls::from_files(&TlsFiles { chain, ..domain.files() }).unwrap_err();
    assert!(matches!(error, TlsError::OutOfDate { role: "chain", .. }), "{error}");
    assert!(error.to_string().contains("expired on 2020-01-01 00:00:00 UTC"), "{error}");

    // Beside one that is valid, it is left out.
    let valid = std::fs::read_to_string(domain.files().chain.path()).unwrap();
    let chain = domain.write("both.crt", &(expired + &valid));
    assert!(Tls::from_files(&TlsFiles { chain, ..domain.files() }).is_ok());
}

#[test]
fn a_certificate_of_ours_that_has_expired_is_told_when_it_is_read() {
    let domain = Certificates::new();
    let key = KeyPair::generate().unwrap();
    let mut expired = receiver();
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let cert = domain.write("expired.crt", &expired.self_signed(&key).unwrap().pem());
    let key = domain.write("expired.key", &key.serialize_pem());
    let error = Tls::from_files(&TlsFiles { cert, key, ..domain.files() }).unwrap_err();
    assert!(matches!(error, TlsError::OutOfDate { role: "cert", .. }), "{error}");
}

#[test]
fn a_refusal_after_our_certificate_has_expired_is_told_as_that() {
    let tls = Tls::from_files(&Certificates::new().files()).unwrap();
    let long_after = DateTime::from_timestamp(100_000_000_000, 0).unwrap();
    for refused in [Cause::Reset, Cause::HandshakeCut, Cause::ClientCertificateRefused { alert: "x".to_owned() }] {
        let explained = tls.explained(refused.clone(), long_after);
        assert!(matches!(explained, Cause::ClientCertificateOutOfDate { .. }), "{explained:?}");
        assert_eq!(tls.explained(refused.clone(), chrono::Utc::now()), refused);
    }
    assert_eq!(tls.explained(Cause::Refused, long_after), Cause::Refused);
}

#[test]
fn a_receiver_that_says_that_our_certificate_has_expired_is_believed() {
    let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateExpired);
    let cause = Cause::of(&std::io::Error::new(std::io::ErrorKind::InvalidData, alert));
    assert!(matches!(cause, Cause::ClientCertificateOutOfDate { .. }), "{cause:?}");
    assert!(cause.remedy().contains("download new files"));
}

#[tokio::test]
async fn without_the_host_name_check_another_name_will_do_and_another_authority_will_not() {
    let (domain, other) = (Certificates::new(), Certificates::new());
    let nameless = |domain: &Certificates, port| {
        let tls = Tls::from_files(&domain.files()).unwrap().without_host_name_check();
        settings_over(Transport::Tls(tls), "127.0.0.1", port)
    };
    let receiver = Receiver::start(domain.server(), &[Behaviour::Read]).await;
    let devo = start(nameless(&domain, receiver.port));
    soon(devo.send(&table(), &events(0..1, 10))).await.unwrap();
    soon(devo.flush()).await.unwrap();
    assert!(receiver.seen().connections == [lines(&events(0..1, 10))]);

    let impostor = Receiver::start(other.server(), &[Behaviour::Read]).await;
    let cause = cause(failure(nameless(&domain, impostor.port)).await);
    assert_eq!(cause, Cause::ServerCertificateUnknownIssuer);
}
