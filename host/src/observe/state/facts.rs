//! What is known of a service that decides about its state.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use collector_delivery::Trouble;
use collector_model::metrics::{Count, Failing, Progress};

use crate::service::Observed;

/// What is known of a service at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// It has ended, and can't go on without the operator.
    pub needs_operator: bool,
    /// Why the configuration that is there now is not the one that it runs with.
    pub refused: Option<Arc<str>>,
    /// What it fails with now.
    pub failing: Option<Failing>,
    /// The output that has confirmed nothing for the longest time although it should.
    pub failing_output: Option<FailingOutput>,
    /// Until when the request limits let no pull through; it may be over.
    pub limited_until: Option<SystemTime>,
    /// Whether a pull has come to its end since the start.
    pub has_pulled: bool,
    /// How things stood with the source after the last call.
    pub progress: Option<Progress>,
    /// How long a pass that is under way will take.
    pub left: Option<Duration>,
}

/// An output that confirms nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailingOutput {
    /// Its name.
    pub output: String,
    /// Why the last try failed.
    pub cause: Arc<str>,
    /// When the first one did.
    pub since: SystemTime,
}

impl Facts {
    /// What is known of a service whose configuration is the one that is there.
    pub fn of(observed: &Observed, now: SystemTime) -> Self {
        let Observed { metrics, outputs, .. } = observed;
        let failing_outputs = outputs.iter().filter_map(|output| {
            let Trouble { since, cause } = output.statistics().trouble()?;
            Some(FailingOutput { output: output.name().to_owned(), cause, since })
        });
        Self {
            needs_operator: metrics.needs_operator(),
            refused: None,
            failing: metrics.failing(),
            failing_output: failing_outputs.min_by_key(|failing| failing.since),
            limited_until: metrics.limited_until(),
            has_pulled: metrics.count(Count::Cycles) > 0,
            progress: metrics.progress(),
            left: metrics.time_to_read(now),
        }
    }
}
