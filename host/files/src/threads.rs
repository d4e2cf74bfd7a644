//! Threads for work that may block for as long as a disk, a network file system or a name server likes.
//!
//! The runtime has one pool of such threads for everything. Whoever fills it stops everybody: no state is
//! read, no name is looked up any more. So each kind of work has a part of that pool, and each tenant a share
//! of each part. A thread can't be interrupted: it counts until it is back, whether or not somebody still
//! waits for it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// The kinds of work, to have a part of the pool each: a name server that does not answer hinders no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Reading a configuration and the files that it names.
    Configuration,
    /// Getting ready to run: opening the state, compiling a component.
    Start,
    /// Files of what runs: its state, dead letters, its token.
    Files,
    /// Asking a redis server.
    Redis,
    /// Asking the system's resolver for a name. Tenants' names are looked up without a thread: what counts
    /// there are [turns](Threads::turn).
    LookUp,
}

const KINDS: usize = 5;

/// Threads of each kind of work, for all tenants together: fewer than the runtime has (512), which is left
/// some for what is not listed here.
const PARTS: [usize; KINDS] = [64; KINDS];

/// Threads that one tenant may have of each. Of a tenant, one configuration is read or started at a time, and
/// all its services share one connection to redis; for other things some of them may wait at once.
const SHARES: [usize; KINDS] = [1, 1, 4, 1, 2];

static ALL: [Semaphore; KINDS] = [
    Semaphore::const_new(PARTS[0]),
    Semaphore::const_new(PARTS[1]),
    Semaphore::const_new(PARTS[2]),
    Semaphore::const_new(PARTS[3]),
    Semaphore::const_new(PARTS[4]),
];

/// The threads that one tenant may have. Clones are the same share.
#[derive(Clone, Debug)]
pub struct Threads(Arc<Share>);

/// What is left of a share. Work that is under way holds it too.
#[derive(Debug)]
struct Share {
    left: [Arc<Semaphore>; KINDS],
    is_of_tenant: bool,
}

/// Part of a share, for as long as it is held.
#[derive(Debug)]
pub struct Turn {
    _permit: OwnedSemaphorePermit,
}

/// The share of a tenant, for as long as the tenant or work of it has it.
pub(crate) struct WeakThreads(Weak<Share>);

/// Why work was not done.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NoThread {
    /// All that it could have had were busy for so long.
    #[error(
        "no thread was free within {0:?}: the disk, file system or server that the others wait for does not answer"
    )]
    Busy(Duration),
    /// The process is ending, or the work panicked.
    #[error("it was broken off by a defect of this program, or by its end")]
    Gone,
}

impl Threads {
    /// A share of its own.
    pub fn of_tenant() -> Self {
        Self::of(SHARES, true)
    }

    /// All there are: whoever runs alone is in nobody's way.
    pub fn of_operator() -> Self {
        Self::of(PARTS, false)
    }

    fn of(most: [usize; KINDS], is_of_tenant: bool) -> Self {
        let left = most.map(|threads| Arc::new(Semaphore::new(threads)));
        Self(Arc::new(Share { left, is_of_tenant }))
    }

    /// Whether there are others, whom whoever has this share must not get in the way of.
    pub fn is_of_tenant(&self) -> bool {
        self.0.is_of_tenant
    }

    /// Waits until fewer things of this kind are under way than the share has threads, for what needs no
    /// thread and is bounded all the same.
    ///
    /// # Errors
    /// So many were under way for all of `patience`.
    pub async fn turn(&self, kind: Work, patience: Duration) -> Result<Turn, NoThread> {
        let own = timeout(patience, self.0.left[kind as usize].clone().acquire_owned()).await;
        let permit = own.map_err(|_| NoThread::Busy(patience))?.map_err(|_| NoThread::Gone)?;
        Ok(Turn { _permit: permit })
    }

