//! The clock that interrupts computing components, and hands out the time in which they compute on. It stands still while
//! none runs, so that an idle collector sleeps.
//!
//! It has a thread of its own: where every worker computes, a task of the runtime would never get to run, and nothing would
//! be interrupted.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::Engine;

/// Between two looks at a component that computes. Short enough for its neighbours, long enough to cost nothing.
pub const TICK: Duration = Duration::from_millis(10);

/// Advances the engine's epoch while calls are under way.
pub struct Ticker {
    shared: Arc<Shared>,
    turns: Turns,
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

/// Turns to compute for one more tick. Fewer are handed out at each tick than there are processors, in the order in which
/// they were asked for: components that compute for long share what is left when those that hardly compute, and all input
/// and output, have had theirs.
#[derive(Clone)]
pub struct Turns(Arc<Semaphore>);

impl Ticker {
    pub(super) fn start(engine: Engine) -> Self {
        let shared = Arc::new(Shared::default());
        let at_once = thread::available_parallelism().map_or(1, |count| (count.get() - 1).max(1));
        let turns = Turns(Arc::new(Semaphore::new(at_once)));
        let (watched, handed_out) = (shared.clone(), turns.clone());
        thread::spawn(move || {
            while watched.wait_for_calls() {
                thread::sleep(TICK);
                // Those of the tick before that nobody wanted are not saved up.
                handed_out.0.add_permits(at_once.saturating_sub(handed_out.0.available_permits()));
                engine.increment_epoch();
            }
        });
        Self { shared, turns }
    }

    /// Ticks until the guard is dropped.
    pub(super) fn tick(&self) -> Ticking {
        self.shared.lock().running += 1;
        self.shared.changed.notify_one();
        Ticking(self.shared.clone())
    }

    /// What a component that computes on has to wait for.
    pub(super) fn turns(&self) -> Turns {
        self.turns.clone()
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

impl Turns {
    /// Returns when it is this component's turn to compute for a tick.
    pub(super) async fn next(self) {
        // Even where nobody else wants a turn, other tasks of this worker do.
        tokio::task::yield_now().await;
        // It is never closed; and a turn is used up, not given back.
        if let Ok(turn) = self.0.acquire().await {
            turn.forget();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.changed.notify_one();
    }
}

/// One call under way.
pub struct Ticking(Arc<Shared>);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}
