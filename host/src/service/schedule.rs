//! When the next call is due: pure arithmetic, without a clock of its own.

use std::time::Duration;

use collector_sandbox::{Outcome, Terminated};

/// The longest wait after failures. The original waits up to 1800 s, and is then still waiting when the API
/// has long been back.
const LONGEST_BACKOFF: Duration = Duration::from_secs(120);

/// Consecutive terminated calls before a service is slowed down: they cost the others time, and will hardly
/// mend themselves.
const TERMINATED_CALLS: u32 = 3;

/// The wait of a service that is slowed down.
const SLOW: Duration = Duration::from_secs(600);

/// The longest time that one call is given: what it has found is confirmed and recorded by then.
const LONGEST_CALL: Duration = Duration::from_secs(30);

/// A call that has used up its time still has to finish its page, have its events confirmed and store its
/// state. Where the period leaves so much, it gets this long for it before the next pull is due: an answer of
/// a slow API takes a few seconds, a confirmation one round trip.
const MARGIN: Duration = Duration::from_secs(5);

/// No backfill is begun for less: its set-up, one page and a confirmation would take longer than that.
const SHORTEST_BACKFILL: Duration = Duration::from_millis(500);

/// A pull that begins later than this after it was due is a missed tick. Less is the machine's ordinary
/// unpunctuality.
const UNPUNCTUAL: Duration = Duration::from_secs(1);

/// A call that came to nothing, says that there is more and took less than this costs more than it does: the
/// next one waits. What works off a history in earnest takes longer, or delivers something.
pub const IDLE_CALL: Duration = Duration::from_secs(1);

/// The wait after the first such call. It doubles with each further one, up to a period.
const IDLE_WAIT: Duration = Duration::from_millis(100);

/// A pull every so often, counted from start to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(Duration);

impl Period {
    /// A pull every `period`.
    pub fn new(period: Duration) -> Self {
        Self(period)
    }

    /// The period in whole seconds, as it is configured.
    pub fn seconds(self) -> u64 {
        self.0.as_secs()
    }

    /// What is kept free before the next pull is due. Of a short period a tenth has to do.
    fn margin(self) -> Duration {
        MARGIN.min(self.0 / 10)
    }

    fn shortest_backfill(self) -> Duration {
        SHORTEST_BACKFILL.min(self.0 / 10)
    }

    /// How long a pull may take. A backfill that is pending gets the rest of the period: a quarter at least.
    fn pull(self, pending: bool) -> Duration {
        let time = self.0 - self.margin();
        LONGEST_CALL.min(if pending { time * 3 / 4 } else { time })
    }
}

/// How long the request limits keep each kind of call waiting; zero is not at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waits {
    /// A pull.
    pub live: Duration,
    /// A backfill.
    pub backfill: Duration,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Call `pull`, and give it this time.
    Pull(Duration),
    /// Call `backfill`, and give it this time.
    Backfill(Duration),
    /// Wait so long, then ask again.
    Wait(Duration, Reason),
}

/// Why nothing is done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// All is done until the next pull is due.
    Done,
    /// The request limits let no call through.
    Limits,
    /// The last call has failed.
    Failure,
}

/// The cycles of a service: a pull when it is due, then backfills until the next one is.
///
/// A backfill is begun only if it can end before that; its failures hold back no pull. Neither kind of call
/// starves: where pulls take all of the time, every other cycle has one short backfill, and where the limits
/// let through backfills alone, they go first. All times count from any fixed moment.
#[derive(Debug)]
pub struct Timetable {
    period: Period,
    /// When the next pull is due.
    due: Duration,
    /// When the cycle began: with the first try of its pull.
    begun: Duration,
    /// How much later than due that was.
    late: Duration,
    /// The pull has failed, and is tried again from then on.
    retry: Option<Duration>,
    /// There is more than live has delivered.
    pending: bool,
    /// No backfill before.
    backfill_from: Duration,
    /// Consecutive calls that came to nothing.
    idle: u32,
    /// Whether this cycle has had a backfill, and whether the one before had none although it should.
    served: bool,
    passed_over: bool,
}

/// How a pull went that came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulled {
    /// From the first try on.
    pub took: Duration,
    /// It began late, or took longer than the period.
    pub missed: bool,
}

impl Timetable {
    /// The first pull is due at once.
    pub fn new(period: Period) -> Self {
        Self {
            period,
            due: Duration::ZERO,
            begun: Duration::ZERO,
            late: Duration::ZERO,
            retry: None,
            pending: false,
            backfill_from: Duration::ZERO,
            idle: 0,
            served: false,
            passed_over: false,
        }
    }

    /// Whether there is more to do than to pull.
    pub fn is_pending(&self) -> bool {
        self.pending
    }

