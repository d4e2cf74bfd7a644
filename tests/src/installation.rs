//! A product folder as an operator has it on premise: `certs/`, `config/config.yaml`, `state/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::certificates::{Certificates, Pair};

/// A configuration as the original's documentation shows it; in capitals, what differs from place to place.
/// The simulator's address and authority are this machine's, and need leave.
pub const ORIGINAL: &str = "\
globals:
  debug: false
  id: not_used
  name: cloudsek
  persistence:
    type: filesystem
    config:
      directory_name: state
outputs:
  devo_us_1:
    type: devo_platform
    config:
      address: localhost
      port: PORT
      type: SSL
      chain: chain.crt
      cert: example-domain.crt
      key: example-domain.key
inputs:
  cloudsek:
    id: cloudsek_1
    enabled: true
    base_url: BASE_URL
    allow_private_addresses: true
    ca_file: chain.crt
    credentials:
      token: TOKEN
    services:
      alerts:
        request_period_in_seconds: 60
";

/// What the configuration says. Everything that is not here has the product's default.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address of the API.
    pub base_url: String,
    /// The API's token.
    pub token: String,
    /// The output's type. Those without TLS are given no certificates.
    pub kind: String,
    /// Host of the Devo receiver.
    pub address: String,
    /// Port of the Devo receiver.
    pub port: u16,
    /// File names in `certs/`; where one is empty, its key is left out.
    pub chain: String,
    /// The client's certificate.
    pub cert: String,
    /// Its key.
    pub key: String,
    /// Seconds from the start of a pull to the start of the next.
    pub period: u32,
    /// Whether the log has more detail.
    pub debug: bool,
    /// YAML that is added to `globals`, without indentation.
    pub globals: String,
    /// YAML that is added to the output's `config`.
    pub output: String,
    /// YAML of further outputs, as it stands under `outputs`, without indentation.
    pub more_outputs: String,
    /// YAML that is added to the input.
    pub input: String,
    /// YAML that is added to the service `alerts`.
    pub service: String,
}

impl Settings {
    /// Settings for an API and a receiver on this machine.
    pub fn new(base_url: String, token: String, port: u16) -> Self {
        Self {
            base_url,
            token,
            kind: "devo_platform".into(),
            address: "localhost".into(),
            port,
            chain: "chain.crt".into(),
            cert: "example-domain.crt".into(),
            key: "example-domain.key".into(),
            period: 2,
            debug: false,
            globals: String::new(),
            output: String::new(),
            more_outputs: String::new(),
            // The simulator has no limit, and the product's own, made for the vendor's, would be all that is
            // measured.
            input: "requests_limits: [{period: 1m, number_of_requests: -1}]\n".into(),
            service: String::new(),
        }
    }

    /// The text of `config.yaml`.
    pub fn yaml(&self) -> String {
        let Self { debug, base_url, token, kind, address, port, period, .. } = self;
        let https = base_url.starts_with("https:");
        let transport = if https { "ca_file: chain.crt" } else { "allow_http: true" };
        let (globals, output) = (indented(2, &self.globals), indented(6, &self.output));
        let (tls, more_outputs) = (indented(6, &self.tls()), indented(2, &self.more_outputs));
        let (input, service) = (indented(4, &self.input), indented(8, &self.service));
        format!(
            "\
globals:
  debug: {debug}
  id: not_used
  name: cloudsek
  persistence:
    type: filesystem
    config:
      directory_name: state
{globals}\
outputs:
  devo_us_1:
    type: {kind}
    config:
      address: {address}
      port: {port}
{tls}{output}{more_outputs}\
inputs:
  cloudsek:
    id: cloudsek_1
    enabled: true
    base_url: {base_url}
    allow_private_addresses: true
    {transport}
    credentials:
      token: {token}
{input}    services:
      alerts:
        request_period_in_seconds: {period}
{service}"
        )
    }

    fn tls(&self) -> String {
        if !["devo_platform", "relay"].contains(&self.kind.as_str()) {
            return String::new();
        }
        let files = [("chain", &self.chain), ("cert", &self.cert), ("key", &self.key)];
        let given = files.into_iter().filter(|(_, name)| !name.is_empty());
        given.fold("type: SSL\n".to_owned(), |yaml, (key, name)| format!("{yaml}{key}: {name}\n"))
    }
}

