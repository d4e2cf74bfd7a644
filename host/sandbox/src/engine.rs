//! What there is once in a process: the engine, what it offers to components, the clock that interrupts them,
//! and the components themselves, each compiled once.
//!
//! A component is either the operator's, which this program carries or the operator's own configuration
//! names: it is compiled here. Or it is a tenant's, and whoever wrote it may want to hurt others: see
//! [`compile`].

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use collector_files::{NoThread, RootedPath, Work};
use collector_model::{CompilationLimits, Limits};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{debug, info};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, InstanceAllocationStrategy};

use crate::budget::{CallBudget, TenantBudget};
use crate::cache::{Cache, InUse};
use crate::call::CallState;
use crate::compile::{Compiler, check_memories, check_sizes};
use crate::error::{Compilation, ComponentError, one_line};
use crate::instances::Instances;
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

/// Tenants' components that are read and looked at, or whose code is loaded, at the same time: each takes
/// some megabytes meanwhile.
const LOOKS: usize = 4;

/// How long a look at a tenant's file may take, on a file system that may not answer.
const LONGEST_LOOK: Duration = Duration::from_secs(30);

/// How long a look waits for a thread of its tenant, on which the one before may hang.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Address space of a memory where tenants share a process: as much as a call may use without a word of the
/// operator. One that grows beyond is moved. With the engine's own 4 GiB, code need not check the bounds of
/// each access, which nothing could be measured of: 60,000 alerts took 0.56 s of computing either way.
pub(crate) const RESERVATION_IN_BYTES: u64 = 256 * 1024 * 1024;

/// So many components are remembered that could not be compiled within the limits.
const REMEMBERED: usize = 1_000;

/// Gives out sandboxes. Lives as long as the process.
pub struct Engine {
    shared: Arc<Shared>,
    compiler: Compiler,
    looks: Semaphore,
    calls: CallBudget,
}

struct Shared {
    engine: wasmtime::Engine,
    linker: Linker<CallState>,
    ticker: Arc<Ticker>,
    slow_lane: Option<Arc<SlowLane>>,
    /// How many there may be, where their number is not known from the beginning.
    instances: Option<Instances>,
    cache: Option<Cache>,
    /// By the hash of the component.
    sandboxes: Mutex<HashMap<Hash, Arc<CompileSlot>>>,
    /// Components that need more than they may to be compiled, so that nobody tries again and again.
    refused: Mutex<HashMap<Hash, Compilation>>,
}

/// SHA-256 of a component.
type Hash = [u8; 32];

