//! Certificates of a test authority: the good ones, and one of every kind of bad one that an operator meets.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

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
        let valid = 2099;
        let good_client = issue(&authority, folder, "example-domain", &[], client.clone(), valid)?;
        let expired_client = issue(&authority, folder, "expired-domain", &[], client.clone(), 2001)?;
        Ok(Self {
            server: issue(&authority, folder, "server", &here, server.clone(), valid)?,
            wrong_name_server: issue(&authority, folder, "elsewhere", &elsewhere, server.clone(), valid)?,
            expired_server: issue(&authority, folder, "expired-server", &here, server.clone(), 2001)?,
            foreign_server: issue(&foreign, folder, "foreign-server", &here, server, valid)?,
            foreign_client: issue(&foreign, folder, "foreign-domain", &[], client, valid)?,
            mismatched_client: Pair { cert: good_client.cert.clone(), key: expired_client.key.clone() },
            client: good_client,
            expired_client,
            chain,
            foreign_chain,
        })
    }
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
    last_year: i32,
) -> Result<Pair> {
    let mut params = CertificateParams::new(hosts.iter().map(|&host| host.to_owned()).collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(last_year, 1, 1);
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
