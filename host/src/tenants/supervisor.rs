//! Brings folders and running tenants together: looks at what has changed, and starts, changes and stops
//! tenants accordingly. It reads no file itself and waits for no tenant, so that none can hold it up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use collector_config::{HostConfig, Plan, Policy};
use collector_files::{NoThread, Root, Work};
use collector_model::{ErrorCode, TenantName};
use collector_sandbox::{CallBudget, Engine};
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, warn};

use super::folder::{self, Folders};
use super::reconcile::{Action, Known, Look, decide};
use super::runner::{Outcome, TenantRunner};
use super::watch::{Changes, Watch};
use super::{jitter, open_files};
use crate::devo_compat::tenant_span;
use crate::observe::admin::{Admin, Serves, SharedByTenants};
use crate::observe::log::{LogQuota, Masks};
use crate::observe::state::{ServiceRegistry, StateChanges};
use crate::observe::status::Status;
use crate::observe::telemetry::{Messages, Routes};
use crate::service::End;
use crate::tenant::{Sandboxes, Tenant};

/// Tenants that are prepared at the same time: it is disk and computing, of which more at once is not faster.
const PREPARE_SLOTS: usize = 8;

/// Tenants that warm up at the same time: the first cycle of each costs ten times as much as a later one, and
/// each call that is under way has memory of its own. Without a bound, ten thousand that begin within a
/// minute pile up.
const WARM_UP_SLOTS: usize = 64;

/// A tenant that needs longer for its first cycle, since its API is slow or away, is in nobody's way any
/// more.
const LONGEST_WARM_UP: Duration = Duration::from_secs(1);

/// How often all tenants are looked at where not every change is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A tenant whose configuration is not read in this time has a file system that does not answer.
const LONGEST_LOOK: Duration = Duration::from_secs(30);

/// A tenant that is not ready in this time leaves its slot to others, and is tried again later.
const LONGEST_START: Duration = Duration::from_secs(120);

/// How long a look or a start waits for one before it of the same tenant, which nobody waits for any more.
/// Short: it has a slot that others want.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// In good order a tenant stops within six seconds: three for a call, three for its last messages. Whoever
/// takes longer than this is left behind; what it has not confirmed is pulled again at the next start.
const LONGEST_STOP: Duration = Duration::from_secs(10);

/// Hosts the tenants of a folder until the stop.
///
/// # Errors
/// The folder can't be read at the start, or the component can't be run. Later, nothing ends it but the stop.
///
/// Compiled components are kept in the folder `cache`, if one is given.
pub async fn run(
    tenants: &Path,
    decided: HostConfig,
    cache: Option<&Path>,
    shown: Shown,
    stop: CancellationToken,
) -> Result<End> {
    let mut hangup = signal(SignalKind::hangup())?;
    let unusable = || format!("the folder of the tenants, {}, can't be read; nothing was started", tenants.display());
    let root = tenants.canonicalize().with_context(unusable)?;
    folder::names(&root).with_context(unusable)?;
    let confined = Root::of_tenants(&root, decided.policy.quota.disk_in_bytes).with_context(unusable)?;
    folder::warn_of_hard_links();
    open_files::raise();
    let HostConfig { admin, policy, calls, compilation, .. } = decided;
    let calls = CallBudget::new(calls);
    let registry = ServiceRegistry::default();
    let shared = SharedByTenants { calls: calls.clone(), log_quota: shown.log_quota.clone() };
    let admin = Admin::bind(&admin, registry.clone(), Serves::Tenants(shared)).await?;
    let log_quota = shown.log_quota.clone();
    let host = Arc::new(Host {
        tenants: confined,
        engine: Engine::shared(cache, compilation, calls)
            .map_err(|error| anyhow!("the WebAssembly engine can't start: {error:#}"))?,
        shown,
        registry,
        prepare_slots: Semaphore::new(PREPARE_SLOTS),
        warm_up_slots: Semaphore::new(WARM_UP_SLOTS),
        running: AtomicUsize::new(0),
        stop: stop.clone(),
    });
    let mut supervisor = Supervisor {
        watch: Watch::start(&root),
        root,
        policy: Arc::new(policy),
        tenants: BTreeMap::new(),
        runners: BTreeMap::new(),
        host: host.clone(),
    };
    let changes = StateChanges::new(host.registry.clone());
    let status = Status::start(move |_| host.line());
    let supervised = async {
        supervisor.look_everywhere().await;
        info!("Hosting {} tenants of {}", supervisor.tenants.len(), supervisor.root.display());
        loop {
            tokio::select! {
                changes = supervisor.watch.changes() => supervisor.look_at(changes).await,
                _ = hangup.recv() => {
                    info!("Received the \"Hangup\" system signal (code: 1), all tenants are looked at");
                    supervisor.look_everywhere().await;
                }
                () = tokio::time::sleep(LOOK_EVERY), if !supervisor.watch.is_complete() => {
                    supervisor.look_everywhere().await;
                }
            }
        }
    };
    tokio::select! {
        () = supervised => {}
        never = status.report() => match never {},
        never = log_quota.report() => match never {},
        never = admin.serve() => match never {},
        never = changes.tell() => match never {},
        () = stop.cancelled() => {}
    }
    supervisor.stop().await;
    log_quota.report_last();
    Ok(End::Stopped)
}

