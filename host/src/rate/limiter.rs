//! Makes calls wait until the limits let them through, in the order in which they came. Whoever makes a call asks first;
//! what the call is, is left to them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;
use tracing::{debug, info};

use super::limit::Limit;
use super::window::Window;

/// A wait above this is worth a line in everybody's log.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// The limits of one input, which its services share.
#[derive(Debug)]
pub struct InputLimiter {
    /// Whether the operator set any, be it -1.
    given: bool,
    window: Arc<Mutex<Window>>,
    /// The windows' times count from here.
    start: Instant,
}

impl InputLimiter {
    /// Limits without a call so far.
    pub fn new(limits: &[Limit]) -> Self {
        Self { given: !limits.is_empty(), window: window(limits), start: Instant::now() }
    }

    /// The limiter of one of the input's services, which keeps to its own limits besides. Where neither has any, the
    /// generic one holds.
    pub fn service(&self, limits: &[Limit]) -> Limiter {
        let generic = !self.given && limits.is_empty();
        let own = if generic { &[Limit::GENERIC] } else { limits };
        Limiter { generic, own: window(own), shared: self.window.clone(), start: self.start }
    }
}

fn window(limits: &[Limit]) -> Arc<Mutex<Window>> {
    Arc::new(Mutex::new(Window::new(limits)))
}

/// What each call of a service has to pass. Clones share the windows.
#[derive(Clone, Debug)]
pub struct Limiter {
    generic: bool,
    own: Arc<Mutex<Window>>,
    shared: Arc<Mutex<Window>>,
    start: Instant,
}

impl Limiter {
    /// Whether the generic limit holds, because the operator set none; see [`super::GENERIC_NOTICE`].
    pub fn is_generic(&self) -> bool {
        self.generic
    }

    /// Waits until a call may be made, and counts it. A wait that is given up counts for nothing.
    pub async fn admit(&self) {
        let (mut own, mut shared) = self.turn().await;
        let now = self.start.elapsed();
        own.record(now);
        shared.record(now);
    }

    /// Waits until a call could be made, and leaves it at that. Before work whose time is limited, this takes the longest
    /// wait out of that time.
    pub async fn ready(&self) {
        drop(self.turn().await);
    }

    /// Both windows, when both let a call through. The locks are the queue: tokio's are handed on in the order of asking.
    /// A service waits for its own window before it stands in the others' way, and that one can't close again while it is
    /// locked; always in this order, so that no two services wait for each other.
    async fn turn(&self) -> (MutexGuard<'_, Window>, MutexGuard<'_, Window>) {
        let mut own = self.own.lock().await;
        self.open(&mut own).await;
        let mut shared = self.shared.lock().await;
        self.open(&mut shared).await;
        (own, shared)
    }

