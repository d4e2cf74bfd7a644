//! A sliding window over the times of calls: may one more be made now, and if not, when? Pure; times count
//! from any fixed moment of a clock that never goes back.

use std::collections::VecDeque;
use std::time::Duration;

use super::limit::Limit;

/// Up to so many calls a limit is exact. Above, calls that are close together are remembered as one, for
/// otherwise a thousand tenants with a limit of a million a day would need gigabytes; so each needs 6 KiB.
/// With one more there can be 257 batches, for which a `VecDeque` makes room for 512.
const PIECES: u32 = 255;

/// What is free within this time is as good as free now, in a window that is longer than the call that asks.
const SOON: Duration = Duration::from_secs(1);

/// What a live call needs in each period of its service: the page that shows that nothing is new, and one
/// more.
const RESERVED: u64 = 2;

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The set-up, and what is new at the source.
    Live,
    /// The rest of what the source has.
    Backfill,
}

/// The calls that still count, for several limits that all hold.
#[derive(Debug)]
pub(super) struct Window(Vec<Counter>);

impl Window {
    pub(super) fn new(limits: &[Limit]) -> Self {
        Self(limits.iter().filter_map(Counter::new).collect())
    }

    /// Keeps a reserve for the live calls of one more service, which come every `period`.
    pub(super) fn reserve(&mut self, period: Duration) {
        for counter in &mut self.0 {
            let periods = counter.period.as_nanos().div_ceil(period.as_nanos().max(1));
            let calls = u64::try_from(periods).unwrap_or(u64::MAX).saturating_mul(RESERVED);
            counter.reserved = counter.reserved.saturating_add(calls);
        }
    }

    /// How long from `now` until every limit lets a call through; `None` if that is now.
    pub(super) fn next_allowed(&mut self, now: Duration, kind: Kind) -> Option<Duration> {
        self.0.iter_mut().filter_map(|counter| counter.next_allowed(now, kind)).max()
    }

    /// How long until a pull that comes every `period` may begin, although a backfill is pending.
    pub(super) fn next_turn(&mut self, now: Duration, period: Duration) -> Option<Duration> {
        let turn = |counter: &mut Counter| counter.next_allowed(now, Kind::Live).max(counter.next_turn(now, period));
        self.0.iter_mut().filter_map(turn).max()
    }

    /// How many calls of a kind may be made within `time` from `now` on, or a few less for backfill. `share`
    /// is the period of a pull that leaves the pending backfill its share.
    pub(super) fn free(&mut self, now: Duration, kind: Kind, time: Duration, share: Option<Duration>) -> u32 {
        self.0.iter_mut().map(|counter| counter.free(now, kind, time, share)).min().unwrap_or(u32::MAX)
    }

