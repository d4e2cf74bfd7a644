//! What there is once in a process: the engine, what it offers to components, the clock that interrupts them,
//! and the components themselves, each compiled once.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use collector_files::RootedPath;
use collector_model::Limits;
use sha2::{Digest, Sha256};
use tracing::debug;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, InstanceAllocationStrategy};

use crate::budget::{CallBudget, TenantBudget};
use crate::cache::{Cache, InUse};
use crate::call::CallState;
use crate::error::ComponentError;
use crate::linker::linker;
use crate::pool::pool;
use crate::sandbox::Sandbox;
use crate::slow_lane::SlowLane;
use crate::ticker::Ticker;
use crate::world;

/// What is at the beginning of a component, and of the modules that one is made of.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// The largest component of an operator: one with Python in it has 40 MB. What a tenant may have comes with
/// its path.
const MAX_FILE_IN_BYTES: u64 = 256 * 1024 * 1024;

/// Gives out sandboxes. Lives as long as the process.
pub struct Engine {
    engine: wasmtime::Engine,
    linker: Linker<CallState>,
    ticker: Arc<Ticker>,
    slow_lane: Option<Arc<SlowLane>>,
    cache: Option<Cache>,
    calls: CallBudget,
    /// By the hash of the component.
    sandboxes: Mutex<HashMap<[u8; 32], Arc<CompileSlot>>>,
}

/// One component's sandbox. Whoever runs it holds it; one that nobody runs any more is dropped. Locked while
/// it compiles, so that no component is compiled twice, and nobody waits for another one's.
type CompileSlot = Mutex<Weak<Sandbox>>;

/// Between two looks at a component that computes: short enough to end it in time, long enough to cost
/// nothing.
const TICK: Duration = Duration::from_millis(10);

/// The same where others wait for the worker that it computes on: an answer, or a connection, that comes
/// meanwhile is noticed that much later, about ten times in a cycle. It costs a thread that wakes up a
/// thousand times a second while calls are under way.
const SHARED_TICK: Duration = Duration::from_millis(1);

impl Engine {
    /// Starts the engine for services of one tenant that have these limits. What it compiles is kept in the
    /// folder `cache`, if one can be had.
    ///
    /// # Errors
    /// Where the machine can't run WebAssembly.
    pub fn alone(cache: Option<&Path>, limits: &[Limits]) -> wasmtime::Result<Self> {
        let mut pooled = settings();
        pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
        let engine = wasmtime::Engine::new(&pooled).or_else(|error| {
            debug!("Each call begins with new memory: {error:#}");
            wasmtime::Engine::new(&settings())
        })?;
        Self::start(engine, cache, TICK, None, CallBudget::default())
    }

    /// As [`Engine::alone`], for tenants that must not be in each other's way, and whose calls have this
    /// budget together.
    ///
    /// # Errors
    /// As [`Engine::alone`].
    pub fn shared(cache: Option<&Path>, calls: CallBudget) -> wasmtime::Result<Self> {
        Self::start(wasmtime::Engine::new(&settings())?, cache, SHARED_TICK, Some(SlowLane::start()?), calls)
    }

    /// The share that one more tenant has of what all calls may use.
    pub fn tenant_budget(&self) -> TenantBudget {
        self.calls.tenant()
    }

    fn start(
        engine: wasmtime::Engine,
        cache: Option<&Path>,
        tick: Duration,
        slow_lane: Option<SlowLane>,
        calls: CallBudget,
    ) -> wasmtime::Result<Self> {
        let cache = cache.and_then(|folder| {
            Cache::open(folder)
                .inspect_err(|reason| debug!("Compiled components are not kept: {}: {reason}", folder.display()))
                .ok()
        });
        let linker = linker(&engine)?;
        Ok(Self {
            ticker: Arc::new(Ticker::start(engine.clone(), tick)),
            slow_lane: slow_lane.map(Arc::new),
            engine,
            linker,
            cache,
            calls,
            sandboxes: Mutex::default(),
        })
    }

    /// The sandbox of a component in a file.
    ///
    /// # Errors
    /// As [`Engine::sandbox`], and where there is no component in the file.
    pub fn sandbox_of_file(&self, file: &RootedPath) -> Result<Arc<Sandbox>, ComponentError> {
        self.sandbox_of(file.owner(), &read(file)?)
    }

    /// The sandbox of a component. Blocks while it is compiled, unless another one runs the same component
    /// already or it has been compiled before.
    ///
    /// # Errors
    /// [`ComponentError`]; nothing of the component has run then.
    pub fn sandbox(&self, component: &[u8]) -> Result<Arc<Sandbox>, ComponentError> {
        self.sandbox_of(Path::new(""), component)
    }

    fn sandbox_of(&self, owner: &Path, component: &[u8]) -> Result<Arc<Sandbox>, ComponentError> {
        let slot = self.slot(Sha256::digest(component).into());
        // A panic leaves nothing half done, here and in the map.
        let mut known = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sandbox) = known.upgrade() {
            return Ok(sandbox);
        }
        let (component, in_use) = self.compile(owner, component)?;
        let sandbox = self.link(&component, in_use)?;
        *known = Arc::downgrade(&sandbox);
        Ok(sandbox)
    }

    fn slot(&self, hash: [u8; 32]) -> Arc<CompileSlot> {
        let mut sandboxes = self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is locked is being compiled, and somebody holds it.
        let is_unused = |slot: &Arc<CompileSlot>| {
            Arc::strong_count(slot) == 1 && slot.try_lock().is_ok_and(|known| known.strong_count() == 0)
        };
        sandboxes.retain(|_, slot| !is_unused(slot));
        sandboxes.entry(hash).or_default().clone()
    }

    fn compile(&self, owner: &Path, bytes: &[u8]) -> Result<(Component, InUse), ComponentError> {
        let compile = || Component::new(&self.engine, bytes).map_err(invalid);
        match &self.cache {
            Some(cache) => cache.load_or(&self.engine, bytes, owner, compile),
            None => Ok((compile()?, InUse::default())),
        }
    }

    fn link(&self, component: &Component, in_use: InUse) -> Result<Arc<Sandbox>, ComponentError> {
        let kind = component.component_type();
        let imports: Vec<_> = kind.imports(&self.engine).map(|(name, _)| name).collect();
        let exports: Vec<_> = kind.exports(&self.engine).map(|(name, _)| name).collect();
        world::check(imports.iter().copied(), exports.iter().copied())?;
        let pre = self.linker.instantiate_pre(component).map_err(invalid)?;
        Sandbox::new(pre, self.ticker.clone(), self.slow_lane.clone(), in_use).map_err(invalid)
    }
}

fn settings() -> Config {
    let mut settings = Config::new();
    settings.epoch_interruption(true);
    settings.concurrency_support(false);
    settings.wasm_component_model(true);
    settings
}

/// The file of a component, if it is one by its first bytes.
fn read(file: &RootedPath) -> Result<Vec<u8>, ComponentError> {
    let name = || file.display().to_string();
    let bytes = file.read(MAX_FILE_IN_BYTES).map_err(|error| ComponentError::Unreadable(name(), error))?;
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
