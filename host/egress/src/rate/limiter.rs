//! Makes calls wait until the limits let them through, in the order in which they came. Whoever makes a call
//! asks first; what the call is, is left to them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Queue, Notify};
use tokio::time::Instant;
use tracing::{Level, debug, info};

use super::limit::Limit;
use super::window::{Kind, Window};

/// A wait above this is worth a line in everybody's log.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// Says in the original's words that calls have to wait.
pub fn announce(wait: Duration) {
    let (level, line) = announcement(wait);
    match level {
        Level::INFO => info!("{line}"),
        _ => debug!("{line}"),
    }
}

fn announcement(wait: Duration) -> (Level, String) {
    let level = if wait > WORTH_TELLING { Level::INFO } else { Level::DEBUG };
    (level, format!("Local rate limit is blocking new calls for {:.5} seconds", wait.as_secs_f64()))
}

/// The limits of one input, which its services share.
#[derive(Debug)]
pub struct InputLimiter {
    /// Whether the operator set any, be it -1.
    given: bool,
    gate: Arc<Gate>,
    /// The windows' times count from here.
    start: Instant,
}

impl InputLimiter {
    /// Limits without a call so far.
    pub fn new(limits: &[Limit]) -> Self {
        Self { given: !limits.is_empty(), gate: Gate::new(limits), start: Instant::now() }
    }

    /// The limiter of one of the input's services, which pulls every `period` and keeps to its own limits
    /// besides. Where neither has any, the generic one holds.
    pub fn service(&self, limits: &[Limit], period: Duration) -> Limiter {
        let generic = !self.given && limits.is_empty();
        let own = Gate::new(if generic { &[Limit::GENERIC] } else { limits });
        own.window().reserve(period);
        self.gate.window().reserve(period);
        Limiter { generic, period, own, shared: self.gate.clone(), start: self.start }
    }
}

/// What each call of a service has to pass. Clones share the windows.
#[derive(Clone, Debug)]
pub struct Limiter {
    generic: bool,
    period: Duration,
    own: Arc<Gate>,
    shared: Arc<Gate>,
    start: Instant,
}

impl Limiter {
    /// Whether the generic limit holds, because the operator set none; see [`super::GENERIC_NOTICE`].
    pub fn is_generic(&self) -> bool {
        self.generic
    }

    /// Waits until a call may be made, and counts it. A wait that is given up counts for nothing.
    ///
    /// Calls of a kind go in the order of asking: a lock is their queue, and tokio's are handed on in that
    /// order. A service waits for its own window before it stands in the others' way.
    pub async fn admit(&self, kind: Kind) {
        let _goes_first = self.own.go_first(kind);
        let _turn = self.own.queue(kind).lock().await;
        loop {
            self.open(&self.own, kind).await;
            let _goes_first = self.shared.go_first(kind);
            let _turn = self.shared.queue(kind).lock().await;
            self.open(&self.shared, kind).await;
            if self.record(kind) {
                return;
            }
        }
    }

    /// How long until a call of this kind could begin; zero if that is now. A live one leaves a backfill that
    /// is `pending` its share.
    pub fn wait(&self, kind: Kind, pending: bool) -> Duration {
        let now = self.start.elapsed();
        let wait = |gate: &Gate| match kind {
            Kind::Live if pending => gate.window().next_turn(now, self.period),
            kind => gate.window().next_allowed(now, kind),
        };
        wait(&self.own).max(wait(&self.shared)).unwrap_or_default()
    }

    /// How many requests a call of this kind may make that takes `time`, if nobody else makes any. A live one
    /// leaves a backfill that is `pending` its share.
    pub fn free(&self, kind: Kind, time: Duration, pending: bool) -> u32 {
        let (now, share) = (self.start.elapsed(), pending.then_some(self.period));
        let free = |gate: &Gate| gate.window().free(now, kind, time, share);
        free(&self.own).min(free(&self.shared))
    }

    async fn open(&self, gate: &Gate, kind: Kind) {
        loop {
            let mut gone = std::pin::pin!(gate.gone.notified());
            // From here on, so that nobody goes unnoticed between the look and the wait.
            gone.as_mut().enable();
            let wait = gate.window().next_allowed(self.start.elapsed(), kind);
            match wait {
                Some(wait) => {
                    announce(wait);
                    tokio::time::sleep(wait).await;
                }
                None if kind == Kind::Backfill && gate.waits_for_live() => gone.await,
                None => return,
            }
        }
    }

