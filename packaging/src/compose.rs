//! The collector with adapters around it, as one component for a platform.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions};

use crate::staged;

/// A stack of components: each is given what those before it export, and what the last one exports is
/// exported.
#[derive(Debug, Clone, Copy)]
pub struct Composition {
    /// The file's name, without the extension.
    pub name: &'static str,
    /// Where it runs.
    pub platform: &'static str,
    /// The staged components, those first that others import from.
    pub stack: &'static [&'static str],
}

/// All of them.
pub const COMPOSITIONS: [Composition; 4] = [
    Composition {
        name: "cloudsek-xvigil-console",
        platform: "a host that calls `service` and has no output: events on standard output",
        stack: &["adapter-stderr-logging", "adapter-stdout-output", staged::COLLECTOR],
    },
    Composition {
        name: "cloudsek-xvigil-http",
        platform: "WASI 0.2 with wasi:http, wasi:config and wasi:keyvalue",
        stack: &["adapter-stderr-logging", "adapter-http-output", staged::COLLECTOR, "adapter-incoming-handler"],
    },
    Composition {
        name: "cloudsek-xvigil-spin",
        platform: "Spin 3",
        stack: &[
            "adapter-config-draft",
            "adapter-keyvalue-draft2",
            "adapter-stderr-logging",
            "adapter-http-output",
            staged::COLLECTOR,
            "adapter-incoming-handler",
        ],
    },
    Composition {
        name: "cloudsek-xvigil-wasmcloud",
        platform: "wasmCloud 2",
        stack: &["adapter-keyvalue-bucket", "adapter-http-output", staged::COLLECTOR, "adapter-incoming-handler"],
    },
];

impl Composition {
    /// The one of that name.
    pub fn named(name: &str) -> Result<&'static Self> {
        COMPOSITIONS
            .iter()
            .find(|composition| composition.name == name)
            .with_context(|| format!("no composition {name}"))
    }

    /// Composes the staged components.
    pub fn compose(&self) -> Result<Vec<u8>> {
        let parts = self.stack.iter().map(|name| Ok((*name, staged::read(name)?))).collect::<Result<Vec<_>>>()?;
        compose(&parts).with_context(|| format!("composing {}", self.name))
    }
}

fn compose(stack: &[(&str, Vec<u8>)]) -> Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let mut instances = Vec::new();
    for (name, bytes) in stack {
        let package = Package::from_bytes(&format!("devo:{name}"), None, bytes.clone(), graph.types_mut())?;
        let package = graph.register_package(package)?;
        let world = &graph.types()[graph[package].ty()];
        let imports: BTreeSet<String> = world.imports.keys().cloned().collect();
        let exports: Vec<String> = world.exports.keys().cloned().collect();
        let instance = graph.instantiate(package);
        for (giver, exported) in &instances {
            for name in imports.intersection(exported) {
                let export = graph.alias_instance_export(*giver, name)?;
                graph.set_instantiation_argument(instance, name, export)?;
            }
        }
        instances.push((instance, exports.into_iter().collect::<BTreeSet<_>>()));
    }
    let (last, exports) = instances.pop().context("an empty stack")?;
    for name in exports {
        let export = graph.alias_instance_export(last, &name)?;
        graph.export(export, &name)?;
    }
    Ok(graph.encode(EncodeOptions::default())?)
}

/// The interfaces that a component imports, and those that it exports.
pub fn interfaces(component: &[u8]) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let mut graph = CompositionGraph::new();
    let package = Package::from_bytes("devo:component", None, component.to_vec(), graph.types_mut())?;
    let package = graph.register_package(package)?;
    let world = &graph.types()[graph[package].ty()];
    Ok((world.imports.keys().cloned().collect(), world.exports.keys().cloned().collect()))
}