    /// Whether a pull is due, and only the request limits can hold it back.
    pub fn is_due(&self, now: Duration) -> bool {
        self.retry.unwrap_or(self.due) <= now
    }

    /// How long the cycle has lasted, and how long it is until the next pull is due.
    pub fn cycle(&self, now: Duration) -> (Duration, Duration) {
        (now.saturating_sub(self.begun), self.due.saturating_sub(now))
    }

    /// What to do at this time.
    pub fn next(&self, now: Duration, waits: Waits) -> Next {
        let pull = self.retry.unwrap_or(self.due);
        let pull_opens = pull.max(now + waits.live);
        if self.retry.is_none() && self.pending {
            let backfill = self.backfill_from.max(now + waits.backfill);
            if let Some(next) = self.next_backfill(now, backfill, pull_opens) {
                return next;
            }
        }
        if pull_opens <= now {
            return Next::Pull(self.period.pull(self.pending));
        }
        let reason = match self.retry {
            _ if pull <= now => Reason::Limits,
            Some(_) => Reason::Failure,
            None => Reason::Done,
        };
        // At the time that it is due it is known better how long the limits take.
        Next::Wait(if pull > now { pull } else { pull_opens } - now, reason)
    }

    /// The part that backfill has in it, which may begin at `opens`. The next pull begins at `pull_opens`:
    /// when it is due, or later, where the limits let none through then.
    fn next_backfill(&self, now: Duration, opens: Duration, pull_opens: Duration) -> Option<Next> {
        let shortest = self.period.shortest_backfill();
        let time = pull_opens.saturating_sub(self.period.margin()).saturating_sub(opens.max(now));
        let has_turn = self.passed_over && !self.served;
        if opens <= now && (time >= shortest || has_turn) {
            return Some(Next::Backfill(time.clamp(shortest, LONGEST_CALL)));
        }
        let reason = if opens == self.backfill_from { Reason::Failure } else { Reason::Limits };
        (opens > now && time >= shortest).then(|| Next::Wait(opens - now, reason))
    }

    /// A pull begins.
    pub fn begin_pull(&mut self, now: Duration) {
        if self.retry.is_none() {
            self.begun = now;
            self.late = now.saturating_sub(self.due);
        }
    }

    /// A pull has come to its end.
    pub fn end_pull(&mut self, now: Duration, up_to_date: bool) -> Pulled {
        let took = now.saturating_sub(self.begun);
        self.passed_over = self.pending && !self.served;
        self.served = false;
        self.retry = None;
        self.pending = !up_to_date;
        self.due = now.max(self.begun + self.period.0);
        Pulled { took, missed: took > self.period.0 || self.late > UNPUNCTUAL }
    }

    /// A pull has failed, and is not tried again before `wait` is over.
    pub fn fail_pull(&mut self, now: Duration, wait: Duration) {
        self.retry = Some(now + wait);
    }

    /// A backfill has come to its end.
    pub fn end_backfill(&mut self, up_to_date: bool) {
        self.served = true;
        self.pending = !up_to_date;
    }

    /// How long nothing is called again after a call that has ended now. `idle`: it came to nothing, and took
    /// no time for it. A component that says that there is more must not be called again and again for that.
    pub fn note_idle(&mut self, now: Duration, idle: bool) {
        if !idle || !self.pending {
            self.idle = 0;
            return;
        }
        let wait = IDLE_WAIT.saturating_mul(1 << self.idle.min(16)).min(self.period.0);
        self.idle = self.idle.saturating_add(1);
        self.backfill_from = self.backfill_from.max(now + wait);
    }

    /// A backfill has failed, and is not tried again before `wait` is over.
    pub fn fail_backfill(&mut self, now: Duration, wait: Duration) {
        self.served = true;
        self.backfill_from = now + wait;
    }
}

/// Growing waits after failures: 5, 25, then 120 seconds; 600 after three terminated calls in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
    terminated: u32,
}

impl Backoff {
    /// The wait after a call that went this way, and not well.
    pub fn after<T>(&mut self, outcome: &Outcome<T>) -> Duration {
        match outcome {
            // What others do is not its fault.
            Ok(_) | Err(Terminated::NoMemory) => self.after_failure(),
            Err(_) => self.after_terminated(),
        }
    }

    /// The wait after one more failure that the component has told of.
    pub fn after_failure(&mut self) -> Duration {
        self.terminated = 0;
        self.grow()
    }

    /// The wait after one more call that the host has ended.
    fn after_terminated(&mut self) -> Duration {
        self.terminated = self.terminated.saturating_add(1);
        let wait = self.grow();
        if self.terminated < TERMINATED_CALLS { wait } else { SLOW }
    }