    /// Counts a call, unless a window was closed meanwhile by one of the other kind.
    fn record(&self, kind: Kind) -> bool {
        let (mut own, mut shared) = (self.own.window(), self.shared.window());
        let now = self.start.elapsed();
        let is_open = own.next_allowed(now, kind).is_none() && shared.next_allowed(now, kind).is_none();
        if is_open {
            own.record(now, kind);
            shared.record(now, kind);
        }
        is_open
    }
}

/// A window, and who waits before it.
#[derive(Debug)]
struct Gate {
    window: Mutex<Window>,
    live: Queue<()>,
    backfill: Queue<()>,
    /// Live calls that wait, or are about to be made.
    live_calls: AtomicUsize,
    /// Told when one of them has gone.
    gone: Notify,
}

impl Gate {
    fn new(limits: &[Limit]) -> Arc<Self> {
        Arc::new(Self {
            window: Mutex::new(Window::new(limits)),
            live: Queue::default(),
            backfill: Queue::default(),
            live_calls: AtomicUsize::new(0),
            gone: Notify::new(),
        })
    }

    /// A panic elsewhere can't leave a window half changed.
    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self, kind: Kind) -> &Queue<()> {
        match kind {
            Kind::Live => &self.live,
            Kind::Backfill => &self.backfill,
        }
    }

    /// Backfill stands back as long as this lives, where it is a live call's.
    fn go_first(&self, kind: Kind) -> Option<GoesFirst<'_>> {
        (kind == Kind::Live).then(|| {
            self.live_calls.fetch_add(1, Ordering::AcqRel);
            GoesFirst(self)
        })
    }

    fn waits_for_live(&self) -> bool {
        self.live_calls.load(Ordering::Acquire) > 0
    }
}

struct GoesFirst<'a>(&'a Gate);

