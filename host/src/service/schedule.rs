//! When the next call is due: pure arithmetic, without a clock of its own.

use std::time::Duration;

use crate::sandbox::Outcome;

/// The longest wait after failures. The original waits up to 1800 s, and is then still waiting when the API has long been
/// back.
const LONGEST_BACKOFF: Duration = Duration::from_secs(120);

/// So many calls in a row that the host had to end slow a service down: it costs the others time and will hardly mend itself.
const BREACHES: u32 = 3;

/// The wait of a service that is slowed down.
const SLOW: Duration = Duration::from_secs(600);

/// A pull every so often, counted from start to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(Duration);

impl Period {
    /// A pull every `period`.
    pub fn new(period: Duration) -> Self {
        Self(period)
    }

    /// From start to start.
    pub fn duration(self) -> Duration {
        self.0
    }

    /// The period in whole seconds, as it is configured.
    pub fn seconds(self) -> u64 {
        self.0.as_secs()
    }

    /// What is left of the period after a pull that took `elapsed`; nothing if it took longer. Pulls never overlap.
    pub fn rest(self, elapsed: Duration) -> Duration {
        self.0.saturating_sub(elapsed)
    }
}

/// Growing waits after failures: 5, 25, then 120 seconds; 600 after three breaches of limits in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
    breaches: u32,
}

impl Backoff {
    /// The wait after a call that went this way, and not well.
    pub fn after<T>(&mut self, outcome: &Outcome<T>) -> Duration {
        match outcome {
            Ok(_) => self.after_failure(),
            Err(_) => self.after_breach(),
        }
    }

    /// The wait after one more failure that the component has told of.
    pub fn after_failure(&mut self) -> Duration {
        self.breaches = 0;
        self.grow()
    }

    /// The wait after one more call that the host has ended.
    fn after_breach(&mut self) -> Duration {
        self.breaches = self.breaches.saturating_add(1);
        let wait = self.grow();
        if self.breaches < BREACHES { wait } else { SLOW }
    }

    fn grow(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        5u64.checked_pow(self.failures).map_or(LONGEST_BACKOFF, Duration::from_secs).min(LONGEST_BACKOFF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Breach;

    #[test]
    fn the_period_counts_from_the_start_of_a_pull() {
        let period = Period::new(Duration::from_secs(60));
        assert_eq!(period.rest(Duration::from_millis(602)), Duration::from_millis(59_398));
        assert_eq!(period.rest(Duration::from_secs(61)), Duration::ZERO);
    }

    #[test]
    fn waits_grow_and_stay_bounded() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..40).map(|_| backoff.after_failure().as_secs()).collect();
        assert_eq!(waits[..4], [5, 25, 120, 120]);
        assert_eq!(waits[39], 120);
    }

    #[test]
    fn three_breaches_in_a_row_slow_a_service_down() {
        let mut backoff = Backoff::default();
        let breach = || Err::<Result<(), _>, _>(Breach::Trap("unreachable".into()));
        let waits: Vec<u64> = (0..4).map(|_| backoff.after(&breach()).as_secs()).collect();
        assert_eq!(waits, [5, 25, 600, 600]);
        assert_eq!(backoff.after_failure().as_secs(), 120, "a failure in between is another matter");
        assert_eq!(backoff.after(&breach()).as_secs(), 120);
    }
}
