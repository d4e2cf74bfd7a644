//! What a service fails with: at the moment, and the last time.

use std::sync::Arc;
use std::time::SystemTime;

use crate::ErrorCode;

/// The longest text of a failure that is kept, in bytes: a reason, the API's own words and a remedy.
const LONGEST_TEXT: usize = 1000;

/// What a service does, each of which fails and succeeds by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// It checks settings and credentials.
    SetUp,
    /// It gets its state ready and pulls what is new.
    Pull,
    /// It reads the rest of the source.
    Backfill,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::SetUp, Self::Pull, Self::Backfill];
}

/// Failures of one task since it last succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// Of the last one.
    pub code: ErrorCode,
    /// What the log says of it.
    pub text: Arc<str>,
    /// When the first one happened.
    pub since: SystemTime,
    /// When the last one happened.
    pub last: SystemTime,
    /// How many there were.
    pub times: u64,
}

/// What a service fails with.
#[derive(Debug, Default)]
pub(super) struct Failures {
    tasks: [Option<Failing>; Task::ALL.len()],
    last: Option<Failing>,
}

impl Failures {
    pub(super) fn add(&mut self, task: Task, code: ErrorCode, text: &str, now: SystemTime) {
        let text = text[..text.floor_char_boundary(LONGEST_TEXT)].into();
        let failing = match self.tasks[task as usize].take() {
            Some(before) => Failing { code, text, last: now, times: before.times + 1, ..before },
            None => Failing { code, text, since: now, last: now, times: 1 },
        };
        self.last = Some(failing.clone());
        self.tasks[task as usize] = Some(failing);
    }

    pub(super) fn end(&mut self, task: Task) {
        self.tasks[task as usize] = None;
    }

    /// What fails now: the task that everything else waits for, if there are several.
    pub(super) fn now(&self) -> Option<&Failing> {
        self.tasks.iter().flatten().next()
    }

    /// The last failure, whether it is over or not.
    pub(super) fn last(&self) -> Option<&Failing> {
        self.last.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error_code::{API_BUSY, API_UNAUTHORIZED};

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_failure_lasts_from_its_first_time_until_its_task_succeeds() {
        let mut failures = Failures::default();
        assert!(failures.now().is_none() && failures.last().is_none());
        failures.add(Task::Pull, API_BUSY, "busy", at(1));
        failures.add(Task::Pull, API_UNAUTHORIZED, "refused", at(7));
        let now = failures.now().unwrap();
        assert_eq!(
            (now.code, &*now.text, now.since, now.last, now.times),
            (API_UNAUTHORIZED, "refused", at(1), at(7), 2)
        );
        failures.end(Task::Backfill);
        assert!(failures.now().is_some(), "another task has succeeded");
        failures.end(Task::Pull);
        assert!(failures.now().is_none());
        assert_eq!(failures.last().unwrap().last, at(7), "it is remembered");
        failures.add(Task::Pull, API_BUSY, "busy", at(9));
        assert_eq!(failures.now().unwrap().since, at(9), "a new one");
    }

    #[test]
    fn what_is_shown_is_what_all_else_waits_for() {
        let mut failures = Failures::default();
        failures.add(Task::Backfill, API_BUSY, "busy", at(1));
        failures.add(Task::SetUp, API_UNAUTHORIZED, "refused", at(2));
        assert_eq!(failures.now().unwrap().code, API_UNAUTHORIZED);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let mut failures = Failures::default();
        failures.add(Task::Pull, API_BUSY, &"\u{e9}".repeat(LONGEST_TEXT), at(1));
        assert_eq!(failures.now().unwrap().text.len(), LONGEST_TEXT);
        failures.add(Task::Pull, API_BUSY, &format!("x{}", "\u{e9}".repeat(LONGEST_TEXT)), at(1));
        assert_eq!(failures.now().unwrap().text.len(), LONGEST_TEXT - 1);
    }
}