impl Drop for GoesFirst<'_> {
    fn drop(&mut self) {
        self.0.live_calls.fetch_sub(1, Ordering::AcqRel);
        self.0.gone.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn limit(milliseconds: u64, requests: u32) -> Limit {
        Limit { period: Duration::from_millis(milliseconds), requests: NonZeroU32::new(requests) }
    }

    fn limiter(limits: &[Limit]) -> Limiter {
        InputLimiter::new(limits).service(&[], MINUTE)
    }

    #[tokio::test(start_paused = true)]
    async fn calls_beyond_the_limit_wait() {
        let limiter = limiter(&[limit(1_000, 2)]);
        let start = Instant::now();
        let mut times = Vec::new();
        for _ in 0..5 {
            limiter.admit(Kind::Live).await;
            times.push(start.elapsed().as_millis());
        }
        assert_eq!(times, [0, 0, 1_000, 1_000, 2_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_services_of_an_input_share_its_limits_and_not_their_own() {
        let input = InputLimiter::new(&[limit(1_000, 2)]);
        let (slow, quick) = (input.service(&[limit(10_000, 1)], MINUTE), input.service(&[], MINUTE));
        let start = Instant::now();
        slow.admit(Kind::Live).await;
        quick.admit(Kind::Live).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        let waiting = tokio::spawn(async move { slow.admit(Kind::Live).await });
        for _ in 0..4 {
            quick.admit(Kind::Live).await;
        }
        assert_eq!(start.elapsed(), Duration::from_secs(2), "a service that waits for itself is in nobody's way");
        waiting.await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn the_generic_limit_holds_only_where_nothing_is_set() {
        let off = Limit { period: Duration::from_secs(1), requests: None };
        let unlimited = [
            InputLimiter::new(&[off]).service(&[], MINUTE),
            InputLimiter::new(&[]).service(&[off], MINUTE),
            InputLimiter::new(&[off]).service(&[off], MINUTE),
        ];
        let start = Instant::now();
        for limiter in unlimited {
            assert!(!limiter.is_generic());
            for _ in 0..1_000 {
                limiter.admit(Kind::Live).await;
            }
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        let generic = InputLimiter::new(&[]).service(&[], MINUTE);
        assert!(generic.is_generic());
        for _ in 0..21 {
            generic.admit(Kind::Live).await;
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
                limiter.admit(Kind::Live).await;
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
        let limiter = input.service(&[limit(1_000, 1)], MINUTE);
        let start = Instant::now();
        limiter.admit(Kind::Live).await;
        for milliseconds in [0, 500, 1_000] {
            // In the queue, and at its head; before its own window and, from the second second on, before the
            // shared one.
            let second = limiter.clone();
            let queued = tokio::spawn(async move { second.admit(Kind::Live).await });
            timeout(Duration::from_millis(milliseconds), limiter.admit(Kind::Live)).await.unwrap_err();
            queued.abort();
            let _ = queued.await;
        }
        limiter.admit(Kind::Live).await;
        assert_eq!(start.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn to_look_is_not_a_call() {
        let limiter = limiter(&[limit(1_000, 1)]);
        assert_eq!([0, 0].map(|_| limiter.wait(Kind::Live, false)), [Duration::ZERO; 2]);
        limiter.admit(Kind::Live).await;
        assert_eq!(limiter.wait(Kind::Live, false), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn where_both_wait_live_goes_first() {
        let limiter = limiter(&[limit(1_000, 1)]);
        limiter.admit(Kind::Live).await;
        let (sender, mut receiver) = mpsc::unbounded_channel();
        for kind in [Kind::Backfill, Kind::Live] {
            let (limiter, sender) = (limiter.clone(), sender.clone());
            tokio::spawn(async move {
                limiter.admit(kind).await;
                sender.send(kind).unwrap();
            });
            tokio::task::yield_now().await;
        }
        assert_eq!(receiver.recv().await, Some(Kind::Live));
        assert_eq!(receiver.recv().await, Some(Kind::Backfill));
    }

    #[tokio::test(start_paused = true)]
    async fn a_backfill_that_waits_is_in_no_live_calls_way() {
        let input = InputLimiter::new(&[limit(60_000, 4)]);
        let (one, other) = (input.service(&[], MINUTE), input.service(&[], MINUTE));
        let start = Instant::now();
        one.admit(Kind::Backfill).await;
        let waiting = {
            let one = one.clone();
            tokio::spawn(async move { one.admit(Kind::Backfill).await })
        };
        tokio::task::yield_now().await;
        one.admit(Kind::Live).await;
        other.admit(Kind::Live).await;
        other.admit(Kind::Live).await;
        assert_eq!(start.elapsed(), Duration::ZERO, "of both services");
        waiting.await.unwrap();
        assert_eq!(start.elapsed(), MINUTE);
    }

    #[test]
    fn the_operator_is_told_in_the_originals_words() {
        for (milliseconds, level, line) in [
            (1_234, Level::INFO, "Local rate limit is blocking new calls for 1.23400 seconds"),
            (1_000, Level::DEBUG, "Local rate limit is blocking new calls for 1.00000 seconds"),
        ] {
            assert_eq!(announcement(Duration::from_millis(milliseconds)), (level, line.to_string()));
        }
    }

    /// A call as a component might make it, milliseconds after the start of the test.
    #[derive(Clone, Copy, Debug)]
    struct Wish {
        service: usize,
        kind: Kind,
        at: u64,
        given_up_after: Option<u64>,
    }

    fn any_wish() -> impl Strategy<Value = Wish> {
        let patience = prop::option::weighted(0.3, 0u64..2_000);
        let kind = prop_oneof![Just(Kind::Live), Just(Kind::Backfill)];
        (0usize..3, kind, 0u64..5_000, patience).prop_map(|(service, kind, at, given_up_after)| Wish {
            service,
            kind,
            at,
            given_up_after,
        })
    }

    /// When each service's calls were let through, in milliseconds.
    async fn times(limiters: &[Limiter], wishes: Vec<Wish>) -> Vec<(usize, u64)> {
        let start = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for Wish { service, kind, at, given_up_after } in wishes {
            let limiter = limiters[service].clone();
            tasks.spawn(async move {
                tokio::time::sleep(Duration::from_millis(at)).await;
                let patience = Duration::from_millis(given_up_after.unwrap_or(u64::from(u32::MAX)));
                let admitted = timeout(patience, limiter.admit(kind)).await;
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
                let limiters: Vec<_> = own.iter().map(|own| input.service(&[*own], MINUTE)).collect();
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
