//! How long a call computes: the time that its threads spend in it, in functions of the host too, whatever
//! else the machine does meanwhile.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Adds up the computing time of a future. Clones share it, so that the future can look at its own.
#[derive(Clone)]
pub(crate) struct Stopwatch<C = fn() -> Duration> {
    counted: Arc<Counted>,
    /// What the thread that asks has computed so far.
    clock: C,
}

/// In nanoseconds.
#[derive(Default)]
struct Counted {
    /// What was computed until the future gave way last.
    total: AtomicU64,
    /// What its thread had computed when it went on. Only that thread looks at it.
    since: AtomicU64,
}

impl Default for Stopwatch {
    fn default() -> Self {
        Self::by(thread_time)
    }
}

impl<C: Fn() -> Duration> Stopwatch<C> {
    fn by(clock: C) -> Self {
        Self { counted: Arc::default(), clock }
    }

    /// Drives the future, and counts. Whenever it gives way, `goes_on` is told what was counted by then.
    /// `None`: that has said no, and the future is dropped.
    pub(crate) async fn time<F: Future>(&self, future: F, goes_on: impl Fn(Duration) -> bool) -> Option<F::Output> {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            self.counted.since.store(nanoseconds((self.clock)()), Ordering::Relaxed);
            let poll = future.as_mut().poll(context);
            let total = self.now();
            self.counted.total.store(nanoseconds(total), Ordering::Relaxed);
            match poll {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if goes_on(total) => Poll::Pending,
                Poll::Pending => Poll::Ready(None),
            }
        })
        .await
    }

    /// What was counted until the future gave way last.
    pub(crate) fn total(&self) -> Duration {
        Duration::from_nanos(self.counted.total.load(Ordering::Relaxed))
    }

    /// What was counted until now. For the future itself, while it computes.
    pub(crate) fn now(&self) -> Duration {
        let since = Duration::from_nanos(self.counted.since.load(Ordering::Relaxed));
        self.total() + (self.clock)().saturating_sub(since)
    }
}

/// What this thread has computed so far. Every Linux has this clock; without it, nothing would be counted.
fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn computing_counts_and_what_the_thread_does_meanwhile_does_not() {
        let (clock, started) = (Cell::new(0), Cell::new(false));
        let computes = |milliseconds: u64| clock.set(clock.get() + milliseconds);
        let stopwatch = Stopwatch::by(|| Duration::from_millis(clock.get()));
        let look = stopwatch.clone();
        let timed = async {
            computes(3);
            started.set(true);
            tokio::task::yield_now().await;
            computes(4);
            look.now()
        };
        let timed = stopwatch.time(timed, |_| true);
        // The same thread computes for others while the future waits.
        let other = async {
            assert!(started.get());
            computes(1_000);
        };
        let (seen, ()) = tokio::join!(biased; timed, other);
        assert_eq!((seen, stopwatch.total()), (Some(Duration::from_millis(7)), Duration::from_millis(7)));
        stopwatch.time(async { computes(5) }, |_| true).await;
        assert_eq!(stopwatch.total(), Duration::from_millis(12), "it adds up");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_computes_for_too_long_ends_where_it_gives_way() {
        let (clock, turns) = (Cell::new(0), Cell::new(0));
        let stopwatch = Stopwatch::by(|| Duration::from_millis(clock.get()));
        let endless = async {
            loop {
                turns.set(turns.get() + 1);
                clock.set(clock.get() + 2);
                tokio::task::yield_now().await;
            }
        };
        let ended: Option<()> = stopwatch.time(endless, |computed| computed < Duration::from_millis(9)).await;
        assert_eq!((ended, turns.get()), (None, 5));
    }

    #[test]
    fn the_clock_goes_on_with_what_its_own_thread_computes() {
        let started = thread_time();
        while thread_time() == started {
            std::hint::spin_loop();
        }
        // A thread begins at zero, however much others have computed.
        let target = started + Duration::from_millis(20);
        while thread_time() < target {
            std::hint::spin_loop();
        }
        let of_another = std::thread::spawn(thread_time).join().unwrap();
        assert!(of_another < target, "{of_another:?}");
    }
}
