//! The manifests in `deploy/`: each names the interfaces that its platform has, and the composition for it imports no others.

use std::collections::BTreeSet;

use packaging::compose::{Composition, interfaces};
use sandbox::collector::workspace;
use serde_json::Value;

/// What every runtime of WASI 0.2 has beside wasi:http, without being asked.
const EVERYWHERE: [&str; 3] = ["wasi:io/", "wasi:clocks/", "wasi:http/types@"];

/// What the composition of this name imports and has to be given.
fn imports(composition: &str) -> BTreeSet<String> {
    let (imports, _) = interfaces(&Composition::named(composition).unwrap().compose().unwrap()).unwrap();
    let is_everywhere = |name: &String| EVERYWHERE.iter().any(|prefix| name.starts_with(prefix));
    imports.into_iter().filter(|name| !is_everywhere(name)).collect()
}

fn manifest(path: &str) -> String {
    std::fs::read_to_string(workspace().join("deploy").join(path)).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

#[test]
fn wasmcloud_is_asked_for_just_what_the_composition_imports() {
    let manifest = manifest("wasmcloud/workload.yaml");
    let (workload, schedule) = manifest.split_once("\n---\n").unwrap();
    let workload: Value = serde_saphyr::from_str(workload).unwrap();
    let spec = &workload["spec"]["template"]["spec"];
    let asked: BTreeSet<String> = spec["hostInterfaces"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|host| {
            let package = format!("{}:{}", text(&host["namespace"]), text(&host["package"]));
            let version = text(&host["version"]).to_owned();
            let interfaces = host["interfaces"].as_array().unwrap().clone();
            interfaces.into_iter().map(move |interface| format!("{package}/{}@{version}", text(&interface)))
        })
        .filter(|interface| !interface.starts_with("wasi:http/incoming-handler@"))
        .collect();
    assert_eq!(asked, imports("cloudsek-xvigil-wasmcloud"));
    assert!(text(&spec["components"][0]["image"]).contains("/cloudsek-xvigil-wasmcloud:"));

    // Two cycles at the same time would deliver everything twice.
    let schedule: Value = serde_saphyr::from_str(schedule).unwrap();
    assert_eq!(schedule["spec"]["concurrencyPolicy"], "Forbid");
    assert_eq!(workload["spec"]["replicas"], 1);
}

#[test]
fn spin_has_all_that_the_composition_imports() {
    let manifest = manifest("spin/spin.toml");
    let has: BTreeSet<String> = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("# has "))
        .map(|interface| interface.trim().to_owned())
        .collect();
    assert_eq!(has, imports("cloudsek-xvigil-spin"));
    assert!(manifest.contains("source = \"../../dist/cloudsek-xvigil-spin.wasm\""));
    // The adapter opens the bucket of this name.
    assert!(manifest.contains("key_value_stores = [\"default\"]"));
}
