//! What the documents and manifests say of platforms is what the components ask for.

use std::collections::BTreeSet;

use packaging::compose::{COMPOSITIONS, Composition, interfaces};
use packaging::metadata::About;
use packaging::staged::{self, COLLECTOR};
use packaging::{sbom, wit};
use sandbox::collector::workspace;

/// What a platform has, and the manifest that a composition is deployed there with.
struct Offer {
    composition: &'static str,
    manifest: Option<&'static str>,
    interfaces: &'static [&'static str],
}

/// Part of every WASI 0.2 platform that calls HTTP handlers, in any version of 0.2.
const HTTP: &[&str] = &[
    "wasi:cli/stderr@0.2.0",
    "wasi:clocks/monotonic-clock@0.2.0",
    "wasi:clocks/wall-clock@0.2.0",
    "wasi:http/outgoing-handler@0.2.0",
    "wasi:http/types@0.2.0",
    "wasi:io/error@0.2.0",
    "wasi:io/poll@0.2.0",
    "wasi:io/streams@0.2.0",
];

const OFFERS: [Offer; 3] = [
    Offer {
        composition: "cloudsek-xvigil-http",
        manifest: None,
        interfaces: &["wasi:config/store@0.2.0-rc.1", "wasi:keyvalue/store@0.2.0-draft"],
    },
    Offer {
        composition: "cloudsek-xvigil-spin",
        manifest: Some("deploy/spin/spin.toml"),
        interfaces: &["wasi:config/store@0.2.0-draft-2024-09-27", "wasi:keyvalue/store@0.2.0-draft2"],
    },
    Offer {
        composition: "cloudsek-xvigil-wasmcloud",
        manifest: Some("deploy/wasmcloud/workload.yaml"),
        interfaces: &[
            "wasi:config/store@0.2.0-rc.1",
            "wasi:keyvalue/store@0.2.0-draft",
            "wasi:logging/logging@0.1.0-draft",
        ],
    },
];

fn read(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path)).expect("a file of this repository")
}

#[test]
fn a_composition_imports_what_its_platform_has_in_exactly_that_version() {
    for offer in OFFERS {
        let component = Composition::named(offer.composition).unwrap().compose().unwrap();
        let (imports, _) = interfaces(&component).unwrap();
        let beyond: BTreeSet<_> =
            imports.iter().filter(|name| !HTTP.contains(&name.as_str())).map(String::as_str).collect();
        assert_eq!(beyond, BTreeSet::from_iter(offer.interfaces.iter().copied()), "{}", offer.composition);
    }
}

#[test]
fn a_manifest_names_the_component_that_is_packed_and_the_hosts_that_it_may_reach() {
    for offer in OFFERS {
        let Some(path) = offer.manifest else { continue };
        let manifest = read(path);
        for part in
            [offer.composition, "api.cloudsek.com", "http-us.devo.io", "devo_domain", "devo_token", "not run here"]
        {
            assert!(manifest.contains(part), "{path} lacks {part}");
        }
    }
}

/// wasmCloud's manifests name interfaces with their versions; Spin's don't, for it has one of each.
#[test]
fn the_interfaces_of_the_wasmcloud_manifest_are_those_of_the_component() {
    let manifest = read("deploy/wasmcloud/workload.yaml");
    let mut declared = BTreeSet::new();
    for entry in manifest.split("- namespace: ").skip(1) {
        let field = |name: &str| {
            let line = entry.lines().find_map(|line| line.trim().strip_prefix(name));
            line.unwrap_or_else(|| panic!("{name} of {entry}")).trim().to_owned()
        };
        let namespace = entry.lines().next().unwrap().trim();
        let names = field("interfaces:");
        for name in names.trim_matches(['[', ']']).split(", ") {
            declared.insert(format!("{namespace}:{}/{name}@{}", field("package:"), field("version:")));
        }
    }
    let component = Composition::named("cloudsek-xvigil-wasmcloud").unwrap().compose().unwrap();
    let (imports, exports) = interfaces(&component).unwrap();
    // What every host has by itself is not declared, and wasi:http/types comes with the handlers.
    let own = |name: &&String| {
        ["wasi:clocks/", "wasi:io/"].iter().any(|start| name.starts_with(start)) || name.contains("http/types")
    };
    let expected: BTreeSet<_> = imports.union(&exports).filter(|name| !own(name)).cloned().collect();
    assert_eq!(declared, expected);
}

#[test]
fn the_table_of_platforms_has_every_composition_and_its_interfaces() {
    let document = read("docs/platforms.md");
    for composition in COMPOSITIONS {
        assert!(document.contains(composition.name), "{}", composition.name);
    }
    for interface in OFFERS.iter().flat_map(|offer| offer.interfaces) {
        let name = interface.rsplit_once('/').map_or(*interface, |(package, _)| package);
        let version = interface.rsplit_once('@').map_or("", |(_, version)| version);
        assert!(document.contains(&format!("{name}@{version}")), "{interface}");
    }
}

#[test]
fn what_is_published_says_who_made_it_and_is_otherwise_what_is_staged() {
    let staged = staged::read(COLLECTOR).unwrap();
    let about = About {
        name: COLLECTOR.into(),
        description: "Pulls alerts".into(),
        revision: "0123456789abcdef".into(),
        source: Some("https://example.com/sources".into()),
    };
    let published = about.describe(&staged).unwrap();
    let read = About::read(&published).unwrap();
    assert_eq!(read, about);
    assert_eq!(interfaces(&published).unwrap(), interfaces(&staged).unwrap());
    // Sections come one after another, and those that do something are the same ones in the same order.
    assert!(sections(&published) == sections(&staged), "the metadata has changed the component");
}

/// The sections of a component that are not custom ones.
fn sections(component: &[u8]) -> Vec<&[u8]> {
    let mut rest = &component[8..];
    let mut found = Vec::new();
    while let Some((&id, after)) = rest.split_first() {
        let mut length = 0_usize;
        let mut shift = 0;
        let mut taken = 0;
        for &byte in after {
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            taken += 1;
            if byte < 0x80 {
                break;
            }
        }
        let (body, next) = after[taken..].split_at(length);
        if id != 0 {
            found.push(body);
        }
        rest = next;
    }
    found
}

#[test]
fn the_bill_of_materials_has_what_is_linked_and_nothing_else() {
    let bill = sbom::of(COLLECTOR).unwrap();
    let names: BTreeSet<_> =
        bill["components"].as_array().unwrap().iter().map(|component| component["name"].as_str().unwrap()).collect();
    for linked in ["chrono", "hashbrown", "serde_json", "regex-lite", "siphasher", "wit-bindgen"] {
        assert!(names.contains(linked), "{linked}: {names:?}");
    }
    for absent in ["proptest", "tokio", "wasmtime", "syn", "foldhash", "alert-records", COLLECTOR] {
        assert!(!names.contains(absent), "{absent} is no part of the component");
    }
    let complete =
        |component: &serde_json::Value| component["hashes"][0]["content"].as_str().is_some_and(|hash| hash.len() == 64);
    assert!(bill["components"].as_array().unwrap().iter().all(complete), "{bill:#}");
}

#[test]
fn the_wit_package_is_a_component_of_types() {
    assert!(wit::package().unwrap().starts_with(b"\0asm\x0d\0\x01\0"));
}