/// A tenant's component, looked at.
enum Looked {
    Ready(Arc<Sandbox>),
    Uncompiled(Vec<u8>),
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
        // Nobody else's component runs beside the operator's.
        Self::start(engine, cache, TICK, None, CompilationLimits::default(), CallBudget::default())
    }

    /// As [`Engine::alone`], for tenants that must not be in each other's way. Their components are compiled
    /// within these limits, and their calls have this budget together.
    ///
    /// # Errors
    /// As [`Engine::alone`].
    pub fn shared(cache: Option<&Path>, compilation: CompilationLimits, calls: CallBudget) -> wasmtime::Result<Self> {
        let engine = wasmtime::Engine::new(&shared_settings())?;
        Self::start(engine, cache, SHARED_TICK, Some(SlowLane::start()?), compilation, calls)
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
        compilation: CompilationLimits,
        calls: CallBudget,
    ) -> wasmtime::Result<Self> {
        let cache = cache.and_then(|folder| {
            Cache::open(folder)
                .inspect_err(|reason| debug!("Compiled components are not kept: {}: {reason}", folder.display()))
                .ok()
        });
        let linker = linker(&engine)?;
        let shared = Shared {
            ticker: Arc::new(Ticker::start(engine.clone(), tick)),
            instances: slow_lane.is_some().then(Instances::of_this_machine),
            slow_lane: slow_lane.map(Arc::new),
            engine,
            linker,
            cache,
            sandboxes: Mutex::default(),
            refused: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared), compiler: Compiler::new(compilation), looks: Semaphore::new(LOOKS), calls })
    }

    /// The sandbox of a component of the operator's, in a file.
    ///
    /// # Errors
    /// As [`Engine::sandbox`], and where there is no component in the file.
    pub fn sandbox_of_file(&self, file: &RootedPath) -> Result<Arc<Sandbox>, ComponentError> {
        self.sandbox_of(file.owner(), &read(file)?)
    }

    /// The sandbox of a component of the operator's. Blocks while it is compiled, unless another one runs the
    /// same component already or it has been compiled before.
    ///
    /// # Errors
    /// [`ComponentError`]; nothing of the component has run then.
    pub fn sandbox(&self, component: &[u8]) -> Result<Arc<Sandbox>, ComponentError> {
        self.sandbox_of(Path::new(""), component)
    }

    fn sandbox_of(&self, owner: &Path, component: &[u8]) -> Result<Arc<Sandbox>, ComponentError> {
        let slot = self.shared.slot(hash(component));
        // A panic leaves nothing half done, here and in the map.
        let mut known = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sandbox) = known.upgrade() {
            return Ok(sandbox);
        }
        let (component, in_use) = self.shared.compile(owner, component)?;
        let sandbox = self.shared.link(&component, in_use)?;
        *known = Arc::downgrade(&sandbox);
        Ok(sandbox)
    }

    /// The sandbox of a tenant's component, in a file. Where it has to be compiled, that happens in a process
    /// of its own, one after the other, and ends with this future.
    ///
    /// # Errors
    /// As [`Engine::sandbox_of_file`], and where the component is larger than those of tenants may be or
    /// takes more than it may to be compiled.
    pub async fn sandbox_of_tenant(&self, file: &RootedPath) -> Result<Arc<Sandbox>, ComponentError> {
        // Whose component is known need not wait, and whose is not waits without it.
        if let Looked::Ready(sandbox) = self.look(file).await? {
            return Ok(sandbox);
        }
        info!("The component {} is compiled as soon as those before it are", file.display());
        let turn = self.compiler.turn().await;
        // Meanwhile somebody may have compiled the same one, or the file may have another.
        let component = match self.look(file).await? {
            Looked::Ready(sandbox) => return Ok(sandbox),
            Looked::Uncompiled(component) => component,
        };
        let code = turn.compile(&component).await;
        let code = code.inspect_err(|error| self.shared.remember(hash(&component), error))?;
        let owner = file.owner().to_owned();
        self.run(file, move |shared| shared.load(&component, &owner, &code)).await
    }

    async fn look(&self, file: &RootedPath) -> Result<Looked, ComponentError> {
        let read = file.clone();
        self.run(file, move |shared| shared.look(&read)).await
    }

    /// Does work for the tenant of this file, on a thread of that tenant.
    async fn run<T: Send + 'static>(
        &self,
        file: &RootedPath,
        work: impl FnOnce(&Shared) -> Result<T, ComponentError> + Send + 'static,
    ) -> Result<T, ComponentError> {
        let shared = self.shared.clone();
        let _permit = self.looks.acquire().await;
        let done = file.threads().run(Work::Start, LONGEST_WAIT, move || work(&shared));
        timeout(LONGEST_LOOK, done).await.unwrap_or(Err(NoThread::Busy(LONGEST_LOOK)))?
    }
}

impl Shared {
    fn slot(&self, hash: Hash) -> Arc<CompileSlot> {
        let mut sandboxes = self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is locked is being compiled, and somebody holds it.
        let is_unused = |slot: &Arc<CompileSlot>| {
            Arc::strong_count(slot) == 1 && slot.try_lock().is_ok_and(|known| known.strong_count() == 0)
        };
        sandboxes.retain(|_, slot| !is_unused(slot));
        sandboxes.entry(hash).or_default().clone()
    }

    fn compile(&self, owner: &Path, bytes: &[u8]) -> Result<(Component, InUse), ComponentError> {
        if let Some(kept) = self.kept(owner, bytes) {
            return Ok(kept);
        }
        let component = Component::new(&self.engine, bytes).map_err(invalid)?;
        let Some(cache) = &self.cache else { return Ok((component, InUse::default())) };
        let in_use = match component.serialize() {
            Ok(code) => cache.keep(&self.engine, bytes, owner, &code),
            Err(reason) => {
                debug!("The compiled component is not kept: {reason:#}");
                InUse::default()
            }
        };
        Ok((component, in_use))
    }

    /// What the cache has of a component.
    fn kept(&self, owner: &Path, component: &[u8]) -> Option<(Component, InUse)> {
        self.cache.as_ref()?.load(&self.engine, component, owner)
    }

