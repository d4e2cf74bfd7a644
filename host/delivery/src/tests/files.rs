//! Mistakes in the certificate files, each told apart.

use collector_files::RootedPath;

use super::*;

/// The error for the domain's files after a change.
fn mistake(change: impl FnOnce(&Certificates, &mut TlsFiles)) -> TlsError {
    let domain = Certificates::new();
    let mut files = domain.files();
    change(&domain, &mut files);
    let error = Tls::from_files(&files).unwrap_err();
    let secret: String = std::fs::read_to_string(domain.file("domain.key").path()).unwrap_or_default();
    let text = format!("{error} {error:?}");
    assert!(
        secret.lines().filter(|line| !line.starts_with("---")).all(|line| !text.contains(line)),
        "a key in an error"
    );
    assert!(text.contains(&*domain.file("").path().to_string_lossy()), "the error doesn't tell the file: {text}");
    error
}

#[test]
fn the_files_of_a_domain_are_taken() {
    let domain = Certificates::new();
    assert_eq!(format!("{:?}", Tls::from_files(&domain.files()).unwrap()), "Tls");
}

#[test]
fn a_missing_file_is_told_with_its_setting() {
    let error = mistake(|domain, files| files.chain = domain.file("nothing"));
    assert!(matches!(error, TlsError::Missing { role: "chain", .. }), "{error}");
    let error = mistake(|domain, files| files.cert = domain.file("nothing"));
    assert!(matches!(error, TlsError::Missing { role: "cert", .. }), "{error}");
    let error = mistake(|domain, files| files.key = domain.file("nothing"));
    assert!(matches!(error, TlsError::Missing { role: "key", .. }), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_is_told_as_such() {
    let error = mistake(|domain, files| files.key = domain.file(""));
    assert!(matches!(error, TlsError::Unreadable { role: "key", .. }), "{error}");
}

#[test]
fn files_that_are_mixed_up_are_told_as_such() {
    let error = mistake(|_, files| files.cert = files.key.clone());
    assert!(matches!(error, TlsError::NoCertificate { role: "cert", .. }), "{error}");
    let error = mistake(|_, files| files.key = files.cert.clone());
    assert!(matches!(error, TlsError::NoKey { .. }), "{error}");
    let error = mistake(|_, files| files.chain = files.key.clone());
    assert!(matches!(error, TlsError::NoCertificate { role: "chain", .. }), "{error}");
}

#[test]
fn a_truncated_file_is_told_as_such() {
    fn cut(domain: &Certificates, file: &RootedPath) -> RootedPath {
        let text = std::fs::read_to_string(file.path()).unwrap();
        domain.write("cut.pem", &text[..text.len() / 2])
    }
    let error = mistake(|domain, files| files.key = cut(domain, &files.key));
    assert!(matches!(error, TlsError::Damaged { role: "key", .. }), "{error}");
    let error = mistake(|domain, files| files.cert = cut(domain, &files.cert));
    assert!(matches!(error, TlsError::Damaged { role: "cert", .. }), "{error}");
}

#[test]
fn a_certificate_that_is_none_is_told_as_such() {
    let none = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let error = mistake(|domain, files| files.chain = domain.write("none.crt", none));
    assert!(matches!(error, TlsError::UnusableCertificate { role: "chain", .. }), "{error}");
    let error = mistake(|domain, files| files.cert = domain.write("none.crt", none));
    assert!(matches!(error, TlsError::UnusableCertificate { role: "cert", .. }), "{error}");
}

#[test]
fn a_key_of_another_certificate_is_told_as_such() {
    let other = Certificates::new();
    let error = mistake(|domain, files| {
        let key = std::fs::read_to_string(other.files().key.path()).unwrap();
        files.key = domain.write("other.key", &key);
    });
    assert!(matches!(error, TlsError::Mismatch { .. }), "{error}");
}

#[test]
fn a_key_that_cannot_be_used_is_told_as_such() {
    let none = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let error = mistake(|domain, files| files.key = domain.write("none.key", none));
    assert!(matches!(error, TlsError::UnusableKey { .. }), "{error}");
}

#[test]
fn an_encrypted_key_is_told_as_such() {
    for text in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\r\nProc-Type: 4,ENCRYPTED\r\nDEK-Info: AES-128-CBC,00\r\n\r\n\
         AAAA\r\n-----END RSA PRIVATE KEY-----\r\n",
    ] {
        let error = mistake(|domain, files| files.key = domain.write("encrypted.key", text));
        assert!(matches!(error, TlsError::EncryptedKey { .. }), "{error}");
    }
}
