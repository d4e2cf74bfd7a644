//! Whether live and backfill both get what is theirs, over hours of a timetable and a limiter that work
//! together, on a clock that the test turns.

use std::num::NonZeroU32;
use std::time::Duration;

use collector_egress::rate::{InputLimiter, Kind, Limit, Limiter};
use tokio::time::{Instant, sleep};

use super::schedule::{Next, Period, Timetable, Waits};

const PERIOD: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// How long the API takes for an answer.
const ANSWER: Duration = Duration::from_millis(150);

fn limit(period: Duration, requests: u32) -> Limit {
    Limit { period, requests: NonZeroU32::new(requests) }
}

/// What happened, in times since the start.
#[derive(Default)]
struct History {
    pulls: Vec<Duration>,
    live: Vec<Duration>,
    backfill: Vec<Duration>,
}

impl History {
    /// Pulls that want so many requests, beside a backfill without an end.
    fn of(limits: &[Limit], wanted: u32, time: Duration) -> Self {
        Self::played(limits, wanted, time, true)
    }

    fn played(limits: &[Limit], wanted: u32, time: Duration, has_backfill: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let limiter = InputLimiter::new(limits).service(&[], PERIOD);
        runtime.unwrap().block_on(Self::play(&limiter, wanted, time, has_backfill))
    }

    async fn play(limiter: &Limiter, wanted: u32, time: Duration, has_backfill: bool) -> Self {
        let (start, mut history, mut table) = (Instant::now(), Self::default(), Timetable::new(Period::new(PERIOD)));
        while start.elapsed() < time {
            let pending = table.is_pending();
            let waits = Waits { live: limiter.wait(Kind::Live, pending), backfill: limiter.wait(Kind::Backfill, true) };
            match table.next(start.elapsed(), waits) {
                Next::Pull(time) => {
                    history.pulls.push(start.elapsed());
                    table.begin_pull(start.elapsed());
                    let budget = limiter.free(Kind::Live, time, pending).max(1);
                    for _ in 0..budget.min(wanted) {
                        limiter.admit(Kind::Live).await;
                        history.live.push(start.elapsed());
                        sleep(ANSWER).await;
                    }
                    table.end_pull(start.elapsed(), !has_backfill);
                }
                Next::Backfill(time) => {
                    let (begun, budget) = (Instant::now(), limiter.free(Kind::Backfill, time, true).max(1));
                    for _ in 0..budget {
                        limiter.admit(Kind::Backfill).await;
                        history.backfill.push(start.elapsed());
                        sleep(ANSWER).await;
                        if begun.elapsed() >= time {
                            break;
                        }
                    }
                    table.end_backfill(false);
                }
                Next::Wait(wait, _) => sleep(wait).await,
            }
        }
        history
    }

    /// No window of the limit holds more calls than it may.
    fn keeps(&self, limit: Limit) -> bool {
        let mut calls = [&self.live[..], &self.backfill].concat();
        calls.sort();
        let most = limit.requests.unwrap().get() as usize;
        calls.windows(most + 1).all(|calls| calls[most] - calls[0] >= limit.period)
    }

    fn longest_between_pulls(&self) -> Duration {
        self.pulls.windows(2).map(|pulls| pulls[1] - pulls[0]).max().unwrap()
    }
}

#[test]
fn a_pull_is_in_time_and_backfill_has_the_rest() {
    let rate = limit(Duration::from_secs(1), 3);
    for (limits, wanted, backfill_an_hour) in [
        (&[limit(PERIOD, 20)][..], 2, 17 * 60),
        (&[limit(HOUR, 1_000)], 2, 870),
        (&[limit(PERIOD, 20), limit(HOUR, 1_000)], 2, 870),
        (&[limit(PERIOD, 2)], 1, 59),
        (&[limit(PERIOD, 3)], 2, 59),
        (&[limit(PERIOD, 4)], 2, 118),
        (&[rate], 2, 50 * 60),
        // Pulls that could use everything.
        (&[limit(PERIOD, 20)], 100, 5 * 58),
        (&[limit(HOUR, 1_000)], 100, 240),
        (&[rate], 1_000, 15 * 60),
    ] {
        let history = History::of(limits, wanted, 5 * HOUR);
        assert!(limits.iter().all(|limit| history.keeps(*limit)), "{limits:?}");
        let share = history.backfill.len() / 5;
        assert!(share >= backfill_an_hour, "{limits:?} {wanted}: {share} backfill requests an hour");
        if wanted <= 2 {
            let longest = history.longest_between_pulls();
            // Of many calls some are remembered as one: what they took is free again by a 255th of the window
            // later.
            let grain =
                limits.iter().filter(|limit| limit.requests > NonZeroU32::new(255)).map(|limit| limit.period / 255);
            let in_time = PERIOD + Duration::from_secs(1) + grain.max().unwrap_or_default();
            assert!(longest <= in_time, "{limits:?}: {longest:?}");
        }
    }
}

#[test]
fn where_a_period_has_one_request_pulls_and_backfills_take_turns() {
    let limits = [limit(PERIOD, 1)];
    let history = History::of(&limits, 1, 10 * HOUR);
    assert!(history.keeps(limits[0]));
    assert!(history.longest_between_pulls() <= 2 * PERIOD + Duration::from_secs(1));
    assert!(history.backfill.len() >= 290, "{}", history.backfill.len());
}

#[test]
fn a_limit_that_is_too_low_for_pulls_alone_is_shared_day_after_day() {
    let limits = [limit(DAY, 1_000)];
    let history = History::of(&limits, 1, 5 * DAY);
    assert!(history.keeps(limits[0]));
    for day in 0..5 {
        let (from, to) = (DAY * day, DAY * (day + 1));
        let of_the_day = |calls: &[Duration]| calls.iter().filter(|&&time| from <= time && time < to).count();
        let (live, backfill) = (of_the_day(&history.live), of_the_day(&history.backfill));
        assert!(live >= 700 && backfill >= 230, "day {day}: {live} live and {backfill} backfill requests");
    }
    // What a limit of live's part alone would make a pull wait, and a period.
    let alone = History::played(&[limit(DAY, 750)], 1, 5 * DAY, false);
    let late = |(pull, alone): (&Duration, &Duration)| pull.saturating_sub(*alone) > PERIOD + Duration::from_secs(1);
    assert_eq!(history.pulls.iter().zip(&alone.pulls).filter(|pulls| late(*pulls)).count(), 0);
}