/// What becomes of the lines of tenants.
#[derive(Clone, Default)]
pub struct Shown {
    /// Whose messages they are.
    pub routes: Routes,
    /// Whose secrets are taken out of them.
    pub masks: Masks,
    /// How much of them is written to the log.
    pub log_quota: LogQuota,
}

/// What the tenants share.
struct Host {
    /// The folder of the tenants.
    tenants: Root,
    engine: Engine,
    shown: Shown,
    registry: ServiceRegistry,
    prepare_slots: Semaphore,
    warm_up_slots: Semaphore,
    running: AtomicUsize,
    stop: CancellationToken,
}

struct Supervisor {
    /// The folder of the tenants, without links.
    root: PathBuf,
    policy: Arc<Policy>,
    watch: Watch,
    tenants: BTreeMap<TenantName, Hosted>,
    /// Those of tenants that are gone as well, until they have stopped.
    runners: BTreeMap<TenantName, JoinHandle<()>>,
    host: Arc<Host>,
}

/// What the supervisor knows of a tenant.
#[derive(Default)]
struct Hosted {
    known: Known,
    /// The way to its runner, while it has one; dropping it stops the tenant.
    updates: Option<watch::Sender<Arc<Plan>>>,
}

impl Supervisor {
    async fn look_everywhere(&mut self) {
        let root = self.root.clone();
        let names = match tokio::task::spawn_blocking(move || folder::names(&root)).await {
            Ok(Ok(names)) => names,
            Ok(Err(error)) => {
                return error!(
                    "The folder {} can't be read: {error}. All tenants go on as they are",
                    self.root.display()
                );
            }
            // The runtime is ending.
            Err(_) => return,
        };
        let gone = self.tenants.keys().filter(|name| !names.contains(*name)).cloned().collect::<Vec<_>>();
        self.look(names.into_iter().chain(gone).collect()).await;
    }

    async fn look_at(&mut self, changes: Changes) {
        if changes.anywhere { self.look_everywhere().await } else { self.look(changes.tenants).await }
    }

