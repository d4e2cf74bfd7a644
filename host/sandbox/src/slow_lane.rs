//! Where calls go that compute for long, so that they are in nobody's way: threads of their own, to which the
//! system gives what the others leave.
//!
//! An ordinary call computes for a few milliseconds, most of the time waits, and runs where everything else
//! runs. One that computes on and on, for it works off a long history or never ends, would hold up whatever
//! waits for the same worker: with eight of them on two processors, the slowest cycles of their neighbours
//! took five times as long. In turns of a millisecond it was still three times: the turns don't tell the
//! system which thread can wait.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use nix::libc;
use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;

/// The niceness of its threads: beside others that compute all the time they still get a tenth.
const NICENESS: i32 = 10;

/// The threads for calls that compute for long.
pub(crate) struct SlowLane {
    /// Always there until it is dropped.
    runtime: Option<Runtime>,
}

/// Whether a call has computed for long. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct CpuBound(Arc<AtomicBool>);

impl CpuBound {
    /// It has.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl SlowLane {
    /// As many threads as there are processors.
    pub(crate) fn start() -> std::io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("slow-lane")
            .on_thread_start(be_nice)
            .enable_all()
            .build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Drives a call to its end: here, until it has computed for long, and then in the lane.
    pub(crate) async fn drive<T: Send + 'static>(
        &self,
        mut call: Pin<Box<dyn Future<Output = T> + Send>>,
        cpu_bound: &CpuBound,
    ) -> T {
        let finished = std::future::poll_fn(|context| match call.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending if cpu_bound.is_set() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        if let Some(outcome) = finished.await {
            return outcome;
        }
        let Some(runtime) = &self.runtime else { return call.await };
        // Whoever gives up the call ends it there too.
        match AbortOnDropHandle::new(runtime.spawn(call)).await {
            Ok(outcome) => outcome,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The process ends, and with it whoever waits.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

impl Drop for SlowLane {
    fn drop(&mut self) {
        // It waits for nobody: what runs there may compute forever.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn be_nice() {
    // SAFETY: setpriority(2) takes no pointer. On Linux, 0 is the calling thread. Where it fails, the thread
    // is like any other.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn niceness() -> i32 {
        // SAFETY: as for setpriority.
        unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
    }

    #[tokio::test]
    async fn a_call_goes_to_the_lane_when_it_has_computed_for_long() {
        let (lane, cpu_bound) = (SlowLane::start().unwrap(), CpuBound::default());
        let usual = niceness();
        let noted = cpu_bound.clone();
        let call = async move {
            tokio::task::yield_now().await;
            let before = niceness();
            noted.set();
            tokio::task::yield_now().await;
            (before, niceness())
        };
        let (before, after) = lane.drive(Box::pin(call), &cpu_bound).await;
        assert_eq!((before, after), (usual, NICENESS.max(usual)));
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_ends_in_the_lane_too() {
        struct Ended(Option<tokio::sync::oneshot::Sender<()>>);
        impl Drop for Ended {
            fn drop(&mut self) {
                self.0.take().map(|sender| sender.send(()));
            }
        }
        let (lane, cpu_bound) = (SlowLane::start().unwrap(), CpuBound::default());
        let (sender, ended) = tokio::sync::oneshot::channel();
        cpu_bound.set();
        let guard = Ended(Some(sender));
        let call = async move {
            let _guard = guard;
            loop {
                tokio::task::yield_now().await;
            }
        };
        let given_up = lane.drive::<()>(Box::pin(call), &cpu_bound);
        tokio::time::timeout(std::time::Duration::from_millis(50), given_up).await.unwrap_err();
        ended.await.unwrap();
    }

    #[tokio::test]
    #[should_panic(expected = "on purpose")]
    async fn a_panic_in_the_lane_is_the_callers() {
        let (lane, cpu_bound) = (SlowLane::start().unwrap(), CpuBound::default());
        cpu_bound.set();
        let call = async {
            tokio::task::yield_now().await;
            panic!("on purpose");
        };
        lane.drive::<()>(Box::pin(call), &cpu_bound).await;
    }
}
