//! How long a call computes: the time that its threads spend in it, in functions of the host too, whatever else
//! the machine does meanwhile.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Adds up the computing time of a future. Clones share it, so that the future can look at its own.
#[derive(Clone, Default)]
pub(crate) struct Stopwatch(Arc<Counted>);

/// In nanoseconds.
#[derive(Default)]
struct Counted {
    /// What was computed until the future gave way last.
    total: AtomicU64,
    /// What its thread had computed when it went on. Only that thread looks at it.
    since: AtomicU64,
}

impl Stopwatch {
    /// Drives the future, and counts. Whenever it gives way, `goes_on` is told what was counted by then. `None`: that
    /// has said no, and the future is dropped.
    pub(crate) async fn time<F: Future>(&self, future: F, goes_on: impl Fn(Duration) -> bool) -> Option<F::Output> {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            self.0.since.store(thread_time(), Ordering::Relaxed);
            let poll = future.as_mut().poll(context);
            let total = self.now();
            self.0.total.store(nanoseconds(total), Ordering::Relaxed);
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
        Duration::from_nanos(self.0.total.load(Ordering::Relaxed))
    }

    /// What was counted until now. For the future itself, while it computes.
    pub(crate) fn now(&self) -> Duration {
        let since = self.0.since.load(Ordering::Relaxed);
        self.total() + Duration::from_nanos(thread_time().saturating_sub(since))
    }
}

/// What this thread has computed so far, in nanoseconds. Every Linux has this clock; without it, nothing would be
/// counted.
fn thread_time() -> u64 {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(0, |time| nanoseconds(time.into()))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compute(milliseconds: u64) {
        let target = thread_time() + milliseconds * 1_000_000;
        while thread_time() < target {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn computing_counts_wherever_it_happens_and_waiting_does_not() {
        let stopwatch = Stopwatch::default();
        let outside = stopwatch.time(std::future::pending::<()>(), |_| true);
        tokio::time::timeout(Duration::from_millis(1), outside).await.unwrap_err();
        compute(20);
        let waited = stopwatch.total();
        assert!(waited < Duration::from_millis(20), "{waited:?}");
        let look = stopwatch.clone();
        let seen = stopwatch.time(
            async {
                compute(10);
                let first = look.now();
                tokio::task::yield_now().await;
                compute(10);
                (first, look.now())
            },
            |_| true,
        );
        let (first, second) = seen.await.unwrap();
        assert!(first >= waited + Duration::from_millis(10) && second >= first + Duration::from_millis(10));
        assert!(stopwatch.total() >= second);
    }

    #[tokio::test]
    async fn what_computes_for_too_long_ends_where_it_gives_way() {
        let (stopwatch, turns) = (Stopwatch::default(), std::cell::Cell::new(0));
        let endless = async {
            loop {
                turns.set(turns.get() + 1);
                compute(2);
                tokio::task::yield_now().await;
            }
        };
        let ended: Option<()> = stopwatch.time(endless, |computed| computed < Duration::from_millis(9)).await;
        assert_eq!((ended, turns.get()), (None, 5));
    }
}