    /// Does work on a thread that may block. When the caller goes away, the work goes on by itself, and its
    /// thread counts until it is back.
    ///
    /// # Errors
    /// No thread was free within `patience`; the work is not done then.
    pub async fn run<T: Send + 'static>(
        &self,
        kind: Work,
        patience: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoThread> {
        let share = self.clone();
        let permits = async {
            // In this order: whoever waits for its own share is in nobody's way.
            let own = share.0.left[kind as usize].clone().acquire_owned().await?;
            Ok::<_, AcquireError>((own, ALL[kind as usize].acquire().await?))
        };
        let permits = timeout(patience, permits).await.map_err(|_| NoThread::Busy(patience))?;
        let permits = permits.map_err(|_| NoThread::Gone)?;
        let work = move || {
            // Until the thread is back, a panic included; and the share with them, for whoever asks for it
            // meanwhile.
            let _held = (permits, share);
            work()
        };
        spawn_blocking(work).await.map_err(|_| NoThread::Gone)
    }

    pub(crate) fn downgrade(&self) -> WeakThreads {
        WeakThreads(Arc::downgrade(&self.0))
    }
}

impl WeakThreads {
    pub(crate) fn upgrade(&self) -> Option<Threads> {
        self.0.upgrade().map(Threads)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SOON: Duration = Duration::from_millis(50);
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Work that ends when what is given back is dropped.
    fn endless(threads: &Threads, kind: Work) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<(), NoThread>>) {
        let (end, ended) = mpsc::channel::<()>();
        let threads = threads.clone();
        let wait = move || {
            let _ = ended.recv();
        };
        (end, tokio::spawn(async move { threads.run(kind, PATIENCE, wait).await }))
    }

    /// Waits until none of a share is left.
    async fn used_up(threads: &Threads, kind: Work) {
        while threads.0.left[kind as usize].available_permits() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_tenant_that_fills_its_share_hinders_itself_alone() {
        let (acme, globex) = (Threads::of_tenant(), Threads::of_tenant());
        let stuck: Vec<_> = (0..20).map(|_| endless(&acme, Work::Files)).collect();
        used_up(&acme, Work::Files).await;
        assert_eq!(acme.run(Work::Files, SOON, || 1).await, Err(NoThread::Busy(SOON)));
        assert_eq!(acme.run(Work::LookUp, PATIENCE, || 2).await, Ok(2), "another kind");
        assert_eq!(globex.run(Work::Files, PATIENCE, || 3).await, Ok(3), "another tenant");
        drop(stuck);
        assert_eq!(acme.run(Work::Files, PATIENCE, || 4).await, Ok(4));
    }

    #[tokio::test]
    async fn a_thread_counts_until_it_is_back_even_if_nobody_waits_for_it() {
        let acme = Threads::of_tenant();
        let (end, waiting) = endless(&acme, Work::Start);
        used_up(&acme, Work::Start).await;
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert_eq!(acme.run(Work::Start, SOON, || 1).await, Err(NoThread::Busy(SOON)));
        let weak = acme.downgrade();
        drop(acme);
        let again = weak.upgrade().expect("the thread holds it");
        drop(end);
        assert_eq!(again.run(Work::Start, PATIENCE, || 2).await, Ok(2));
        let panicked = again.run(Work::Start, PATIENCE, || panic!("as it was told to")).await;
        assert_eq!(panicked, Err::<(), _>(NoThread::Gone));
        assert_eq!(again.run(Work::Start, PATIENCE, || 3).await, Ok(3));
    }

    #[tokio::test]
    async fn a_turn_takes_no_thread_and_counts_towards_the_share_alone() {
        let (acme, globex) = (Threads::of_tenant(), Threads::of_tenant());
        let turns =
            [acme.turn(Work::LookUp, PATIENCE).await.unwrap(), acme.turn(Work::LookUp, PATIENCE).await.unwrap()];
        assert_eq!(acme.turn(Work::LookUp, SOON).await.unwrap_err(), NoThread::Busy(SOON));
        assert!(globex.turn(Work::LookUp, PATIENCE).await.is_ok() && acme.turn(Work::Files, PATIENCE).await.is_ok());
        drop(turns);
        acme.turn(Work::LookUp, PATIENCE).await.unwrap();
        assert_eq!(ALL[Work::LookUp as usize].available_permits(), PARTS[Work::LookUp as usize]);
    }

    #[test]
    fn all_parts_leave_the_runtime_threads_of_its_own() {
        assert!(PARTS.iter().sum::<usize>() <= 448);
        assert!(SHARES.iter().zip(PARTS).all(|(share, part)| part / share >= 16));
    }
}