    fn link(&self, component: &Component, in_use: InUse) -> Result<Arc<Sandbox>, ComponentError> {
        let kind = component.component_type();
        let imports: Vec<_> = kind.imports(&self.engine).map(|(name, _)| name).collect();
        let exports: Vec<_> = kind.exports(&self.engine).map(|(name, _)| name).collect();
        world::check(imports.iter().copied(), exports.iter().copied())?;
        let pre = self.linker.instantiate_pre(component).map_err(invalid)?;
        let instances = self.instances.as_ref().map(|instances| instances.of_component(component));
        Sandbox::new(pre, self.ticker.clone(), self.slow_lane.clone(), instances, in_use).map_err(invalid)
    }

    /// Looks at a tenant's component: whether it is one, whether it has the sizes of one, and whether it need
    /// not be compiled.
    fn look(&self, file: &RootedPath) -> Result<Looked, ComponentError> {
        let component = read(file)?;
        let hash = hash(&component);
        if let Some(sandbox) = self.known(hash) {
            return Ok(Looked::Ready(sandbox));
        }
        check_sizes(&component)?;
        if let Some(reason) = self.refused().get(&hash) {
            return Err(ComponentError::Compilation(reason.clone()));
        }
        match self.kept(file.owner(), &component) {
            Some(compiled) => Ok(Looked::Ready(self.share(hash, compiled)?)),
            None => Ok(Looked::Uncompiled(component)),
        }
    }

    /// The sandbox of what the process that compiles has made of a component.
    fn load(&self, component: &[u8], owner: &Path, code: &[u8]) -> Result<Arc<Sandbox>, ComponentError> {
        if let Some(cache) = &self.cache {
            let _in_use = cache.keep(&self.engine, component, owner, code);
            // Mapped from its file, it can be forgotten and read again.
            if let Some(compiled) = cache.load(&self.engine, component, owner) {
                return self.share(hash(component), compiled);
            }
        }
        // SAFETY: the code must be what the engine wrote. It comes from this very program, by a pipe that nobody
        // else has, and the engine refuses what another version of it, or one with other settings, has
        // compiled. That the compiler makes nothing else of any component is what is trusted here and
        // everywhere.
        let compiled = unsafe { Component::deserialize(&self.engine, code) };
        let compiled = compiled.map_err(|error| {
            ComponentError::Compilation(Compilation::Failed(one_line(&format!("it gave no code: {error:#}"))))
        })?;
        self.share(hash(component), (compiled, InUse::default()))
    }

    /// The sandbox of a tenant's compiled component, if its instances don't take too much, for all who run
    /// it.
    fn share(&self, hash: Hash, (compiled, in_use): (Component, InUse)) -> Result<Arc<Sandbox>, ComponentError> {
        check_memories(&compiled)?;
        let sandbox = self.link(&compiled, in_use)?;
        *self.slot(hash).lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&sandbox);
        Ok(sandbox)
    }

    fn known(&self, hash: Hash) -> Option<Arc<Sandbox>> {
        self.slot(hash).lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    fn refused(&self) -> MutexGuard<'_, HashMap<Hash, Compilation>> {
        // A map that a panic left behind is as good as any.
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, hash: Hash, error: &ComponentError) {
        let ComponentError::Compilation(reason) = error else { return };
        if reason.is_final() {
            let mut refused = self.refused();
            // Whoever makes so many of them is not to find all that memory has.
            if refused.len() >= REMEMBERED {
                refused.clear();
            }
            refused.insert(hash, reason.clone());
        }
    }
}

fn settings() -> Config {
    let mut settings = Config::new();
    settings.epoch_interruption(true);
    settings.concurrency_support(false);
    settings.wasm_component_model(true);
    settings
}

/// Where tenants share a process: the same here and in the process that compiles.
pub(crate) fn shared_settings() -> Config {
    let mut settings = settings();
    settings.memory_reservation(RESERVATION_IN_BYTES).memory_reservation_for_growth(RESERVATION_IN_BYTES);
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

fn hash(component: &[u8]) -> Hash {
    Sha256::digest(component).into()
}

fn invalid(error: wasmtime::Error) -> ComponentError {
    ComponentError::Invalid(one_line(&format!("{error:#}")))
}
