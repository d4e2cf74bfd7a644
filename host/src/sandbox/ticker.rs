//! The clock that interrupts computing components. It stands still while none runs, so that an idle collector sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use wasmtime::Engine;

/// Between two looks at a component that computes. Short enough for its neighbours, long enough to cost nothing.
pub const TICK: Duration = Duration::from_millis(10);

/// Advances the engine's epoch while calls are under way.
pub struct Ticker {
    calls: Arc<Calls>,
    task: AbortHandle,
}

#[derive(Default)]
struct Calls {
    running: AtomicUsize,
    started: Notify,
}

impl Ticker {
    pub(super) fn start(engine: Engine) -> Self {
        let calls = Arc::new(Calls::default());
        let watched = calls.clone();
        let task = tokio::spawn(async move {
            loop {
                if watched.running.load(Ordering::Acquire) == 0 {
                    watched.started.notified().await;
                }
                tokio::time::sleep(TICK).await;
                engine.increment_epoch();
            }
        });
        Self { calls, task: task.abort_handle() }
    }

    /// Ticks until the guard is dropped.
    pub(super) fn tick(&self) -> Ticking {
        self.calls.running.fetch_add(1, Ordering::AcqRel);
        self.calls.started.notify_one();
        Ticking(self.calls.clone())
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One call under way.
pub struct Ticking(Arc<Calls>);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}
