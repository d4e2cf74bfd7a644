//! Packs the collector component for publication: `just package` writes it to `dist/`, with its compositions,
//! its WIT package, a bill of materials and checksums.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use packaging::compose::COMPOSITIONS;
use packaging::metadata::{About, revision, source};
use packaging::staged::{self, COLLECTOR, workspace};
use packaging::{sbom, wit};
use sha2::{Digest, Sha256};

/// A component that is larger has something in it that nobody meant to put there.
const LIMIT_IN_BYTES: usize = 600_000;

/// What the collector does, in a line.
const DESCRIPTION: &str = "Pulls, dedupes and formats CloudSEK XVigil alerts for Devo";

fn main() -> Result<()> {
    let (revision, source) = (revision()?, source());
    let about = |name: &str, description: &str| About {
        name: name.to_owned(),
        description: description.to_owned(),
        revision: revision.clone(),
        source: source.clone(),
    };
    let collector = about(COLLECTOR, DESCRIPTION).describe(&staged::read(COLLECTOR)?)?;
    ensure!(collector.len() < LIMIT_IN_BYTES, "{COLLECTOR} has {} bytes, over {LIMIT_IN_BYTES}", collector.len());

    let mut files = vec![(format!("{COLLECTOR}.wasm"), collector)];
    for composition in COMPOSITIONS {
        let described = about(composition.name, composition.platform).describe(&composition.compose()?)?;
        files.push((format!("{}.wasm", composition.name), described));
    }
    files.push(("devo-collector.wit.wasm".to_owned(), wit::package()?));
    files.push((format!("{COLLECTOR}.cdx.json"), serde_json::to_vec_pretty(&sbom::of(COLLECTOR)?)?));

    let folder = workspace().join("dist");
    std::fs::create_dir_all(&folder)?;
    let mut checksums = String::new();
    for (name, bytes) in &files {
        std::fs::write(folder.join(name), bytes).with_context(|| format!("writing {name}"))?;
        let digest = Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        writeln!(checksums, "{digest}  {name}")?;
        println!("{:>9} bytes  dist/{name}", bytes.len());
    }
    std::fs::write(folder.join("SHA256SUMS"), checksums)?;
    let from = source.as_deref().unwrap_or("a repository that is not on the web, which is not written into them");
    println!("revision {revision} of {from}; checksums are in dist/SHA256SUMS");
    Ok(())
}
