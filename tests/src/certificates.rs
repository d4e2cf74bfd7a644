//! Certificates of a test authority: the good ones, and one of every kind of bad one that an operator meets.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use time::OffsetDateTime;

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub cert: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// All certificates, in one folder.
#[derive(Debug)]
pub struct Certificates {
    /// The authority that signed all but the foreign ones.
    pub chain: PathBuf,
    /// An authority that nobody trusts.
    pub foreign_chain: PathBuf,
    /// For `localhost` and `127.0.0.1`.
    pub server: Pair,
    /// For another host.
    pub wrong_name_server: Pair,
    /// No longer valid.
    pub expired_server: Pair,
    /// From the authority that nobody trusts.
    pub foreign_server: Pair,
    /// What a Devo domain is given.
    pub client: Pair,
    /// No longer valid.
    pub expired_client: Pair,
    /// From the authority that nobody trusts.
    pub foreign_client: Pair,
    /// The client's certificate with the key of another.
    pub mismatched_client: Pair,
    folder: PathBuf,
    authority: Authority,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

impl Certificates {
    /// Makes all of them in `folder`.
    pub fn write_to(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let chain = folder.join("chain.crt");
        let foreign_chain = folder.join("foreign-chain.crt");
        let authority = authority("Test Authority", &chain)?;
        let foreign = self::authority("Foreign Authority", &foreign_chain)?;
        let here = ["localhost", "127.0.0.1"];
        let elsewhere = ["elsewhere.test"];
        let server = ExtendedKeyUsagePurpose::ServerAuth;
        let client = ExtendedKeyUsagePurpose::ClientAuth;
        let valid = date_time_ymd(2099, 1, 1);
        let past = date_time_ymd(2001, 1, 1);
        let good_client = issue(&authority, folder, "example-domain", &[], client.clone(), valid)?;
        let expired_client = issue(&authority, folder, "expired-domain", &[], client.clone(), past)?;
        Ok(Self {
            server: issue(&authority, folder, "server", &here, server.clone(), valid)?,
            wrong_name_server: issue(&authority, folder, "elsewhere", &elsewhere, server.clone(), valid)?,
            expired_server: issue(&authority, folder, "expired-server", &here, server.clone(), past)?,
            foreign_server: issue(&foreign, folder, "foreign-server", &here, server, valid)?,
            foreign_client: issue(&foreign, folder, "foreign-domain", &[], client, valid)?,
            mismatched_client: Pair { cert: good_client.cert.clone(), key: expired_client.key.clone() },
            client: good_client,
            expired_client,
            chain,
            foreign_chain,
            folder: folder.to_owned(),
            authority,
        })
    }

    /// Makes a certificate for a client that is valid until `end`: `short-lived.crt` and its key.
    pub fn client_until(&self, end: DateTime<Utc>) -> Result<Pair> {
        let epoch = date_time_ymd(1970, 1, 1);
        let end = epoch + Duration::from_secs(end.timestamp().try_into().context("a time before 1970")?);
        issue(&self.authority, &self.folder, "short-lived", &[], ExtendedKeyUsagePurpose::ClientAuth, end)
    }

    /// Writes the client's certificate, its key and the authority into one PKCS#12 file, locked with
    /// `password`.
    pub fn write_pkcs12(&self, to: &Path, password: &str) -> Result<()> {
        let mut openssl = Command::new("openssl");
        openssl.args(["pkcs12", "-export", "-passout", &format!("pass:{password}")]);
        let Pair { cert, key } = &self.client;
        run(openssl, &[("-in", cert), ("-inkey", key), ("-certfile", &self.chain), ("-out", to)])
    }
}

/// Makes a certificate for `localhost` that is signed with an RSA key of 1024 bits, and a chain file of its
/// authority.
pub fn weak_server(folder: &Path) -> Result<(Pair, PathBuf)> {
    let file = |name: &str| folder.join(name);
    let (chain, authority_key) = (file("weak-chain.crt"), file("weak-authority.key"));
    let mut authority = Command::new("openssl");
    authority.args(["req", "-x509", "-newkey", "rsa:1024", "-nodes", "-days", "3650", "-subj", "/CN=Weak Authority"]);
    run(authority, &[("-keyout", &authority_key), ("-out", &chain)])?;

    let pair = Pair { cert: file("weak-server.crt"), key: file("weak-server.key") };
    let request = file("weak-server.csr");
    let mut key = Command::new("openssl");
    key.args(["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=weak-server"]);
    key.args(["-addext", "subjectAltName=DNS:localhost"]);
    run(key, &[("-keyout", &pair.key), ("-out", &request)])?;

    let mut certificate = Command::new("openssl");
    certificate.args(["x509", "-req", "-days", "3650", "-set_serial", "2", "-copy_extensions", "copyall"]);
    let files: [(&str, &Path); 4] =
        [("-in", &request), ("-CA", &chain), ("-CAkey", &authority_key), ("-out", &pair.cert)];
    run(certificate, &files)?;
    Ok((pair, chain))
}

/// Runs openssl, which makes what the library of the other certificates doesn't.
fn run(mut openssl: Command, files: &[(&str, &Path)]) -> Result<()> {
    for (option, file) in files {
        openssl.arg(option).arg(file);
    }
    let output = openssl.output().context("there is no openssl: run ./setup.sh")?;
    ensure!(output.status.success(), "{openssl:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn authority(name: &str, path: &Path) -> Result<Authority> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    write(path, &authority.pem())?;
    Ok(authority)
}

fn issue(
    authority: &Authority,
    folder: &Path,
    name: &str,
    hosts: &[&str],
    usage: ExtendedKeyUsagePurpose,
    end: OffsetDateTime,
) -> Result<Pair> {
    let mut params = CertificateParams::new(hosts.iter().map(|&host| host.to_owned()).collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = end;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    let pair = Pair { cert: folder.join(format!("{name}.crt")), key: folder.join(format!("{name}.key")) };
    write(&pair.cert, &certificate.pem())?;
    write(&pair.key, &key.serialize_pem())?;
    Ok(pair)
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
