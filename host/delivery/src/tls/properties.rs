//! What holds for every file of certificates and keys that a tenant may have, and for every certificate that
//! a receiver may show. Each property is one function, which the targets in `fuzz/` and the replay of their
//! corpus below both call. It panics where the property does not hold.

use std::io;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use collector_files::RootedPath;
use der::Decode;
use p12_keystore::{Pkcs12Archive, PrivateKey};
use pkcs12::safe_bag::PrivateKeyInfo;
use rustls::RootCertStore;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::certificate::Certificate;
use super::pkcs12::{LONGEST_PATH, Pkcs12File};
use super::verifier::Verifier;
use super::{Authorities, Identity, Tls, TlsError, certificates as read_certificates, private_key};
use crate::error::Cause;

const FILE: &str = "/nowhere/domain";
const PASSWORD: &str = "pässw0rd-of-the-domain";

/// A text of certificates and keys is used, or refused in one line that names the file and holds nothing of a
/// key. What a receiver shows of certificates is trusted only while it says itself that it is valid, or is
/// refused in one line, however much it shows. What begins with a zero byte is one certificate after it, all
/// else PEM.
pub fn certificates(input: &[u8]) {
    let file = Path::new(FILE);
    if let [0, der @ ..] = input {
        let certificate = CertificateDer::from(der.to_vec());
        shown(std::slice::from_ref(&certificate));
        refused(Authorities::new("chain", file, vec![certificate]), &[]);
        return;
    }
    let secrets = key_lines(input);
    let key = refused(private_key(file, input), &secrets);
    let Some(certificates) = refused(read_certificates("cert", file, input), &secrets) else { return };
    shown(&certificates);
    let authorities = refused(Authorities::new("chain", file, certificates.clone()), &secrets);
    if let (Some(authorities), Some(key)) = (authorities, key) {
        refused(
            Tls::new(authorities, Identity { role: "cert", certificates, key, cert: file, key_file: file }),
            &secrets,
        );
    }
}

/// Shows these to a collector that trusts them all, at three times.
fn shown(certificates: &[CertificateDer<'static>]) {
    let [receiver, others @ ..] = certificates else { return };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates.iter().cloned());
    let authorities = certificates.iter().filter_map(|der| Certificate::read(der)).collect();
    let algorithms = collector_net::tls_client_builder().crypto_provider().signature_verification_algorithms;
    let verifier = Verifier::new(roots, authorities, algorithms);
    let name = ServerName::try_from("localhost").expect("a good name");
    for seconds in [0, 1_790_000_000, 4_000_000_000] {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        match verifier.without_name().verify_server_cert(receiver, others, &name, &[], now) {
            Ok(_) => {
                let now = DateTime::<Utc>::from_timestamp(seconds as i64, 0).expect("a time");
                let fault = Certificate::read(receiver).and_then(|read| read.validity().fault_at(now));
                assert_eq!(fault, None, "a certificate is trusted that is out of date");
            }
            Err(error) => told(&Cause::of(&io::Error::other(error)).to_string()),
        }
        if let Err(error) = verifier.verify_server_cert(receiver, others, &name, &[], now) {
            told(&Cause::of(&io::Error::other(error)).to_string());
        }
    }
}

/// A PKCS#12 file is opened as another reader opens it, or refused in one line that names the file and not
/// the password, and never takes more work than is allowed.
pub fn pkcs12(content: &[u8]) {
    const ROUNDS: u64 = 5_000;
    // With these, the other reader does what is not bounded, or panics.
    const SECRET_BAG: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x05";
    const KEY_BAG: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x01";
    const SCRYPT: &[u8] = b"\x2b\x06\x01\x04\x01\xda\x47\x04\x0b";

    let file = Pkcs12File { file: RootedPath::of_operator(FILE), password: PASSWORD.into() };
    let outcome = file.understand(content, ROUNDS);
    let is_bounded = !matches!(outcome, Err(TlsError::TooMuchWork { .. }));
    let ours = refused(outcome, &[PASSWORD.as_bytes()]);
    if let Some(ours) = &ours {
        let [own, path @ ..] = &ours.certificates[..] else { panic!("no certificate") };
        assert!(path.len() < LONGEST_PATH && path.iter().all(|other| ours.authorities.contains(other)));
        assert!(!ours.authorities.contains(own) && !path.contains(own));
    }
    let count = |part: &[u8]| content.windows(part.len()).filter(|window| *window == part).count();
    if !is_bounded || count(SECRET_BAG) + count(SCRYPT) > 0 {
        return;
    }
    match (ours, Pkcs12Archive::from_pkcs12(content, PASSWORD)) {
        (Some(ours), Ok(theirs)) => {
            assert_eq!(Some(ours.key.secret_der()), theirs.keys.first().map(|bag| bag.key.as_der()));
            let own = theirs.certs.iter().position(|bag| bag.cert.as_der() == &ours.certificates[0][..]);
            assert!(own.is_some(), "a certificate that is not in the file");
            let others = theirs.certs.iter().filter(|bag| bag.cert.as_der() != &ours.certificates[0][..]);
            assert!(others.map(|bag| bag.cert.as_der()).eq(ours.authorities.iter().map(|der| &der[..])));
        }
        // It looks closer at keys, which TLS does here.
        (Some(ours), Err(error)) => {
            let der = ours.key.secret_der();
            let is_good = PrivateKeyInfo::from_der(der).is_ok() && PrivateKey::from_der(der).is_ok();
            assert!(!is_good || count(KEY_BAG) > 1, "another reader refuses it: {error}");
        }
        (None, Ok(theirs)) => assert!(theirs.keys.is_empty() || theirs.certs.is_empty(), "another reader opens it"),
        (None, Err(_)) => {}
    }
}

/// The lines of a key in PEM, as far as they can't be words of an error.
fn key_lines(text: &[u8]) -> Vec<&[u8]> {
    const SHORTEST: usize = 30;
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let lines = text.split(|byte| byte.is_ascii_whitespace());
    lines.filter(|line| line.len() >= SHORTEST && line.iter().all(is_base64)).collect()
}

/// Takes a look at the error, if it is one. None of the secrets may be in it.
fn refused<T>(outcome: Result<T, TlsError>, secrets: &[&[u8]]) -> Option<T> {
    let error = match outcome {
        Ok(value) => return Some(value),
        Err(error) => error,
    };
    let text = error.to_string();
    told(&text);
    assert!(text.contains(FILE), "the file is not named: {text}");
    let all = format!("{text} {error:?}");
    let is_told = |secret: &&[u8]| all.as_bytes().windows(secret.len()).any(|part| part == *secret);
    assert!(!secrets.iter().any(is_told), "something of the file is told: {all}");
    None
}

fn told(text: &str) {
    let acts = |character: char| character.is_control() || ('\u{2000}'..='\u{206f}').contains(&character);
    assert!(!text.contains(acts) && text.chars().count() < 2_500, "{text:?}");
}

#[cfg(test)]
mod tests {
    use crate::replay::replay;

    #[test]
    fn the_corpus_of_certificates_keeps_its_property() {
        replay("certificates", super::certificates);
    }

    #[test]
    fn the_corpus_of_pkcs12_files_keeps_its_property() {
        replay("pkcs12", super::pkcs12);
    }
}
