//! What a component is made of, as CycloneDX 1.6: the crates that are linked into it, with versions, licences and checksums.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::metadata::VERSION;
use crate::staged::workspace;

/// The bill of a package of the workspace, as it is built for wasm.
pub fn of(package: &str) -> Result<Value> {
    let metadata = cargo(&["metadata", "--format-version=1", "--locked", "--filter-platform=wasm32-unknown-unknown"])?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = by_id(&metadata["packages"])?;
    let nodes = by_id(&metadata["resolve"]["nodes"])?;
    let root = packages.iter().find(|(_, described)| described["name"] == package).context("no such package")?.0;
    let linked = linked(root, &nodes, &packages)?;
    let checksums = checksums()?;
    let component = |id: &&str| -> Result<Value> {
        let described = packages.get(id).context("a package")?;
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
    let components = linked.iter().filter(|id| *id != root).map(component).collect::<Result<Vec<_>>>()?;
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

/// What runs in the component: no macro, no build script and no test has a part in it.
fn linked<'a>(
    root: &'a str,
    nodes: &BTreeMap<&'a str, &'a Value>,
    packages: &BTreeMap<&'a str, &'a Value>,
) -> Result<BTreeSet<&'a str>> {
    let mut found = BTreeSet::new();
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        let targets = list(&packages.get(id).context("a package")?["targets"])?;
        let is_macro = targets.iter().any(|target| target["kind"][0] == "proc-macro");
        if is_macro || !found.insert(id) {
            continue;
        }
        for dependency in list(&nodes.get(id).context("a node")?["deps"])? {
            if list(&dependency["dep_kinds"])?.iter().any(|kind| kind["kind"].is_null()) {
                open.push(text(&dependency["pkg"])?);
            }
        }
    }
    Ok(found)
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

fn by_id(values: &Value) -> Result<BTreeMap<&str, &Value>> {
    list(values)?.iter().map(|value| Ok((text(&value["id"])?, value))).collect()
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