    async fn open(&self, window: &mut Window) {
        while let Some(wait) = window.next_allowed(self.start.elapsed()) {
            let seconds = wait.as_secs_f64();
            if wait > WORTH_TELLING {
                info!("Local rate limit is blocking new calls for {seconds:.5} seconds");
            } else {
                debug!("Local rate limit is blocking new calls for {seconds:.5} seconds");
            }
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::num::NonZeroU32;

    use proptest::prelude::*;
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;

    fn limit(milliseconds: u64, requests: u32) -> Limit {
        Limit { period: Duration::from_millis(milliseconds), requests: NonZeroU32::new(requests) }
    }

    fn limiter(limits: &[Limit]) -> Limiter {
        InputLimiter::new(limits).service(&[])
    }

    #[tokio::test(start_paused = true)]
    async fn calls_beyond_the_limit_wait() {
        let limiter = limiter(&[limit(1_000, 2)]);
        let start = Instant::now();
        let mut times = Vec::new();
        for _ in 0..5 {
            limiter.admit().await;
            times.push(start.elapsed().as_millis());
        }
        assert_eq!(times, [0, 0, 1_000, 1_000, 2_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_services_of_an_input_share_its_limits_and_not_their_own() {
        let input = InputLimiter::new(&[limit(1_000, 2)]);
        let (slow, quick) = (input.service(&[limit(10_000, 1)]), input.service(&[]));
        let start = Instant::now();
        slow.admit().await;
        quick.admit().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        let waiting = tokio::spawn(async move { slow.admit().await });
        for _ in 0..4 {
            quick.admit().await;
        }
        assert_eq!(start.elapsed(), Duration::from_secs(2), "a service that waits for itself is in nobody's way");
        waiting.await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn the_generic_limit_holds_only_where_nothing_is_set() {
        let off = Limit { period: Duration::from_secs(1), requests: None };
        let unlimited = [
            InputLimiter::new(&[off]).service(&[]),
            InputLimiter::new(&[]).service(&[off]),
            InputLimiter::new(&[off]).service(&[off]),
        ];
        let start = Instant::now();
        for limiter in unlimited {
            assert!(!limiter.is_generic());
            for _ in 0..1_000 {
                limiter.admit().await;
            }
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        let generic = InputLimiter::new(&[]).service(&[]);
        assert!(generic.is_generic());
        for _ in 0..21 {
            generic.admit().await;
        }
        assert_eq!(start.elapsed(), Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_first_goes_first() {
        let limiter = limiter(&[limit(1_000, 1)]);
        let (sender, mut receiver) = mpsc::unbounded_channel();
        for number in 0..20 {
            let (limiter, sender) = (limiter.clone(), sender.clone());
            tokio::spawn(async move {
                limiter.admit().await;
                sender.send(number).unwrap();
            });
            tokio::task::yield_now().await;
        }
        for number in 0..20 {
            assert_eq!(receiver.recv().await, Some(number));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_given_up_counts_for_nothing() {
        let input = InputLimiter::new(&[limit(10_000, 1)]);
        let limiter = input.service(&[limit(1_000, 1)]);
        let start = Instant::now();
        limiter.admit().await;
        for milliseconds in [0, 500, 1_000] {
            // In the queue, and at its head; before its own window and, from the second second on, before the shared one.
            let second = limiter.clone();
            let queued = tokio::spawn(async move { second.admit().await });
            timeout(Duration::from_millis(milliseconds), limiter.admit()).await.unwrap_err();
            queued.abort();
            let _ = queued.await;
        }
        limiter.admit().await;
        assert_eq!(start.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn to_be_ready_is_not_a_call() {
        let limiter = limiter(&[limit(1_000, 1)]);
        let start = Instant::now();
        limiter.ready().await;
        limiter.ready().await;
        limiter.admit().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        limiter.ready().await;
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_operator_is_told_in_the_originals_words() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .without_time()
            .with_target(false)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        for milliseconds in [1_234, 1_000] {
            let limiter = limiter(&[limit(milliseconds, 1)]);
            limiter.admit().await;
            limiter.admit().await;
        }
        assert_eq!(
            String::from_utf8(lines.0.lock().unwrap().clone()).unwrap(),
            " INFO Local rate limit is blocking new calls for 1.23400 seconds\n\
             DEBUG Local rate limit is blocking new calls for 1.00000 seconds\n"
        );
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A call as a component might make it, milliseconds after the start of the test.
    #[derive(Clone, Copy, Debug)]
    struct Wish {
        service: usize,
        at: u64,
        given_up_after: Option<u64>,
    }

    fn any_wish() -> impl Strategy<Value = Wish> {
        let patience = prop::option::weighted(0.3, 0u64..2_000);
        (0usize..3, 0u64..5_000, patience).prop_map(|(service, at, given_up_after)| Wish {
            service,
            at,
            given_up_after,
        })
    }

    /// When each service's calls were let through, in milliseconds.
    async fn times(limiters: &[Limiter], wishes: Vec<Wish>) -> Vec<(usize, u64)> {
        let start = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for Wish { service, at, given_up_after } in wishes {
            let limiter = limiters[service].clone();
            tasks.spawn(async move {
                tokio::time::sleep(Duration::from_millis(at)).await;
                let patience = Duration::from_millis(given_up_after.unwrap_or(u64::from(u32::MAX)));
                let admitted = timeout(patience, limiter.admit()).await;
                admitted.ok().map(|()| (service, start.elapsed().as_millis() as u64))
            });
        }
        let mut times: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
        times.sort_by_key(|(_, time)| *time);
        times
    }

    fn hold(times: impl Iterator<Item = u64>, limit: Limit) -> bool {
        let times: Vec<_> = times.collect();
        let most = limit.requests.unwrap().get() as usize;
        times.windows(most + 1).all(|times| u128::from(times[most] - times[0]) >= limit.period.as_millis())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn all_limits_hold_whoever_calls_and_whoever_gives_up(
            shared in (1u64..2_000, 1u32..10).prop_map(|(period, most)| limit(period, most)),
            own in prop::collection::vec((1u64..2_000, 1u32..5).prop_map(|(period, most)| limit(period, most)), 3),
            wishes in prop::collection::vec(any_wish(), 0..60),
        ) {
            let patient = wishes.iter().filter(|wish| wish.given_up_after.is_none()).count();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let times = runtime.block_on(async {
                let input = InputLimiter::new(&[shared]);
                let limiters: Vec<_> = own.iter().map(|own| input.service(&[*own])).collect();
                times(&limiters, wishes).await
            });
            prop_assert!(times.len() >= patient, "nobody waits for ever");
            prop_assert!(hold(times.iter().map(|(_, time)| *time), shared));
            for (service, own) in own.iter().enumerate() {
                prop_assert!(hold(times.iter().filter(|(of, _)| *of == service).map(|(_, time)| *time), *own));
            }
        }
    }
}