fn indented(by: usize, yaml: &str) -> String {
    yaml.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

/// The folder of one collector.
#[derive(Debug)]
pub struct Installation {
    product: PathBuf,
}

impl Installation {
    /// Makes the three folders under `product` and puts the certificates of a Devo domain into `certs/`.
    pub fn new(product: &Path, certificates: &Certificates) -> Result<Self> {
        for name in ["certs", "config", "state"] {
            let folder = product.join(name);
            std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        }
        let installation = Self { product: product.to_owned() };
        installation.copy_certificate(&certificates.chain)?;
        installation.copy_pair(&certificates.client)?;
        Ok(installation)
    }

    /// The folder is somewhere else now.
    pub fn moved_to(&mut self, product: PathBuf) {
        self.product = product;
    }

    /// Writes `config/config.yaml`.
    pub fn configure(&self, settings: &Settings) -> Result<()> {
        self.write_config(&settings.yaml())
    }

    /// Writes `config/config.yaml` with this text.
    pub fn write_config(&self, text: &str) -> Result<()> {
        let path = self.config();
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// Puts a certificate and its key into `certs/`, under their own names.
    pub fn copy_pair(&self, pair: &Pair) -> Result<()> {
        self.copy_certificate(&pair.cert)?;
        self.copy_certificate(&pair.key)
    }

    /// Puts one file into `certs/`, under its own name.
    pub fn copy_certificate(&self, from: &Path) -> Result<()> {
        let to = self.certs().join(from.file_name().context("a file name")?);
        std::fs::copy(from, &to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
        Ok(())
    }

    /// The product folder: the collector's working directory.
    pub fn product(&self) -> &Path {
        &self.product
    }

    /// `certs/`.
    pub fn certs(&self) -> PathBuf {
        self.product.join("certs")
    }

    /// `config/config.yaml`.
    pub fn config(&self) -> PathBuf {
        self.product.join("config/config.yaml")
    }

    /// `state/`.
    pub fn state(&self) -> PathBuf {
        self.product.join("state")
    }

    /// Names and contents of the files in `state/`, without the lock, which says nothing about what was
    /// delivered.
    pub fn state_files(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut files = BTreeMap::new();
        collect(&self.state(), "", &mut files)?;
        Ok(files)
    }
}

fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{name}/"), files)?;
        } else if !name.to_ascii_lowercase().contains("lock") {
            files.insert(name, std::fs::read(entry.path())?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_reads_as_an_operator_would_write_it() {
        let mut settings = Settings::new("https://localhost:1".into(), "secret".into(), 2);
        settings.service = "overlap_in_seconds: 60\ntypes:\n  - a\n".into();
        let text = settings.yaml();
        let expected = "inputs:\n  cloudsek:\n    id: cloudsek_1\n    enabled: true\n    base_url: https://localhost:1\n    \
                        allow_private_addresses: true\n    ca_file: chain.crt\n    credentials:\n      token: secret\n    \
                        requests_limits: [{period: 1m, number_of_requests: -1}]\n    services:\n      alerts:\n        \
                        request_period_in_seconds: 2\n        overlap_in_seconds: 60\n        types:\n          - a\n";
        assert!(text.ends_with(expected), "{text}");
        let output = "  devo_us_1:\n    type: devo_platform\n    config:\n      address: localhost\n      port: 2\n      \
                      type: SSL\n      chain: chain.crt\n      cert: example-domain.crt\n      key: example-domain.key\ninputs:";
        assert!(text.contains(output), "{text}");
        settings.kind = "syslog".into();
        settings.more_outputs = "screen: {type: console}\n".into();
        let output = "    type: syslog\n    config:\n      address: localhost\n      port: 2\n  screen: {type: console}\ninputs:";
        assert!(settings.yaml().contains(output), "{}", settings.yaml());
        settings.base_url = "http://localhost:1".into();
        assert!(settings.yaml().contains("    allow_http: true\n"));
    }
}
