//! What is counted of one service while it works, and read when somebody asks: by the metrics and by the
//! status page.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use super::failing::Failures;
use super::{BackfillProgress, Failing, Progress, Summary, Task};
use crate::{ErrorCode, Limit};

/// What is counted of one service since its start.
#[derive(Debug, Default)]
pub struct ServiceMetrics {
    ready: AtomicBool,
    counts: [AtomicU64; Count::ALL.len()],
    /// The most that one call has used of what is limited, in the unit of the limit's setting.
    peaks: [AtomicU64; Limit::ALL.len()],
    exceeded: [AtomicU64; Limit::ALL.len()],
    computed_in_nanoseconds: AtomicU64,
    instantiated_in_nanoseconds: AtomicU64,
    last_cycle_in_microseconds: AtomicU64,
    last_cycle_ended_in_milliseconds: AtomicU64,
    /// Until when the request limits let no pull through.
    limited_until_in_milliseconds: AtomicU64,
    needs_operator: AtomicBool,
    failures: Mutex<Failures>,
    standing: Mutex<Standing>,
    /// Told of each cycle and each failure.
    happened: Notify,
}

/// How things stand with the source.
#[derive(Debug, Default)]
struct Standing {
    progress: Option<Progress>,
    /// Where the pass that is under way was when it was first heard of, and when that was.
    pass: Option<(BackfillProgress, SystemTime)>,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Calls of the component.
    Calls,
    /// Pulls that came to their end.
    Cycles,
    /// Calls that failed.
    Failures,
    /// Pulls that began late or took longer than the period.
    MissedTicks,
    /// Requests to the API.
    Requests,
    /// Records that the API returned.
    Received,
    /// Records left out because they had been delivered before.
    Duplicates,
    /// Events delivered and confirmed.
    Sent,
    /// Records that can't become events.
    DeadLetters,
}

impl Count {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Calls,
        Self::Cycles,
        Self::Failures,
        Self::MissedTicks,
        Self::Requests,
        Self::Received,
        Self::Duplicates,
        Self::Sent,
        Self::DeadLetters,
    ];
}

impl ServiceMetrics {
    /// Whether the API has accepted the credentials when they were last checked.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// A call of `pull` or `backfill` came to its end.
    pub fn add_call(&self, call: &Summary) {
        let Summary { requests, received, duplicates, sent, dead_letters, progress, .. } = *call;
        self.add(Count::Requests, requests.into());
        self.add(Count::Received, received);
        self.add(Count::Duplicates, duplicates);
        self.add(Count::Sent, sent);
        self.add(Count::DeadLetters, dead_letters);
        let mut standing = self.standing();
        let before = standing.progress.and_then(|progress| progress.backfill);
        let goes_on = |now: BackfillProgress| before.is_some_and(|before| now.done >= before.done);
        standing.pass = match (progress.backfill, standing.pass) {
            (Some(now), Some(began)) if goes_on(now) => Some(began),
            (now, _) => now.map(|now| (now, SystemTime::now())),
        };
        standing.progress = Some(progress);
    }

    /// A pull came to its end, so long after its first try. `missed`: it was not in time.
    pub fn add_cycle(&self, took: Duration, missed: bool) {
        self.add(Count::Cycles, 1);
        self.add(Count::MissedTicks, u64::from(missed));
        self.last_cycle_in_microseconds.store(whole(took.as_micros()), Ordering::Relaxed);
        self.last_cycle_ended_in_milliseconds.store(milliseconds(SystemTime::now()), Ordering::Relaxed);
        self.happened.notify_one();
    }

    /// A task failed. The text is the one of the log.
    pub fn add_failure(&self, task: Task, code: ErrorCode, text: &str) {
        self.add(Count::Failures, 1);
        self.failures().add(task, code, text, SystemTime::now());
        self.happened.notify_one();
    }

    /// A task succeeded: what it failed with is over.
    pub fn end_failure(&self, task: Task) {
        self.failures().end(task);
    }

    /// The request limits let no pull through before this time.
    pub fn set_limited_until(&self, time: SystemTime) {
        self.limited_until_in_milliseconds.store(milliseconds(time), Ordering::Relaxed);
    }

    /// It has ended, and can't go on without the operator.
    pub fn set_needs_operator(&self) {
        self.needs_operator.store(true, Ordering::Relaxed);
    }

    /// Returns when the service has come to the end of a cycle, or has failed for the first time. For one at
    /// a time.
    pub async fn begun(&self) {
        while self.count(Count::Cycles) + self.count(Count::Failures) == 0 {
            self.happened.notified().await;
        }
    }

    /// A limit was reached.
    pub fn add_exceeded(&self, limit: impl Into<Limit>) {
        self.exceeded[limit.into().index()].fetch_add(1, Ordering::Relaxed);
    }

    /// A call has used so much of what is limited.
    pub fn note_use(&self, limit: impl Into<Limit>, amount: u64) {
        self.peaks[limit.into().index()].fetch_max(amount, Ordering::Relaxed);
    }

    /// A call has computed for so long, in the component and in the host for it.
    pub fn add_computed(&self, time: Duration) {
        self.computed_in_nanoseconds.fetch_add(whole(time.as_nanos()), Ordering::Relaxed);
    }

    /// An instance was made for a call, which took so long.
    pub fn add_instance(&self, took: Duration) {
        self.add(Count::Calls, 1);
        self.instantiated_in_nanoseconds.fetch_add(whole(took.as_nanos()), Ordering::Relaxed);
    }

    /// Whether the API has accepted the credentials when they were last checked.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// How many so far.
    pub fn count(&self, count: Count) -> u64 {
        self.counts[count as usize].load(Ordering::Relaxed)
    }

