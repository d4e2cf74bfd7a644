//! Names that stop resolving: the collector runs in a mount namespace of its own, where one hosts file is all
//! that names are looked up in, and lines are taken out of that file.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{goes_on, impatient, settled};
use crate::check::Report;
use crate::collector::{Collector, binary};
use crate::stage::{Plan, Stage};

/// The hosts file of one collector.
struct Hosts<'a> {
    stage: &'a Stage,
}

impl Hosts<'_> {
    /// Names that resolve from now on. Written in place: the file is mounted elsewhere.
    fn write(&self, names: &str) -> Result<()> {
        let path = self.stage.installation.product().join("hosts");
        std::fs::write(&path, format!("127.0.0.1 {names}\n")).with_context(|| format!("writing {}", path.display()))
    }
}

fn start(stage: &Stage) -> Result<Collector> {
    let product = stage.installation.product();
    std::fs::write(product.join("nsswitch.conf"), "hosts: files\n")?;
    for file in ["/etc/hosts", "/etc/nsswitch.conf"] {
        anyhow::ensure!(Path::new(file).is_file(), "there is no {file} that another could be mounted over");
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    command.arg(
        "mount --bind hosts /etc/hosts && mount --bind nsswitch.conf /etc/nsswitch.conf && exec \"$1\" --config config.yaml",
    );
    command.arg("sh").arg(binary()?);
    Collector::start_by(stage.installation.product(), command)
        .context("unshare (util-linux) is needed, and a kernel that lets users make namespaces")
}

pub(super) fn devo_does_not_resolve() -> Result<Report> {
    let mut stage = impatient("devo-name", 100)?;
    stage.settings.address = "devo.test".into();
    stage.settings.output += "verify_hostname: false\n";
    stage.configure()?;
    Hosts { stage: &stage }.write("localhost devo.test")?;
    let collector = start(&stage)?;
    collector.wait_until_sent(100)?;
    Hosts { stage: &stage }.write("localhost")?;
    stage.add_newer(50);
    collector.wait_for_complaint(&["PullError [CODE:0300]", "devo.test"])?;
    Hosts { stage: &stage }.write("localhost devo.test")?;
    stage.wait_for_all(&collector)?;
    settled(&stage, &collector)
}

pub(super) fn api_does_not_resolve() -> Result<Report> {
    let mut stage = Stage::set("api-name", &Plan { https: false, ..Plan::new(100) })?;
    stage.settings.base_url = stage.settings.base_url.replace("localhost", "api.test");
    stage.configure()?;
    Hosts { stage: &stage }.write("localhost api.test")?;
    let collector = start(&stage)?;
    collector.wait_until_sent(100)?;
    Hosts { stage: &stage }.write("localhost")?;
    // Without a connection to go on with.
    stage.simulator.stop();
    stage.simulator.resume()?;
    stage.add_newer(50);
    collector.wait_for_complaint(&["ApiError [CODE:0497]", "api.test"])?;
    Hosts { stage: &stage }.write("localhost api.test")?;
    goes_on(&mut stage, &collector)
}
