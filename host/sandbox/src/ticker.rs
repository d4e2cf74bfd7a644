//! The clock that interrupts computing components. It stands still while none runs, so that an idle collector
//! sleeps.
//!
//! It has a thread of its own: where every worker computes, a task of the runtime would never get to run, and
//! nothing would be interrupted.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use wasmtime::Engine;

/// Advances the engine's epoch while calls are under way.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    calls: Mutex<Calls>,
    changed: Condvar,
}

#[derive(Default)]
struct Calls {
    running: usize,
    /// The ticker was dropped.
    is_over: bool,
}

impl Ticker {
    /// A clock that looks at computing components every `tick`.
    pub(crate) fn start(engine: Engine, tick: Duration) -> Self {
        let shared = Arc::new(Shared::default());
        let watched = shared.clone();
        thread::spawn(move || {
            while watched.wait_for_calls() {
                thread::sleep(tick);
                engine.increment_epoch();
            }
        });
        Self { shared }
    }

    /// Ticks until the guard is dropped.
    pub(crate) fn run(&self) -> Ticking {
        self.shared.lock().running += 1;
        self.shared.changed.notify_one();
        Ticking(self.shared.clone())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Calls> {
        // A count that a panic left behind is as good as any.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while no call is under way. False when none will be any more.
    fn wait_for_calls(&self) -> bool {
        let idle = |calls: &mut Calls| calls.running == 0 && !calls.is_over;
        let calls = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        !calls.is_over
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.changed.notify_one();
    }
}

/// One call under way.
pub(crate) struct Ticking(Arc<Shared>);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}