    /// Looks at these tenants, a few at a time, and acts on each as soon as it was looked at.
    async fn look(&mut self, names: BTreeSet<TenantName>) {
        let known = |name: &TenantName| self.tenants.get(name).and_then(|hosted| hosted.known.latest().cloned());
        let looks: Vec<_> = names.into_iter().map(|name| (known(&name), name)).collect();
        let (root, policy) = (self.host.tenants.clone(), self.policy.clone());
        let mut looks = futures_util::stream::iter(looks)
            .map(|(known, name)| {
                let (root, policy) = (root.clone(), policy.clone());
                async move {
                    let looked = name.clone();
                    let threads = root.threads_of(name.shared());
                    let look = move || folder::look(&root, &looked, known.as_ref(), &policy);
                    (name, timeout(LONGEST_LOOK, threads.run(Work::Configuration, LONGEST_WAIT, look)).await)
                }
            })
            .buffer_unordered(PREPARE_SLOTS);
        while let Some((name, look)) = looks.next().await {
            match look {
                Ok(Ok(Ok((look, folders)))) => self.act(name, look, &folders),
                Ok(Ok(Err(error))) => error!(
                    tenant = %name,
                    "The tenant {name}: its configuration could not be looked at: {error}. It goes on as it is"
                ),
                Ok(Err(NoThread::Gone)) => error!(
                    tenant = %name,
                    "The tenant {name}: its configuration could not be looked at by a defect of this program, please report \
                     it. It goes on as it is"
                ),
                Ok(Err(NoThread::Busy(_))) | Err(_) => error!(
                    tenant = %name,
                    "The tenant {name}: its configuration could not be looked at in time, since its file \
                     system does not answer. It goes on as it is"
                ),
            }
        }
        self.runners.retain(|_, runner| !runner.is_finished());
    }

    fn act(&mut self, name: TenantName, look: Look, folders: &Folders) {
        let Hosted { known, updates } = self.tenants.remove(&name).unwrap_or_default();
        let (known, action) = decide(known, look);
        let mut hosted = Hosted { known, updates };
        match action {
            Action::Unchanged => {}
            Action::Stop => {
                if hosted.updates.is_some() {
                    info!(tenant = %name, "The tenant {name} is gone, and is stopped");
                }
                self.watch.forget(&name);
                self.host.registry.forget(name.shared());
                // Of a tenant that is gone, nothing is kept; its runner ends by itself.
                return;
            }
            Action::Start(plan) => {
                info!(tenant = %name, "The tenant {name} is started");
                self.host.registry.accept(name.shared());
                hosted.updates = Some(self.keep_running(&name, *plan));
            }
            Action::Restart(plan) => {
                info!(tenant = %name, "The tenant {name} has changed, and is started again");
                self.host.registry.accept(name.shared());
                if let Some(updates) = &hosted.updates {
                    updates.send_replace(Arc::new(*plan));
                }
            }
            Action::Reverted => {
                info!(tenant = %name, "The tenant {name} has the configuration again that it runs with");
                self.host.registry.accept(name.shared());
            }
            Action::Refuse(problem) => {
                let meanwhile = match hosted.updates {
                    Some(_) => "It runs on with the configuration before",
                    None => "It is started when that is mended",
                };
                self.host.registry.refuse(name.shared(), &problem.to_string());
                let ErrorCode { class, number: code } = problem.code();
                error!(tenant = %name, class, code, "The tenant {name}: {problem} {meanwhile}");
            }
        }
        self.watch.follow(&name, folders);
        self.tenants.insert(name, hosted);
    }

    fn keep_running(&mut self, name: &TenantName, plan: Plan) -> watch::Sender<Arc<Plan>> {
        let (updates, received) = watch::channel(Arc::new(plan));
        let (host, offset_of, started) = (self.host.clone(), name.clone(), name.clone());
        let runner = TenantRunner {
            name: name.clone(),
            updates: received,
            stop: self.host.stop.clone(),
            jitter: move |plan: &Plan| jitter::offset(&offset_of, plan),
            start: move |plan: Arc<Plan>, end| {
                let (host, name) = (host.clone(), started.clone());
                let run = async move {
                    let outcome = host.clone().run(name.clone(), plan, end).await;
                    if let Err(error) = &outcome {
                        host.registry.fail(name.shared(), &format!("{error:#}"));
                    }
                    outcome
                };
                tokio::spawn(run.instrument(tenant_span(started.shared())))
            },
        };
        // A tenant that was gone and is back may not have stopped yet.
        let previous = self.runners.remove(name);
        let runner = async move {
            if let Some(previous) = previous {
                let _ = previous.await;
            }
            runner.run().await;
        };
        self.runners.insert(name.clone(), tokio::spawn(runner));
        updates
    }

