//! How often a delivery is retried, and how long is waited before: pure arithmetic.
//!
//! The figures are the original collector's: 5 tries to connect with waits of 2, 4, 16 and 60 seconds between
//! them, and 6 tries to send. The original then stops altogether; here the flush fails, and the events are
//! pulled again later.

use std::time::Duration;

use crate::error::Cause;
use crate::settings::DevoSettings;

/// The retries of an output. See the settings of the same names in [`DevoSettings`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Retries {
    pub(super) connecting: u32,
    pub(super) sending: u32,
    pub(super) initial_wait: Duration,
    pub(super) max_wait: Duration,
}

impl From<&DevoSettings> for Retries {
    fn from(settings: &DevoSettings) -> Self {
        Self {
            connecting: settings.connecting_retries,
            sending: settings.sending_retries,
            initial_wait: settings.connecting_initial_wait,
            max_wait: settings.connecting_max_wait,
        }
    }
}

/// Where a try failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Before the connection was ready for events.
    Connecting,
    /// After that.
    Sending,
}

/// The tries that one delivery has left. Both counts last until the delivery succeeds, so that a receiver
/// which alternates between two failures can't keep it busy forever.
pub(super) struct Budget {
    retries: Retries,
    connecting_failures: u32,
    sending_failures: u32,
    lasting_failures: u32,
}

impl Budget {
    pub(super) fn new(retries: Retries) -> Self {
        Self { retries, connecting_failures: 0, sending_failures: 0, lasting_failures: 0 }
    }

    /// Counts a failed try. The wait before the next one, or none when the tries are used up.
    pub(super) fn after_failure(&mut self, step: Step, cause: &Cause) -> Option<Duration> {
        if cause.is_lasting() {
            // Once more, in case a certificate is being replaced at this moment; then somebody has to mend
            // it.
            self.lasting_failures += 1;
            return (self.lasting_failures < 2).then(|| self.wait(1));
        }
        match step {
            Step::Connecting => {
                self.connecting_failures += 1;
                (self.connecting_failures < self.retries.connecting).then(|| self.wait(self.connecting_failures))
            }
            Step::Sending => {
                self.sending_failures += 1;
                // The first time at once: balancers close idle connections, which is no reason to wait.
                (self.sending_failures <= self.retries.sending).then(|| self.wait(self.sending_failures - 1))
            }
        }
    }

    /// The wait before the `number`th repeat: nothing for 0, then the initial wait, each next one the square
    /// of that before (in seconds), at least its double.
    fn wait(&self, number: u32) -> Duration {
        if number == 0 {
            return Duration::ZERO;
        }
        let longest = self.retries.max_wait.as_secs_f64();
        let mut wait = self.retries.initial_wait.as_secs_f64();
        for _ in 1..number {
            if wait >= longest {
                break;
            }
            wait = (wait * wait).max(wait * 2.0);
        }
        Duration::from_secs_f64(wait.min(longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRIES: Retries =
        Retries { connecting: 5, sending: 5, initial_wait: Duration::from_secs(2), max_wait: Duration::from_secs(60) };

    fn waits(step: Step, cause: Cause) -> Vec<u64> {
        let mut budget = Budget::new(RETRIES);
        std::iter::from_fn(|| budget.after_failure(step, &cause)).map(|wait| wait.as_secs()).collect()
    }

    #[test]
    fn connecting_is_tried_five_times_with_the_waits_of_the_original() {
        assert_eq!(waits(Step::Connecting, Cause::Refused), [2, 4, 16, 60]);
    }

    #[test]
    fn sending_is_tried_six_times_and_the_first_repeat_is_at_once() {
        assert_eq!(waits(Step::Sending, Cause::Reset), [0, 2, 4, 16, 60]);
    }

    #[test]
    fn a_refused_certificate_is_tried_once_more_only() {
        let refused = || Cause::ClientCertificateRefused { alert: String::new() };
        assert_eq!(waits(Step::Connecting, refused()), [2]);
        assert_eq!(waits(Step::Sending, refused()), [2]);
    }

    #[test]
    fn short_waits_grow_too() {
        let retries = Retries { initial_wait: Duration::from_millis(500), ..RETRIES };
        let mut budget = Budget::new(retries);
        let waits: Vec<_> = std::iter::from_fn(|| budget.after_failure(Step::Connecting, &Cause::Refused)).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000].map(Duration::from_millis));
    }

    #[test]
    fn a_wait_never_exceeds_the_longest_one() {
        let budget = Budget::new(Retries { initial_wait: Duration::from_secs(90), ..RETRIES });
        assert_eq!(budget.wait(1), Duration::from_secs(60));
        assert_eq!(budget.wait(u32::MAX), Duration::from_secs(60));
    }
}
