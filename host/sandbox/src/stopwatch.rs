//! How long a call computes: the time that its threads spend in it, whatever else the machine does meanwhile.

use std::pin::pin;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Adds up the computing time of a future.
#[derive(Default)]
pub(crate) struct Stopwatch(Duration);

impl Stopwatch {
    /// Drives the future, and counts.
    pub(crate) async fn time<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            let before = thread_time();
            let poll = future.as_mut().poll(context);
            self.0 += thread_time().saturating_sub(before);
            poll
        })
        .await
    }

    /// What was counted so far.
    pub(crate) fn total(&self) -> Duration {
        self.0
    }
}

/// What this thread has computed so far. Every Linux has this clock; without it, nothing would be counted.
fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_counts_for_little_and_computing_for_all() {
        let mut stopwatch = Stopwatch::default();
        stopwatch.time(tokio::time::sleep(Duration::from_millis(200))).await;
        let waited = stopwatch.total();
        assert!(waited < Duration::from_millis(100), "{waited:?}");
        let target = thread_time() + Duration::from_millis(20);
        stopwatch
            .time(async {
                while thread_time() < target {
                    std::hint::spin_loop();
                }
            })
            .await;
        assert!(stopwatch.total() - waited >= Duration::from_millis(19), "{:?}", stopwatch.total());
    }
}
