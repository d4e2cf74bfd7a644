//! A sliding window over the times of calls: may one more be made now, and if not, when? Pure; times count from any
//! fixed moment of a clock that never goes back.

use std::collections::VecDeque;
use std::time::Duration;

use super::limit::Limit;

/// Up to so many calls a limit is exact. Above, calls that are close together are remembered as one, for otherwise a
/// thousand tenants with a limit of a million a day would need gigabytes; so each needs 6 KiB. With one more there can be
/// 257 batches, for which a `VecDeque` makes room for 512.
const PIECES: u32 = 255;

/// The calls that still count, for several limits that all hold.
#[derive(Debug)]
pub(super) struct Window(Vec<Counter>);

impl Window {
    pub(super) fn new(limits: &[Limit]) -> Self {
        Self(limits.iter().filter_map(Counter::new).collect())
    }

    /// How long from `now` until every limit lets a call through; `None` if that is now.
    pub(super) fn next_allowed(&mut self, now: Duration) -> Option<Duration> {
        self.0.iter_mut().filter_map(|counter| counter.next_allowed(now)).max()
    }

    /// Notes a call that was allowed.
    pub(super) fn record(&mut self, now: Duration) {
        for counter in &mut self.0 {
            counter.record(now);
        }
    }
}

/// The calls of one limit's period.
#[derive(Debug)]
struct Counter {
    period: Duration,
    most: u32,
    /// Calls this close together are one batch. At most `PIECES` + 1 batches lie within a period.
    grain: Duration,
    batches: VecDeque<Batch>,
    /// When the first call of the newest batch was made.
    newest_since: Duration,
    /// All batches together.
    calls: u32,
}

/// Calls that are taken to have been made when the last of them was: so a call may wait longer than it must, by a 255th
/// of the period, but the limit holds.
#[derive(Debug)]
struct Batch {
    last: Duration,
    calls: u32,
}

impl Counter {
    fn new(limit: &Limit) -> Option<Self> {
        let most = limit.requests?.get();
        let grain = if most <= PIECES { Duration::ZERO } else { limit.period / PIECES };
        Some(Self {
            period: limit.period,
            most,
            grain,
            batches: VecDeque::new(),
            newest_since: Duration::ZERO,
            calls: 0,
        })
    }

    fn next_allowed(&mut self, now: Duration) -> Option<Duration> {
        while let Some(oldest) = self.batches.front().filter(|oldest| oldest.last + self.period <= now) {
            self.calls -= oldest.calls;
            self.batches.pop_front();
        }
        let oldest = self.batches.front().filter(|_| self.calls >= self.most)?;
        Some(oldest.last + self.period - now)
    }