    fn grow(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        5u64.checked_pow(self.failures).map_or(LONGEST_BACKOFF, Duration::from_secs).min(LONGEST_BACKOFF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Waits = Waits { live: Duration::ZERO, backfill: Duration::ZERO };

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn minutely() -> Timetable {
        Timetable::new(Period::new(Duration::from_secs(60)))
    }

    /// A timetable after a pull from 0 to `end`.
    fn pulled(end: f64, up_to_date: bool) -> Timetable {
        let mut table = minutely();
        table.begin_pull(Duration::ZERO);
        table.end_pull(seconds(end), up_to_date);
        table
    }

    #[test]
    fn a_pull_is_due_every_period_from_start_to_start() {
        let mut table = minutely();
        assert_eq!(table.next(Duration::ZERO, FREE), Next::Pull(seconds(30.0)));
        table.begin_pull(seconds(1.0));
        assert_eq!(table.end_pull(seconds(1.602), true), Pulled { took: seconds(0.602), missed: false });
        assert_eq!(table.cycle(seconds(1.602)), (seconds(0.602), seconds(59.398)));
        assert_eq!(table.next(seconds(1.602), FREE), Next::Wait(seconds(59.398), Reason::Done));
        assert_eq!(table.next(seconds(61.0), FREE), Next::Pull(seconds(30.0)));
    }

    #[test]
    fn backfill_fills_the_rest_of_the_period_but_for_a_margin() {
        let mut table = pulled(2.0, false);
        assert_eq!(table.next(seconds(2.0), FREE), Next::Backfill(seconds(30.0)));
        table.end_backfill(false);
        assert_eq!(table.next(seconds(31.0), FREE), Next::Backfill(seconds(24.0)));
        assert_eq!(table.next(seconds(54.6), FREE), Next::Wait(seconds(5.4), Reason::Done));
        assert_eq!(table.next(seconds(60.0), FREE), Next::Pull(seconds(30.0)));
        table.end_backfill(true);
        assert_eq!(table.next(seconds(31.0), FREE), Next::Wait(seconds(29.0), Reason::Done));
    }

    #[test]
    fn a_wait_for_the_limits_ends_when_the_next_pull_is_due() {
        let table = pulled(2.0, false);
        let waits = |backfill| Waits { backfill: seconds(backfill), ..FREE };
        assert_eq!(table.next(seconds(2.0), waits(10.0)), Next::Wait(seconds(10.0), Reason::Limits));
        assert_eq!(table.next(seconds(2.0), waits(53.0)), Next::Wait(seconds(58.0), Reason::Done));
    }

    #[test]
    fn a_backfill_goes_first_where_the_limits_let_no_pull_through() {
        let mut table = pulled(2.0, false);
        let live_waits = Waits { live: seconds(60.0), ..FREE };
        assert_eq!(table.next(seconds(60.0), live_waits), Next::Backfill(seconds(30.0)));
        table.end_backfill(false);
        let both_wait = Waits { live: seconds(55.0), backfill: seconds(55.0) };
        assert_eq!(table.next(seconds(65.0), both_wait), Next::Wait(seconds(55.0), Reason::Limits));
        table.begin_pull(seconds(120.0));
        assert!(table.end_pull(seconds(121.0), false).missed, "it was due at 60");
    }

    #[test]
    fn a_backfill_that_fails_waits_and_holds_back_no_pull() {
        let mut table = pulled(2.0, false);
        table.fail_backfill(seconds(10.0), seconds(25.0));
        assert_eq!(table.next(seconds(10.0), FREE), Next::Wait(seconds(25.0), Reason::Failure));
        table.fail_backfill(seconds(36.0), seconds(120.0));
        assert_eq!(table.next(seconds(36.0), FREE), Next::Wait(seconds(24.0), Reason::Done));
        assert_eq!(table.next(seconds(60.0), FREE), Next::Pull(seconds(30.0)));
        table.begin_pull(seconds(60.0));
        assert!(!table.end_pull(seconds(61.0), false).missed);
        assert_eq!(table.next(seconds(61.0), FREE), Next::Wait(seconds(59.0), Reason::Done));
        table.begin_pull(seconds(120.0));
        table.end_pull(seconds(121.0), false);
        assert_eq!(table.next(seconds(121.0), FREE), Next::Wait(seconds(35.0), Reason::Failure));
        assert_eq!(table.next(seconds(156.0), FREE), Next::Backfill(seconds(19.0)));
    }

    #[test]
    fn a_call_that_comes_to_nothing_and_says_more_is_not_made_again_at_once() {
        let mut table = pulled(2.0, false);
        let (mut now, mut waits) = (seconds(2.0), Vec::new());
        for _ in 0..8 {
            table.end_backfill(false);
            table.note_idle(now, true);
            let Next::Wait(wait, _) = table.next(now, FREE) else { panic!("at once") };
            waits.push(wait.as_millis());
            now += wait;
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12_800]);
        table.begin_pull(now);
        table.end_pull(now, false);
        table.note_idle(now, false);
        table.end_backfill(false);
        table.note_idle(now, true);
        assert!(matches!(table.next(now, FREE), Next::Wait(wait, _) if wait == seconds(0.1)), "it counts anew");
        (0..100).for_each(|_| table.note_idle(now, true));
        assert!(matches!(table.next(now, FREE), Next::Wait(wait, _) if wait == seconds(60.0)), "the pull is next");
        assert_eq!(table.next(now + seconds(60.0), FREE), Next::Pull(seconds(30.0)), "it never waits for that");
    }

    #[test]
    fn after_a_pull_that_failed_nothing_but_a_pull_is_tried() {
        let mut table = pulled(2.0, false);
        table.begin_pull(seconds(60.0));
        table.fail_pull(seconds(61.0), seconds(5.0));
        assert_eq!(table.next(seconds(61.0), FREE), Next::Wait(seconds(5.0), Reason::Failure));
        assert_eq!(table.next(seconds(66.0), FREE), Next::Pull(seconds(30.0)));
        table.begin_pull(seconds(66.0));
        assert_eq!(table.end_pull(seconds(67.0), false), Pulled { took: seconds(7.0), missed: false });
        assert_eq!(table.next(seconds(67.0), FREE), Next::Backfill(seconds(30.0)));
    }

    #[test]
    fn a_pull_that_began_late_or_took_longer_than_the_period_is_a_missed_tick() {
        let missed = |begun: f64, end: f64| {
            let mut table = pulled(2.0, true);
            table.begin_pull(seconds(begun));
            table.end_pull(seconds(end), true).missed
        };
        assert!(!missed(60.9, 70.0));
        assert!(missed(61.1, 70.0));
        assert!(!missed(60.0, 119.0));
        assert!(missed(60.0, 121.0));
    }

    #[test]
    fn a_late_pull_is_not_caught_up_with() {
        let mut table = minutely();
        table.begin_pull(Duration::ZERO);
        table.end_pull(seconds(200.0), true);
        assert_eq!(table.next(seconds(200.0), FREE), Next::Pull(seconds(30.0)));
        table.begin_pull(seconds(200.0));
        table.end_pull(seconds(201.0), true);
        assert_eq!(table.next(seconds(201.0), FREE), Next::Wait(seconds(59.0), Reason::Done));
    }

    #[test]
    fn where_pulls_take_all_of_the_time_every_other_cycle_has_a_backfill() {
        let mut table = minutely();
        let mut now = Duration::ZERO;
        let mut calls = Vec::new();
        for _ in 0..7 {
            match table.next(now, FREE) {
                Next::Pull(_) => {
                    table.begin_pull(now);
                    now += seconds(70.0);
                    table.end_pull(now, false);
                    calls.push("pull");
                }
                Next::Backfill(time) => {
                    assert_eq!(time, SHORTEST_BACKFILL);
                    now += time;
                    table.end_backfill(false);
                    calls.push("backfill");
                }
                Next::Wait(wait, _) => panic!("{wait:?}"),
            }
        }
        assert_eq!(calls, ["pull", "pull", "backfill", "pull", "pull", "backfill", "pull"]);
    }

    #[test]
    fn short_periods_have_room_for_both() {
        let mut table = Timetable::new(Period::new(Duration::from_secs(1)));
        assert_eq!(table.next(Duration::ZERO, FREE), Next::Pull(seconds(0.9)));
        table.begin_pull(Duration::ZERO);
        table.end_pull(seconds(0.1), false);
        assert_eq!(table.next(seconds(0.1), FREE), Next::Backfill(seconds(0.8)));
        table.end_backfill(false);
        assert_eq!(table.next(seconds(0.85), FREE), Next::Wait(seconds(0.15), Reason::Done));
        assert_eq!(table.next(seconds(1.0), FREE), Next::Pull(seconds(0.675)));
    }

    #[test]
    fn waits_grow_and_stay_bounded() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..40).map(|_| backoff.after_failure().as_secs()).collect();
        assert_eq!(waits[..4], [5, 25, 120, 120]);
        assert_eq!(waits[39], 120);
    }

    #[test]
    fn three_terminated_in_a_row_slow_a_service_down() {
        let mut backoff = Backoff::default();
        let trap = || Err::<Result<(), _>, _>(Terminated::Trap("unreachable".into()));
        let waits: Vec<u64> = (0..4).map(|_| backoff.after(&trap()).as_secs()).collect();
        assert_eq!(waits, [5, 25, 600, 600]);
        assert_eq!(backoff.after_failure().as_secs(), 120, "a failure in between is another matter");
        assert_eq!(backoff.after(&trap()).as_secs(), 120);
    }
}
