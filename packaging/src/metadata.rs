//! Who made a component, from what, and under which licence: in sections of its own, which change nothing
//! about what it does.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use wasm_metadata::{
    AddMetadata, AddMetadataField, Authors, Description, Licenses, Payload, Revision, Source, Version,
};

use crate::staged::workspace;

/// The version of the workspace, which is that of its components.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a component says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The commit that it was built from.
    pub revision: String,
    /// The address of the sources, where they have one.
    pub source: Option<String>,
}

impl About {
    /// Writes it, and the workspace's version, authors, licence and source, into a component.
    pub fn describe(&self, component: &[u8]) -> Result<Vec<u8>> {
        let mut add = AddMetadata::default();
        add.name = AddMetadataField::Set(self.name.clone());
        add.version = AddMetadataField::Set(Version::new(VERSION));
        add.authors = AddMetadataField::Set(Authors::new(env!("CARGO_PKG_AUTHORS")));
        add.licenses = AddMetadataField::Set(Licenses::new(env!("CARGO_PKG_LICENSE"))?);
        add.description = AddMetadataField::Set(Description::new(self.description.clone()));
        if let Some(source) = &self.source {
            add.source = AddMetadataField::Set(Source::new(source)?);
        }
        add.revision = AddMetadataField::Set(Revision::new(self.revision.clone()));
        add.to_wasm(component).context("writing metadata")
    }

    /// What is written in a component.
    pub fn read(component: &[u8]) -> Result<Self> {
        let payload = Payload::from_binary(component).context("reading metadata")?;
        let metadata = payload.metadata();
        let text = |value: Option<String>, what: &str| value.with_context(|| format!("there is no {what}"));
        Ok(Self {
            name: text(metadata.name.clone(), "name")?,
            description: text(metadata.description.as_ref().map(ToString::to_string), "description")?,
            revision: text(metadata.revision.as_ref().map(ToString::to_string), "revision")?,
            source: metadata.source.as_ref().map(ToString::to_string),
        })
    }
}

/// The commit that is checked out, with a mark if the sources differ from it.
pub fn revision() -> Result<String> {
    let changed = !git(&["status", "--porcelain"])?.is_empty();
    Ok(git(&["rev-parse", "HEAD"])? + if changed { "+changed" } else { "" })
}

/// Where this copy of the sources comes from, if that is on the web.
pub fn source() -> Option<String> {
    git(&["remote", "get-url", "origin"]).ok().filter(|url| url.starts_with("https://") && !url.contains('@'))
}

fn git(arguments: &[&str]) -> Result<String> {
    let output = Command::new("git").current_dir(workspace()).args(arguments).output().context("running git")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {}: {complaint}", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