    fn record(&mut self, now: Duration) {
        self.calls += 1;
        match self.batches.back_mut() {
            Some(batch) if now.saturating_sub(self.newest_since) <= self.grain => {
                batch.last = now;
                batch.calls += 1;
            }
            _ => {
                self.batches.push_back(Batch { last: now, calls: 1 });
                self.newest_since = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;

    fn limit(period_in_milliseconds: u64, requests: u32) -> Limit {
        Limit { period: Duration::from_millis(period_in_milliseconds), requests: NonZeroU32::new(requests) }
    }

    /// When calls are made that want to be made `gaps` milliseconds after the one before.
    fn calls(window: &mut Window, gaps: &[u64]) -> Vec<Call> {
        let mut now = Duration::ZERO;
        let mut calls = Vec::new();
        for gap in gaps {
            let wanted = now + Duration::from_millis(*gap);
            now = wanted + window.next_allowed(wanted).unwrap_or_default();
            assert_eq!(window.next_allowed(now), None, "the wait is the whole wait");
            window.record(now);
            calls.push(Call { wanted, made: now });
        }
        calls
    }

    #[derive(Clone, Copy)]
    struct Call {
        wanted: Duration,
        made: Duration,
    }

    /// Whether no stretch of the limit's length, its end not included, holds more calls than it may. It is enough to look
    /// at those that begin with a call.
    fn holds(limit: Limit, calls: &[Call]) -> bool {
        let most = limit.requests.unwrap().get() as usize;
        calls.windows(most + 1).all(|calls| calls[most].made - calls[0].made >= limit.period)
    }

    fn any_limit() -> impl Strategy<Value = Limit> {
        (1u64..20_000, prop_oneof![1u32..20, 200u32..400]).prop_map(|(period, requests)| limit(period, requests))
    }

    fn any_gaps() -> impl Strategy<Value = Vec<u64>> {
        let gap = prop_oneof![5 => Just(0u64), 3 => 0u64..30, 1 => 0u64..5_000];
        prop::collection::vec(gap, 0..1_500)
    }

    #[test]
    fn the_next_call_waits_until_the_first_one_no_longer_counts() {
        let mut window = Window::new(&[limit(1_000, 2)]);
        let made: Vec<_> = calls(&mut window, &[0, 100, 0, 0]).iter().map(|call| call.made.as_millis()).collect();
        assert_eq!(made, [0, 100, 1_000, 1_100]);
    }

    #[test]
    fn no_limit_lets_every_call_through() {
        let mut window = Window::new(&[Limit { period: Duration::from_secs(1), requests: None }]);
        assert!(calls(&mut window, &[0; 1_000]).iter().all(|call| call.made == call.wanted));
    }

    #[test]
    fn a_limit_of_billions_needs_no_memory_for_each_call() {
        let mut window = Window::new(&[limit(86_400_000, u32::MAX), limit(86_400_000, 1_000_000)]);
        for call in 0..2_000_000u64 {
            let now = Duration::from_millis(call * 87);
            assert_eq!(window.next_allowed(now), None);
            window.record(now);
        }
        assert!(window.0.iter().all(|counter| counter.batches.len() <= PIECES as usize + 1));
    }

    #[test]
    fn the_longest_period_and_the_latest_time_do_not_overflow() {
        let period = Duration::from_secs(u64::from(u32::MAX) * 365 * 86_400);
        let mut window = Window::new(&[Limit { period, requests: NonZeroU32::new(1) }]);
        let now = Duration::from_secs(1 << 40);
        window.record(now);
        assert_eq!(window.next_allowed(now), Some(period));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn no_window_holds_more_calls_than_it_may(limit in any_limit(), gaps in any_gaps()) {
            prop_assert!(holds(limit, &calls(&mut Window::new(&[limit]), &gaps)));
        }

        #[test]
        fn several_limits_hold_at_once(limits in prop::collection::vec(any_limit(), 1..5), gaps in any_gaps()) {
            let calls = calls(&mut Window::new(&limits), &gaps);
            for limit in limits {
                prop_assert!(holds(limit, &calls));
            }
        }

        #[test]
        fn a_call_is_never_delayed_longer_than_needed(limit in any_limit(), gaps in any_gaps()) {
            let most = limit.requests.unwrap().get();
            // Above what is exact, by one piece of the period.
            let tolerance = if most <= PIECES { Duration::ZERO } else { limit.period / PIECES };
            let calls = calls(&mut Window::new(&[limit]), &gaps);
            for (number, call) in calls.iter().enumerate() {
                let earlier = number.checked_sub(most as usize).map(|earlier| calls[earlier].made + limit.period);
                let needed = earlier.map_or(call.wanted, |earlier| earlier.max(call.wanted));
                prop_assert!(call.made <= needed + tolerance, "{:?} for {needed:?}", call.made);
            }
        }

        #[test]
        fn memory_is_bounded(limit in any_limit(), gaps in any_gaps()) {
            let mut window = Window::new(&[limit]);
            calls(&mut window, &gaps);
            prop_assert!(window.0.iter().all(|counter| counter.batches.len() <= PIECES as usize + 1));
        }
    }
}
