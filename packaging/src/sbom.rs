//! What a component is made of, as CycloneDX 1.6: the crates that are linked into it, with versions, licences
//! and checksums.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::metadata::VERSION;
use crate::staged::workspace;

/// The bill of a package of the workspace, as it is built for wasm.
pub fn of(package: &str) -> Result<Value> {
    let metadata = cargo(&["metadata", "--format-version=1", "--locked"])?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = list(&metadata["packages"])?;
    let checksums = checksums()?;
    let linked = linked(package)?;
    let described = |(name, version): &(String, String)| {
        let mut packages = packages.iter();
        packages.find(|known| known["name"] == **name && known["version"] == **version).context("a package")
    };
    let component = |described: &Value| -> Result<Value> {
        let (name, version) = (text(&described["name"])?, text(&described["version"])?);
        let mut component = json!({
            "type": "library",
            "bom-ref": purl(name, version),
            "name": name,
            "version": version,
            "purl": purl(name, version),
        });
        // An expression of SPDX, but for the slash of old manifests.
        if let Some(licence) = described["license"].as_str() {
            component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
        }
        if let Some(checksum) = checksums.get(&(name.to_owned(), version.to_owned())) {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
        }
        Ok(component)
    };
    let linked = linked.iter().map(described).collect::<Result<Vec<_>>>()?;
    // What is of this project is the application itself.
    let foreign = linked.into_iter().filter(|described| !described["source"].is_null());
    let components = foreign.map(component).collect::<Result<Vec<_>>>()?;
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": purl(package, VERSION),
                "name": package,
                "version": VERSION,
                "licenses": [{ "expression": env!("CARGO_PKG_LICENSE") }],
            }
        },
        "components": components,
    }))
}

/// Name and version of what runs in the component, as cargo resolves it for this package alone: no macro, no
/// build script and no test has a part in it.
fn linked(package: &str) -> Result<BTreeSet<(String, String)>> {
    let target = "--target=wasm32-unknown-unknown";
    let edges = "--edges=normal,no-proc-macro";
    let tree = cargo(&["tree", "--locked", "--package", package, target, edges, "--prefix=none", "--format={p}"])?;
    let named = |line: &str| {
        let (name, rest) = line.split_once(" v")?;
        let version = rest.split(' ').next()?;
        Some((name.to_owned(), version.to_owned()))
    };
    tree.lines().filter(|line| !line.is_empty()).map(|line| named(line).context("a line of cargo tree")).collect()
}

/// The checksums of `Cargo.lock`, by name and version.
fn checksums() -> Result<BTreeMap<(String, String), String>> {
    let lock = std::fs::read_to_string(workspace().join("Cargo.lock"))?;
    let field = |entry: &str, name: &str| {
        let line = entry.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))?;
        Some(line.trim_matches('"').to_owned())
    };
    let entries = lock
        .split("[[package]]")
        .filter_map(|entry| Some(((field(entry, "name")?, field(entry, "version")?), field(entry, "checksum")?)));
    Ok(entries.collect())
}

fn cargo(arguments: &[&str]) -> Result<String> {
    let output = Command::new("cargo").current_dir(workspace()).args(arguments).output().context("running cargo")?;
    ensure!(output.status.success(), "cargo: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().context("a list")
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().context("a text")
}

fn purl(name: &str, version: &str) -> String {
    format!("pkg:cargo/{name}@{version}")
}