    /// Waits until all tenants have stopped in good order, or for as long as that may take.
    async fn stop(self) {
        let all = join_all(self.runners.into_values());
        if timeout(LONGEST_STOP, all).await.is_ok() {
            info!("All tenants have stopped");
        } else {
            let left = self.host.running.load(Ordering::Relaxed);
            warn!("{left} tenants did not stop within {LONGEST_STOP:?}; what they had not confirmed is pulled again");
        }
    }
}

impl Host {
    /// Runs a tenant once, from its preparation to its end.
    async fn run(self: Arc<Self>, name: TenantName, plan: Arc<Plan>, end: CancellationToken) -> Outcome {
        let _counted = Counted::new(&self.running);
        let messages = Messages::default();
        // Forgotten however this ends, a panic included.
        let _routed = Routed::new(&self.shown, &name, &plan, messages.clone());
        // Before anything is held that others wait for: it may be long until a component is compiled.
        let sandboxes = tokio::select! {
            sandboxes = Sandboxes::of_tenant(&plan, &self.engine) => sandboxes?,
            () = end.cancelled() => return Ok(End::Stopped),
        };
        let warm_up = tokio::select! {
            slot = self.warm_up_slots.acquire() => slot?,
            () = end.cancelled() => return Ok(End::Stopped),
        };
        let tenant = {
            let _permit = tokio::select! {
                permit = self.prepare_slots.acquire() => permit?,
                () = end.cancelled() => return Ok(End::Stopped),
            };
            let stopping = end.clone();
            let (host, messages, end, span) = (self.clone(), messages.clone(), end.clone(), tracing::Span::current());
            let prepare = move || {
                let _entered = span.entered();
                messages.open(&plan);
                Tenant::prepare((*plan).clone(), sandboxes, messages, &host.engine, &end)
            };
            let threads = self.tenants.threads_of(name.shared());
            // A thread that is left behind holds its tenant's share, and so keeps the next try from taking
            // another.
            tokio::select! {
                prepared = timeout(LONGEST_START, threads.run(Work::Start, LONGEST_WAIT, prepare)) => {
                    prepared.map_err(|_| anyhow!("it was not ready within {LONGEST_START:?}"))???
                }
                () = stopping.cancelled() => return Ok(End::Stopped),
            }
        };
        tenant.announce();
        let _registered = self.registry.register(name.shared().clone(), tenant.services(), tenant.resting());
        let services: Vec<_> = tenant.services().iter().map(|service| service.observed().clone()).collect();
        let begun = async move { join_all(services.iter().map(|service| service.metrics.begun())).await };
        let mut ended = pin!(tenant.start().ended());
        let outcome = tokio::select! {
            outcome = &mut ended => outcome,
            _ = timeout(LONGEST_WARM_UP, begun) => {
                drop(warm_up);
                ended.await
            }
        };
        messages.flush().await;
        Ok(outcome?)
    }

    /// The line of the process on what runs in it.
    fn line(&self) -> String {
        let running = self.running.load(Ordering::Relaxed);
        format!("host_status: {{\"process_id\": {}, \"tenants_running\": {running}}}", std::process::id())
    }
}

/// A tenant that runs, for as long as this lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The lines of a tenant become its messages, without its secrets, for as long as this lives.
struct Routed<'a> {
    shown: &'a Shown,
    name: TenantName,
}

impl<'a> Routed<'a> {
    fn new(shown: &'a Shown, name: &TenantName, plan: &Plan, messages: Messages) -> Self {
        shown.masks.add(Some(name.shared().clone()), plan.secrets.clone());
        shown.routes.add(Some(name.shared().clone()), messages);
        Self { shown, name: name.clone() }
    }
}

impl Drop for Routed<'_> {
    fn drop(&mut self) {
        self.shown.routes.remove(self.name.shared());
        self.shown.masks.remove(self.name.shared());
    }
}