    /// How often this limit was reached.
    pub fn exceeded(&self, limit: Limit) -> u64 {
        self.exceeded[limit.index()].load(Ordering::Relaxed)
    }

    /// The most that a call has used.
    pub fn peak(&self, limit: Limit) -> u64 {
        self.peaks[limit.index()].load(Ordering::Relaxed)
    }

    /// For how long all calls together have computed.
    pub fn computed(&self) -> Duration {
        Duration::from_nanos(self.computed_in_nanoseconds.load(Ordering::Relaxed))
    }

    /// How long it took to make the instances of all calls.
    pub fn instantiated(&self) -> Duration {
        Duration::from_nanos(self.instantiated_in_nanoseconds.load(Ordering::Relaxed))
    }

    /// How long the last cycle took, and when it ended; none if there was none.
    pub fn last_cycle(&self) -> Option<(Duration, SystemTime)> {
        let ended = self.last_cycle_ended_in_milliseconds.load(Ordering::Relaxed);
        let took = Duration::from_micros(self.last_cycle_in_microseconds.load(Ordering::Relaxed));
        (ended > 0).then(|| (took, UNIX_EPOCH + Duration::from_millis(ended)))
    }

    /// What it fails with now; none if the last of each task went well.
    pub fn failing(&self) -> Option<Failing> {
        self.failures().now().cloned()
    }

    /// The last failure since the start, whether it is over or not.
    pub fn last_failure(&self) -> Option<Failing> {
        self.failures().last().cloned()
    }

    /// Until when the request limits let no pull through, if they have ever held one back.
    pub fn limited_until(&self) -> Option<SystemTime> {
        let time = self.limited_until_in_milliseconds.load(Ordering::Relaxed);
        (time > 0).then(|| UNIX_EPOCH + Duration::from_millis(time))
    }

    /// Whether it has ended, and can't go on without the operator.
    pub fn needs_operator(&self) -> bool {
        self.needs_operator.load(Ordering::Relaxed)
    }

    /// How things stood after the last call; none if there was none.
    pub fn progress(&self) -> Option<Progress> {
        self.standing().progress
    }

    /// How long the pass that is under way will take if it goes on as it did so far; none where none is, or
    /// where that can't be told.
    pub fn time_to_read(&self, now: SystemTime) -> Option<Duration> {
        let standing = self.standing();
        let (first, began) = standing.pass?;
        let BackfillProgress { done, total } = standing.progress?.backfill?;
        let read = done.checked_sub(first.done).filter(|&read| read > 0)?;
        let took = now.duration_since(began).ok()?;
        Some(took.mul_f64(total?.saturating_sub(done) as f64 / read as f64))
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, count: Count, amount: u64) {
        self.counts[count as usize].fetch_add(amount, Ordering::Relaxed);
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    whole(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis())
}

fn whole(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CallLimit;
    use crate::metrics::{Account, BackfillProgress};

    #[test]
    fn pulls_are_counted_and_those_not_in_time_besides() {
        let metrics = ServiceMetrics::default();
        assert_eq!(metrics.last_cycle(), None);
        metrics.add_cycle(Duration::from_millis(999), false);
        metrics.add_cycle(Duration::from_millis(1001), true);
        assert_eq!((metrics.count(Count::Cycles), metrics.count(Count::MissedTicks)), (2, 1));
        assert_eq!(metrics.last_cycle().unwrap().0, Duration::from_millis(1001));
    }

    #[test]
    fn calls_add_up_and_the_last_one_says_how_things_stand() {
        let metrics = ServiceMetrics::default();
        assert!(metrics.progress().is_none());
        let progress = |done| Progress {
            backfill: Some(BackfillProgress { done, total: Some(90) }),
            gaps: 1,
            account: Account::Missing(3),
            account_time: None,
            newest_event: None,
        };
        for done in [30, 60] {
            let progress = progress(done);
            let call = Summary {
                requests: 2,
                received: 30,
                duplicates: 4,
                sent: 25,
                dead_letters: 1,
                up_to_date: false,
                progress,
            };
            metrics.add_call(&call);
        }
        let counts = [Count::Requests, Count::Received, Count::Duplicates, Count::Sent, Count::DeadLetters];
        assert_eq!(counts.map(|count| metrics.count(count)), [4, 60, 8, 50, 2]);
        assert_eq!(metrics.progress().unwrap().backfill.unwrap().done, 60);
    }

    #[test]
    fn a_pass_is_expected_to_go_on_as_it_has_begun() {
        let metrics = ServiceMetrics::default();
        let call = |done| Summary {
            requests: 1,
            received: 10,
            duplicates: 0,
            sent: 10,
            dead_letters: 0,
            up_to_date: false,
            progress: Progress {
                backfill: Some(BackfillProgress { done, total: Some(100) }),
                gaps: 0,
                account: Account::Unknown,
                account_time: None,
                newest_event: None,
            },
        };
        metrics.add_call(&call(10));
        let later = |seconds| SystemTime::now() + Duration::from_secs(seconds);
        assert_eq!(metrics.time_to_read(later(60)), None, "nothing to judge by");
        metrics.add_call(&call(40));
        let seconds = |time: Option<Duration>| time.unwrap().as_secs_f64().round();
        assert_eq!(seconds(metrics.time_to_read(later(60))), 120.0, "30 in a minute, 60 are left");
        metrics.add_call(&call(10));
        assert_eq!(metrics.time_to_read(later(60)), None, "another pass has begun");
    }

    #[test]
    fn the_peak_is_the_most_of_any_call() {
        let metrics = ServiceMetrics::default();
        [3, 7, 5].into_iter().for_each(|amount| metrics.note_use(CallLimit::Memory, amount));
        assert_eq!((metrics.peak(CallLimit::Memory.into()), metrics.peak(CallLimit::Requests.into())), (7, 0));
    }
}
