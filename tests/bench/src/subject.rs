//! Who does the work that is measured.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use sandbox::collector::{binary, built, without_proxy, workspace};
use sandbox::installation::Installation;
use sandbox::receiver::Receiver;

use crate::scene::{LIMIT, Scene};

/// One of those that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Subject {
    /// The product.
    Collector,
    /// The component's logic without a sandbox, behind the same host.
    Native,
    /// A program that only moves the bytes.
    Floor,
    /// Tenzir's pipeline engine, in C++.
    Tenzir,
    /// Python with requests and Devo's SDK, which the original is made of.
    DevoSdk,
}

impl Subject {
    /// All of them, in the order of a round.
    pub const ALL: [Self; 5] = [Self::Collector, Self::Native, Self::Floor, Self::Tenzir, Self::DevoSdk];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Collector => "devo-collector",
            Self::Native => "the same logic, native",
            Self::Floor => "moving the bytes alone",
            Self::Tenzir => "Tenzir",
            Self::DevoSdk => "requests + devo-sdk",
        }
    }

    /// Whether every event must arrive byte for byte. Of the others it is the ids that count: they write
    /// records anew.
    pub fn is_faithful(self) -> bool {
        matches!(self, Self::Collector | Self::Native)
    }

    /// Whether what arrives are events.
    pub fn sends_events(self) -> bool {
        self != Self::Floor
    }

    /// Whether it ends when its work is done.
    pub fn ends_by_itself(self) -> bool {
        self != Self::Collector
    }

    /// How it is started for this source and this receiver. `extra` is for the floor: see
    /// [`crate::arguments::Route`].
    pub fn command(
        self,
        scene: &Scene,
        installation: &Installation,
        receiver: &Receiver,
        extra: usize,
    ) -> Result<Command> {
        let certs = installation.certs();
        let mut command = match self {
            Self::Collector => collector()?,
            Self::Native => {
                let mut command = Command::new(built("bench-native")?);
                command.args(["--config", "config.yaml"]);
                command
            }
            Self::Floor => {
                let mut command = Command::new(built("bench-floor")?);
                let api = format!("localhost:{}", scene.simulator.port());
                command.args(["--api", &api, "--token", &scene.simulator.token()]);
                command.args(["--limit", &LIMIT.to_string(), "--pages", &scene.pages().to_string()]);
                command.args(["--extra", &extra.to_string(), "--port", &receiver.port().to_string()]);
                command.arg("--certs").arg(&certs);
                command.args(scene.https.then_some("--https"));
                command
            }
            Self::DevoSdk => {
                let mut command = Command::new(installed("python")?);
                command.arg(workspace().join("tests/peers/requests_devo_sdk.py"));
                command.args([&scene.simulator.base_url(), &scene.simulator.token(), &LIMIT.to_string()]);
                command.arg(receiver.port().to_string()).arg(&certs);
                command
            }
            Self::Tenzir => {
                let pipeline = installation.product().join("pipeline.tql");
                std::fs::write(&pipeline, tenzir_pipeline(scene, receiver, &certs)?)?;
                let mut command = Command::new(installed("tenzir")?);
                command.arg("-f").arg(pipeline);
                command
            }
        };
        surround(&mut command, installation, &scene.cache());
        Ok(command)
    }

    /// Whether it is there, and how to get it if not.
    pub fn check(self) -> Result<()> {
        match self {
            Self::Collector => binary().map(drop),
            Self::Native => built("bench-native").map(drop),
            Self::Floor => built("bench-floor").map(drop),
            Self::Tenzir => installed("tenzir").map(drop),
            Self::DevoSdk => installed("python").map(drop),
        }
    }
}

/// The product, for the configuration of the folder in which it is started.
pub(crate) fn collector() -> Result<Command> {
    let mut command = Command::new(binary()?);
    command.args(["--config", "config.yaml"]);
    Ok(command)
}

/// Where a command is started, and what it finds there. Compiled components are kept in `cache`.
pub(crate) fn surround(command: &mut Command, installation: &Installation, cache: &Path) {
    command.current_dir(installation.product());
    without_proxy(command);
    command.env("XDG_CACHE_HOME", cache);
}

/// The template of `tests/peers/tenzir.tql` with this source and this receiver.
fn tenzir_pipeline(scene: &Scene, receiver: &Receiver, certs: &Path) -> Result<String> {
    let template = std::fs::read_to_string(workspace().join("tests/peers/tenzir.tql"))?;
    // It takes the first address of a name alone, and that may be one of IPv6.
    let api = scene.simulator.base_url().replace("localhost", "127.0.0.1") + sandbox::simulator::PATH;
    let certs = certs.to_str().context("a path of text")?;
    let https = if scene.https { format!(", tls={{cacert: \"{certs}/chain.crt\"}} ") } else { String::new() };
    Ok(template
        .replace("@API@", &api)
        .replace("@TOKEN@", &scene.simulator.token())
        .replace("@LIMIT@", &LIMIT.to_string())
        .replace("@PORT@", &receiver.port().to_string())
        .replace("@CERTS@", certs)
        .replace("@HTTPS@", &https))
}

fn installed(name: &str) -> Result<std::path::PathBuf> {
    let path = workspace().join(".venv/bin").join(name);
    ensure!(path.exists(), "there is no {}: run `just bench`, which installs the peers", path.display());
    Ok(path)
}