    /// Notes a call that was allowed.
    pub(super) fn record(&mut self, now: Duration, kind: Kind) {
        for counter in &mut self.0 {
            counter.record(now, kind);
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
    /// Those of them that are backfill's.
    backfill: u32,
    /// What live calls need in a period, before it is bounded.
    reserved: u64,
    last_live: Option<Duration>,
}

/// Calls that are taken to have been made when the last of them was: so a call may wait longer than it must,
/// by a 255th of the period, but the limit holds.
#[derive(Debug)]
struct Batch {
    last: Duration,
    calls: u32,
    backfill: u32,
}

impl Batch {
    fn live(&self) -> u32 {
        self.calls - self.backfill
    }
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
            backfill: 0,
            reserved: 0,
            last_live: None,
        })
    }

    /// The most calls of backfill.
    fn most_backfill(&self) -> u32 {
        let bound = u64::from(self.most) * 3 / 4;
        self.most - u32::try_from(self.reserved.min(bound)).unwrap_or(u32::MAX)
    }

    /// The most live calls while a backfill is pending. A window that is shorter than the period is free
    /// again in time anyway.
    fn most_live(&self, period: Duration) -> u32 {
        let share = if self.period < period { 0 } else { (self.most / 4).max(2).min(self.most_backfill()) };
        self.most - share
    }

    fn forget(&mut self, now: Duration) {
        while let Some(oldest) = self.batches.front().filter(|oldest| oldest.last + self.period <= now) {
            self.calls -= oldest.calls;
            self.backfill -= oldest.backfill;
            self.batches.pop_front();
        }
    }

    fn next_allowed(&mut self, now: Duration, kind: Kind) -> Option<Duration> {
        self.forget(now);
        let any = self.until_below(self.most, now, self.calls, |batch| batch.calls);
        match kind {
            Kind::Live => any,
            Kind::Backfill => {
                any.max(self.until_below(self.most_backfill(), now, self.backfill, |batch| batch.backfill))
            }
        }
    }

    fn next_turn(&mut self, now: Duration, period: Duration) -> Option<Duration> {
        self.forget(now);
        match self.most_live(period) {
            // Only one call fits: every other one is backfill's.
            0 => self.last_live.map(|last| last + 2 * self.period).filter(|turn| *turn > now).map(|turn| turn - now),
            most => self.until_below(most, now, self.calls - self.backfill, Batch::live),
        }
    }

    /// When fewer than `most` of the calls that are counted still count. `most` is above 0.
    fn until_below(&self, most: u32, now: Duration, mut counted: u32, of: impl Fn(&Batch) -> u32) -> Option<Duration> {
        if counted < most {
            return None;
        }
        let last = self.batches.iter().find(|batch| {
            counted -= of(batch);
            counted < most
        })?;
        Some(last.last + self.period - now)
    }

    fn free(&mut self, now: Duration, kind: Kind, time: Duration, share: Option<Duration>) -> u32 {
        self.forget(now);
        let any = self.free_below(self.most, now, time, self.calls, |batch| batch.calls);
        let own = match (kind, share) {
            (Kind::Live, None) => any,
            (Kind::Live, Some(period)) => {
                let most = self.most_live(period).max(1);
                self.free_below(most, now, time, self.calls - self.backfill, Batch::live)
            }
            (Kind::Backfill, _) => {
                self.free_below(self.most_backfill(), now, time, self.backfill, |batch| batch.backfill)
            }
        };
        any.min(own)
    }

    /// How many calls fit below `most` within `time`: whole windows, and what is forgotten in the rest.
    fn free_below(&self, most: u32, now: Duration, time: Duration, counted: u32, of: impl Fn(&Batch) -> u32) -> u32 {
        let time = if self.period <= time { time } else { time.min(SOON) };
        let windows = u32::try_from(time.as_nanos() / self.period.as_nanos().max(1)).unwrap_or(u32::MAX);
        let end = now + time.saturating_sub(self.period.saturating_mul(windows));
        let forgotten = self.batches.iter().take_while(|batch| batch.last + self.period <= end).map(of).sum::<u32>();
        most.saturating_mul(windows).saturating_add((most + forgotten).saturating_sub(counted))
    }

    fn record(&mut self, now: Duration, kind: Kind) {
        let backfill = u32::from(kind == Kind::Backfill);
        self.calls += 1;
        self.backfill += backfill;
        if kind == Kind::Live {
            self.last_live = Some(now);
        }
        match self.batches.back_mut() {
            Some(batch) if now.saturating_sub(self.newest_since) <= self.grain => {
                batch.last = now;
                batch.calls += 1;
                batch.backfill += backfill;
            }
            _ => {
                self.batches.push_back(Batch { last: now, calls: 1, backfill });
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
            now = wanted + window.next_allowed(wanted, Kind::Live).unwrap_or_default();
            assert_eq!(window.next_allowed(now, Kind::Live), None, "the wait is the whole wait");
            window.record(now, Kind::Live);
            calls.push(Call { wanted, made: now });
        }
        calls
    }

    #[derive(Clone, Copy)]
    struct Call {
        wanted: Duration,
        made: Duration,
    }

    /// Whether no stretch of the limit's length, its end not included, holds more calls than it may. It is
    /// enough to look at those that begin with a call.
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
            assert_eq!(window.next_allowed(now, Kind::Live), None);
            window.record(now, Kind::Live);
        }
        assert!(window.0.iter().all(|counter| counter.batches.len() <= PIECES as usize + 1));
    }

    #[test]
    fn the_longest_period_and_the_latest_time_do_not_overflow() {
        let period = Duration::from_secs(u64::from(u32::MAX) * 365 * 86_400);
        let mut window = Window::new(&[Limit { period, requests: NonZeroU32::new(1) }]);
        let now = Duration::from_secs(1 << 40);
        window.record(now, Kind::Live);
        assert_eq!(window.next_allowed(now, Kind::Live), Some(period));
    }

    /// A window of a service that pulls every minute.
    fn reserved(seconds: u64, requests: u32) -> Window {
        let mut window = Window::new(&[limit(seconds * 1_000, requests)]);
        window.reserve(Duration::from_secs(60));
        window
    }

    #[test]
    fn backfill_leaves_two_calls_a_period_and_gets_a_quarter_at_least() {
        for (seconds, requests, backfill) in
            [(60, 20, 18), (3_600, 1_000, 880), (86_400, 1_000, 250), (1, 3, 1), (60, 4, 2), (60, 2, 1), (60, 1, 1)]
        {
            let mut window = reserved(seconds, requests);
            let now = Duration::from_secs(1_000_000);
            assert_eq!(window.free(now, Kind::Backfill, Duration::ZERO, None), backfill, "{requests} in {seconds} s");
            for _ in 0..backfill {
                assert_eq!(window.next_allowed(now, Kind::Backfill), None);
                window.record(now, Kind::Backfill);
            }
            assert_eq!(window.next_allowed(now, Kind::Backfill), Some(Duration::from_secs(seconds)));
            assert_eq!(window.next_allowed(now, Kind::Live).is_none(), requests > 1, "{requests} in {seconds} s");
        }
    }

    #[test]
    fn a_pull_leaves_a_pending_backfill_its_share() {
        let period = Duration::from_secs(60);
        let now = Duration::from_secs(1_000_000);
        for (seconds, requests, live) in
            [(60, 20, 15), (3_600, 1_000, 750), (86_400, 1_000, 750), (60, 4, 2), (60, 3, 2), (60, 2, 1), (60, 1, 1)]
        {
            let mut window = reserved(seconds, requests);
            assert_eq!(window.free(now, Kind::Live, Duration::ZERO, None), requests);
            assert_eq!(window.free(now, Kind::Live, Duration::ZERO, Some(period)), live, "{requests} in {seconds} s");
            for _ in 0..live {
                assert_eq!(window.next_turn(now, period), None);
                window.record(now, Kind::Live);
            }
            assert!(window.next_turn(now, period).is_some(), "{requests} in {seconds} s");
        }
    }

    #[test]
    fn where_one_call_fits_live_and_backfill_take_turns() {
        let mut window = reserved(60, 1);
        let (period, seconds) = (Duration::from_secs(60), Duration::from_secs);
        window.record(seconds(0), Kind::Live);
        assert_eq!(window.next_turn(seconds(60), period), Some(seconds(60)));
        assert_eq!(window.next_allowed(seconds(60), Kind::Backfill), None);
        window.record(seconds(60), Kind::Backfill);
        assert_eq!(window.next_turn(seconds(120), period), None);
    }

    #[test]
    fn what_is_free_during_a_call_counts_in_windows_that_are_shorter_than_it() {
        let mut window = Window::new(&[limit(1_000, 3)]);
        let now = Duration::from_secs(10);
        assert_eq!(window.free(now, Kind::Live, Duration::from_millis(4_500), None), 12 + 3);
        window.record(now, Kind::Live);
        assert_eq!(window.free(now, Kind::Live, Duration::from_millis(4_500), None), 12 + 2);
        assert_eq!(window.free(now, Kind::Live, Duration::from_millis(999), None), 2);
        assert_eq!(window.free(now, Kind::Live, Duration::from_secs(1), None), 3 + 2);
        let mut none = Window::new(&[]);
        assert_eq!(none.free(now, Kind::Backfill, Duration::from_secs(1), None), u32::MAX);
    }

    #[test]
    fn what_is_free_soon_counts_in_longer_windows() {
        let mut window = Window::new(&[limit(60_000, 2)]);
        window.record(Duration::from_millis(100), Kind::Live);
        window.record(Duration::from_secs(30), Kind::Live);
        let call = Duration::from_secs(30);
        assert_eq!(window.free(Duration::from_secs(58), Kind::Live, call, None), 0);
        assert_eq!(window.free(Duration::from_secs(60), Kind::Live, call, None), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn what_is_said_to_be_free_is_free(
            limit in any_limit(),
            calls in prop::collection::vec((0u64..2_000, any::<bool>()), 0..300),
            time in 0u64..30_000,
            backfill: bool,
        ) {
            let kind = |backfill| if backfill { Kind::Backfill } else { Kind::Live };
            let mut window = Window::new(&[limit]);
            window.reserve(Duration::from_secs(5));
            // Two bounds hold for backfill, and together they may let through less a while later than either
            // does.
            let time = if backfill { 0 } else { time };
            let mut now = Duration::ZERO;
            for (gap, backfill) in calls {
                now += Duration::from_millis(gap);
                if window.next_allowed(now, kind(backfill)).is_none() {
                    window.record(now, kind(backfill));
                }
            }
            let free = window.free(now, kind(backfill), Duration::from_millis(time), None).min(1_000);
            // Calls that are remembered as one are forgotten as one: up to a 255th of the period later, each
            // time.
            let end = now + Duration::from_millis(time) + limit.period / 16;
            let mut made = 0;
            while made < free {
                match window.next_allowed(now, kind(backfill)) {
                    Some(wait) => now += wait,
                    None => {
                        window.record(now, kind(backfill));
                        made += 1;
                    }
                }
            }
            prop_assert!(free == 0 || now <= end, "{free} calls until {now:?}, not {end:?}");
        }

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
