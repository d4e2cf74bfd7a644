//! How long a call computes: the time that its threads spend in it, whatever else the machine does meanwhile.

use std::pin::pin;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Adds up the computing time of a future.
pub(crate) struct Stopwatch<C = fn() -> Duration> {
    total: Duration,
    /// What the thread that asks has computed so far.
    clock: C,
}

impl Default for Stopwatch {
    fn default() -> Self {
        Self::by(thread_time)
    }
}

impl<C: Fn() -> Duration> Stopwatch<C> {
    fn by(clock: C) -> Self {
        Self { total: Duration::ZERO, clock }
    }

    /// Drives the future, and counts.
    pub(crate) async fn time<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            let before = (self.clock)();
            let poll = future.as_mut().poll(context);
            self.total += (self.clock)().saturating_sub(before);
            poll
        })
        .await
    }

    /// What was counted so far.
    pub(crate) fn total(&self) -> Duration {
        self.total
    }
}

/// What this thread has computed so far. Every Linux has this clock; without it, nothing would be counted.
fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn computing_counts_and_what_the_thread_does_meanwhile_does_not() {
        let (clock, started) = (Cell::new(0), Cell::new(false));
        let computes = |milliseconds: u64| clock.set(clock.get() + milliseconds);
        let mut stopwatch = Stopwatch::by(|| Duration::from_millis(clock.get()));
        let timed = stopwatch.time(async {
            computes(3);
            started.set(true);
            tokio::task::yield_now().await;
            computes(4);
        });
        // The same thread computes for others while the future waits.
        let other = async {
            assert!(started.get());
            computes(1_000);
        };
        tokio::join!(biased; timed, other);
        assert_eq!(stopwatch.total(), Duration::from_millis(7));
        stopwatch.time(async { computes(5) }).await;
        assert_eq!(stopwatch.total(), Duration::from_millis(12), "it adds up");
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
