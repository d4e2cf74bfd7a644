//! What there is once in a process: the engine, what it offers to components, the clock that interrupts them, and the
//! components themselves, each compiled once.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sha2::{Digest, Sha256};
use tracing::debug;
use wasmtime::Config;
use wasmtime::component::{Component, Linker};

use super::cache::Cache;
use super::cycle::Cycle;
use super::error::ComponentError;
use super::linker::linker;
use super::ticker::Ticker;
use super::{BUNDLED, Sandbox, world};
use crate::config;

/// What is at the beginning of a component, and of the modules that one is made of.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// Gives out sandboxes. Lives as long as the process.
pub struct Engine {
    engine: wasmtime::Engine,
    linker: Linker<Cycle>,
    ticker: Arc<Ticker>,
    cache: Option<Cache>,
    /// By the hash of the component. Whoever runs one holds it; one that nobody runs any more is dropped.
    sandboxes: Mutex<HashMap<[u8; 32], Weak<Sandbox>>>,
}

impl Engine {
    /// Starts the engine. What it compiles is kept in the folder `cache`, if one can be had. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// Where the machine can't run WebAssembly.
    pub fn start(cache: Option<&Path>) -> wasmtime::Result<Self> {
        let mut config = Config::new();
        config.epoch_interruption(true);
        config.concurrency_support(false);
        config.wasm_component_model(true);
        let engine = wasmtime::Engine::new(&config)?;
        let cache = cache.and_then(|folder| {
            Cache::open(folder)
                .inspect_err(|reason| debug!("Compiled components are not kept: {}: {reason}", folder.display()))
                .ok()
        });
        let linker = linker(&engine)?;
        Ok(Self { ticker: Arc::new(Ticker::start(engine.clone())), engine, linker, cache, sandboxes: Mutex::default() })
    }

    /// The sandbox of a component. Blocks while it is compiled, unless another one runs the same component already or it
    /// has been compiled before.
    ///
    /// # Errors
    /// [`ComponentError`]; nothing of the component has run then.
    pub fn sandbox(&self, component: &config::Component) -> Result<Arc<Sandbox>, ComponentError> {
        match component {
            config::Component::Bundled => self.compiled(BUNDLED),
            config::Component::File { path, .. } => self.compiled(&read(path)?),
        }
    }

    fn compiled(&self, bytes: &[u8]) -> Result<Arc<Sandbox>, ComponentError> {
        let hash = Sha256::digest(bytes).into();
        // Held while it compiles, so that no component is compiled twice. A panic leaves nothing half done in the map.
        let mut sandboxes = self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sandbox) = sandboxes.get(&hash).and_then(Weak::upgrade) {
            return Ok(sandbox);
        }
        let sandbox = Arc::new(self.link(&self.compile(bytes)?)?);
        sandboxes.retain(|_, sandbox| sandbox.strong_count() > 0);
        sandboxes.insert(hash, Arc::downgrade(&sandbox));
        Ok(sandbox)
    }

    fn compile(&self, bytes: &[u8]) -> Result<Component, ComponentError> {
        let compile = || Component::new(&self.engine, bytes).map_err(invalid);
        match &self.cache {
            Some(cache) => cache.load_or(&self.engine, bytes, compile),
            None => compile(),
        }
    }

    fn link(&self, component: &Component) -> Result<Sandbox, ComponentError> {
        let kind = component.component_type();
        let imports: Vec<_> = kind.imports(&self.engine).map(|(name, _)| name).collect();
        let exports: Vec<_> = kind.exports(&self.engine).map(|(name, _)| name).collect();
        world::check(imports.iter().copied(), exports.iter().copied())?;
        let pre = self.linker.instantiate_pre(component).map_err(invalid)?;
        Sandbox::new(pre, self.ticker.clone()).map_err(invalid)
    }
}

/// The file of a component, if it is one by its first bytes.
fn read(path: &Path) -> Result<Vec<u8>, ComponentError> {
    let name = || path.display().to_string();
    let bytes = fs::read(path).map_err(|error| ComponentError::Unreadable(name(), error))?;
    if bytes.starts_with(COMPONENT) {
        Ok(bytes)
    } else if bytes.starts_with(MODULE) {
        Err(ComponentError::NotAComponent(name(), "it is a core module"))
    } else {
        Err(ComponentError::NotAComponent(name(), "it does not begin as one"))
    }
}

fn invalid(error: wasmtime::Error) -> ComponentError {
    ComponentError::Invalid(format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" "))
}
