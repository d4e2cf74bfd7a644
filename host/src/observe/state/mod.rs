//! In which one state a service is. Whoever shows it, the status page, the metrics, `/health`, `/ready`, the
//! log and the messages to Devo, shows this one.
//!
//! `facts` are what is known of a service, [`State::of`] decides. `docs/operating.md` says what each state
//! means and what to do about it.

mod changes;
mod facts;
mod registry;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use collector_model::error_code::{
    API_FORBIDDEN, API_UNAUTHORIZED, CREDENTIALS_REFUSED, DEAD_LETTERS_NOT_STORED, NOT_ACKNOWLEDGED, TOKEN_UNREADABLE,
};
use collector_model::metrics::{Account, BackfillProgress, Failing};

pub use changes::StateChanges;
pub use facts::{Facts, FailingOutput};
pub use registry::{Resting, Seen, ServiceRegistry};

/// The state of a service, with what there is to say of it.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Its input is not enabled.
    Disabled,
    /// It has never run: its configuration can't be used.
    Rejected {
        /// As the log has it.
        error: Arc<str>,
    },
    /// It has ended, and needs the operator.
    Stopped {
        /// As the log has it.
        error: Arc<str>,
    },
    /// It runs with the configuration before, for the one that is there can't be used.
    Stale {
        /// As the log has it.
        error: Arc<str>,
    },
    /// The API does not accept the token.
    CredentialsRefused(Failing),
    /// An output does not take or acknowledge events, or a dead letter can't be written.
    DeliveryFailing {
        /// Its name, if it is one that fails.
        output: Option<String>,
        /// Why.
        cause: Arc<str>,
        /// Since when.
        since: SystemTime,
    },
    /// The API does not answer as it should.
    SourceFailing(Failing),
    /// A call exceeds its limits, the state can't be stored, or the component has a defect.
    CollectorFailing(Failing),
    /// The request limits let no pull through.
    RateLimited {
        /// When they will.
        until: SystemTime,
    },
    /// It has not come to the end of a pull yet.
    Starting,
    /// All works, but the source has records that can't be read.
    Incomplete {
        /// Pages that can't be read.
        gaps: u32,
        /// Records that the source counts and does not show.
        missing: u64,
    },
    /// New alerts are delivered; a pass over the rest of the source is under way.
    Backfilling {
        /// How far it has come.
        progress: BackfillProgress,
        /// How long it will take.
        left: Option<Duration>,
    },
    /// All that the source has is delivered.
    Delivering,
}

/// The states without what there is to say of them, the worst first: of several that apply, a service is in
/// the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Rejected,
    Stopped,
    Stale,
    CredentialsRefused,
    DeliveryFailing,
    SourceFailing,
    CollectorFailing,
    RateLimited,
    Starting,
    Incomplete,
    Backfilling,
    Delivering,
    Disabled,
}

/// How a state is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Something has to be mended, or is expected to mend itself.
    Bad,
    /// To be looked at when there is time.
    Waiting,
    /// As it should be.
    Good,
}

impl State {
    /// The state of a service of which this is known at this time.
    pub fn of(facts: Facts, now: SystemTime) -> Self {
        let Facts { needs_operator, refused, failing, failing_output, limited_until, has_pulled, progress, left } =
            facts;
        if needs_operator {
            let error = failing.map_or_else(|| Arc::from("The log says why."), |failing| failing.text);
            return Self::Stopped { error };
        }
        if let Some(error) = refused {
            return Self::Stale { error };
        }
        let code = failing.as_ref().map(|failing| failing.code);
        if let (Some(failing), true) = (&failing, code.is_some_and(is_about_credentials)) {
            return Self::CredentialsRefused(failing.clone());
        }
        if let Some(FailingOutput { output, cause, since }) = failing_output {
            return Self::DeliveryFailing { output: Some(output), cause, since };
        }
        match failing {
            Some(Failing { code, text, since, .. }) if [NOT_ACKNOWLEDGED, DEAD_LETTERS_NOT_STORED].contains(&code) => {
                return Self::DeliveryFailing { output: None, cause: text, since };
            }
            Some(failing) if failing.code.class == API_FORBIDDEN.class => return Self::SourceFailing(failing),
            Some(failing) => return Self::CollectorFailing(failing),
            None => {}
        }
        if let Some(until) = limited_until.filter(|&until| until > now) {
            return Self::RateLimited { until };
        }
        if !has_pulled {
            return Self::Starting;
        }
        let Some(progress) = progress else { return Self::Delivering };
        let missing = if let Account::Missing(count) = progress.account { count } else { 0 };
        match progress.backfill {
            _ if progress.gaps > 0 || missing > 0 => Self::Incomplete { gaps: progress.gaps, missing },
            Some(progress) => Self::Backfilling { progress, left },
            None => Self::Delivering,
        }
    }

    /// Which one it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Disabled => Kind::Disabled,
            Self::Rejected { .. } => Kind::Rejected,
            Self::Stopped { .. } => Kind::Stopped,
            Self::Stale { .. } => Kind::Stale,
            Self::CredentialsRefused(_) => Kind::CredentialsRefused,
            Self::DeliveryFailing { .. } => Kind::DeliveryFailing,
            Self::SourceFailing(_) => Kind::SourceFailing,
            Self::CollectorFailing(_) => Kind::CollectorFailing,
            Self::RateLimited { .. } => Kind::RateLimited,
            Self::Starting => Kind::Starting,
            Self::Incomplete { .. } => Kind::Incomplete,
            Self::Backfilling { .. } => Kind::Backfilling,
            Self::Delivering => Kind::Delivering,
        }
    }

    /// Since when it lasts, where that is known.
    pub fn since(&self) -> Option<SystemTime> {
        match self {
            Self::CredentialsRefused(failing) | Self::SourceFailing(failing) | Self::CollectorFailing(failing) => {
                Some(failing.since)
            }
            Self::DeliveryFailing { since, .. } => Some(*since),
            _ => None,
        }
    }

    /// What there is to say of it, in a sentence or two; what comes from elsewhere is neither masked nor
    /// escaped.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Disabled | Self::Starting | Self::Delivering => None,
            Self::Rejected { error } | Self::Stopped { error } | Self::Stale { error } => Some(error.to_string()),
            Self::CredentialsRefused(failing) | Self::SourceFailing(failing) | Self::CollectorFailing(failing) => {
                Some(failing.text.to_string())
            }
            Self::DeliveryFailing { output: Some(output), cause, .. } => Some(format!("Output \"{output}\": {cause}")),
            Self::DeliveryFailing { output: None, cause, .. } => Some(cause.to_string()),
            Self::RateLimited { until } => {
                let until = chrono::DateTime::<chrono::Utc>::from(*until);
                Some(format!(
                    "The request limits let the next pull through at {}.",
                    until.format("%Y-%m-%d %H:%M:%S UTC")
                ))
            }
            Self::Incomplete { gaps, missing } => {
                let gaps = (*gaps > 0).then(|| counted(u64::from(*gaps), "page can't be read", "pages can't be read"));
                let missing = (*missing > 0).then(|| {
                    counted(
                        *missing,
                        "record that the source counts is not shown",
                        "records that the source counts are not shown",
                    )
                });
                let all: Vec<_> = [gaps, missing].into_iter().flatten().collect();
                Some(format!("{}.", all.join(", ")))
            }
            Self::Backfilling { progress: BackfillProgress { done, total }, left } => {
                let total = total.map(|total| format!(" of {total}")).unwrap_or_default();
                let left = left.map(|left| format!(", about {} left", rounded(left))).unwrap_or_default();
                Some(format!("{done}{total} records read{left}."))
            }
        }
    }
}

fn is_about_credentials(code: collector_model::ErrorCode) -> bool {
    [API_UNAUTHORIZED, API_FORBIDDEN, CREDENTIALS_REFUSED, TOKEN_UNREADABLE].contains(&code)
}

fn counted(count: u64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

/// A time in the unit in which it has a few digits.
pub fn rounded(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        0.0..1.0 => format!("{:.0} ms", seconds * 1000.0),
        1.0..120.0 => format!("{seconds:.0} s"),
        120.0..7200.0 => format!("{:.0} min", seconds / 60.0),
        7200.0..172_800.0 => format!("{:.0} h", seconds / 3600.0),
        _ => format!("{:.0} days", seconds / 86_400.0),
    }
}

impl Kind {
    /// All of them, the worst first.
    pub const ALL: [Self; 13] = [
        Self::Rejected,
        Self::Stopped,
        Self::Stale,
        Self::CredentialsRefused,
        Self::DeliveryFailing,
        Self::SourceFailing,
        Self::CollectorFailing,
        Self::RateLimited,
        Self::Starting,
        Self::Incomplete,
        Self::Backfilling,
        Self::Delivering,
        Self::Disabled,
    ];

    /// For people and for machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Rejected => "rejected",
            Self::Stopped => "stopped",
            Self::Stale => "stale",
            Self::CredentialsRefused => "credentials refused",
            Self::DeliveryFailing => "delivery failing",
            Self::SourceFailing => "source failing",
            Self::CollectorFailing => "collector failing",
            Self::RateLimited => "rate limited",
            Self::Starting => "starting",
            Self::Incomplete => "incomplete",
            Self::Backfilling => "backfilling",
            Self::Delivering => "delivering",
        }
    }

    /// How it is to be taken.
    pub fn mood(self) -> Mood {
        match self {
            Self::Rejected
            | Self::Stopped
            | Self::Stale
            | Self::CredentialsRefused
            | Self::DeliveryFailing
            | Self::SourceFailing
            | Self::CollectorFailing => Mood::Bad,
            Self::RateLimited | Self::Starting | Self::Incomplete => Mood::Waiting,
            Self::Backfilling | Self::Delivering | Self::Disabled => Mood::Good,
        }
    }
}

#[cfg(test)]
mod tests {
    use collector_model::ErrorCode;
    use collector_model::error_code::{API_BUSY, PULL_TRAP};
    use collector_model::metrics::Progress;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn failing(code: ErrorCode) -> Option<Failing> {
        Some(Failing { code, text: format!("{code} reason").into(), since: at(3), last: at(5), times: 2 })
    }

    fn progress(gaps: u32, account: Account, backfill: Option<BackfillProgress>) -> Option<Progress> {
        Some(Progress { backfill, gaps, account, account_time: None, newest_event: None })
    }

    fn kind(facts: Facts) -> Kind {
        State::of(facts, at(10)).kind()
    }

    #[test]
    fn each_fact_alone_has_its_state() {
        let pulled = || Facts { has_pulled: true, ..Facts::default() };
        let backfill = Some(BackfillProgress { done: 3, total: Some(9) });
        let output = FailingOutput { output: "devo".to_owned(), cause: "refused".into(), since: at(1) };
        for (facts, expected) in [
            (Facts::default(), Kind::Starting),
            (pulled(), Kind::Delivering),
            (Facts { progress: progress(0, Account::Unknown, backfill), ..pulled() }, Kind::Backfilling),
            (Facts { progress: progress(2, Account::Unknown, backfill), ..pulled() }, Kind::Incomplete),
            (Facts { progress: progress(0, Account::Missing(1), None), ..pulled() }, Kind::Incomplete),
            (Facts { progress: progress(0, Account::Missing(0), None), ..pulled() }, Kind::Delivering),
            (Facts { limited_until: Some(at(11)), ..pulled() }, Kind::RateLimited),
            (Facts { limited_until: Some(at(10)), ..pulled() }, Kind::Delivering),
            (Facts { failing: failing(PULL_TRAP), ..pulled() }, Kind::CollectorFailing),
            (Facts { failing: failing(API_BUSY), ..pulled() }, Kind::SourceFailing),
            (Facts { failing: failing(NOT_ACKNOWLEDGED), ..pulled() }, Kind::DeliveryFailing),
            (Facts { failing_output: Some(output.clone()), ..pulled() }, Kind::DeliveryFailing),
            (Facts { failing: failing(API_UNAUTHORIZED), ..pulled() }, Kind::CredentialsRefused),
            (Facts { failing: failing(TOKEN_UNREADABLE), ..pulled() }, Kind::CredentialsRefused),
            (Facts { refused: Some("no".into()), ..pulled() }, Kind::Stale),
            (Facts { needs_operator: true, ..pulled() }, Kind::Stopped),
        ] {
            assert_eq!(kind(facts.clone()), expected, "{facts:?}");
        }
    }

    #[test]
    fn of_several_the_first_of_the_list_is_shown() {
        let mut facts = Facts {
            needs_operator: true,
            refused: Some("no".into()),
            failing: failing(API_UNAUTHORIZED),
            failing_output: Some(FailingOutput { output: "devo".to_owned(), cause: "refused".into(), since: at(1) }),
            limited_until: Some(at(99)),
            has_pulled: false,
            progress: progress(1, Account::Missing(1), Some(BackfillProgress { done: 1, total: None })),
            left: None,
        };
        let mut shown = vec![kind(facts.clone())];
        let steps: [fn(&mut Facts); 10] = [
            |facts| facts.needs_operator = false,
            |facts| facts.refused = None,
            |facts| facts.failing = failing(API_BUSY),
            |facts| facts.failing_output = None,
            |facts| facts.failing = failing(PULL_TRAP),
            |facts| facts.failing = None,
            |facts| facts.limited_until = None,
            |facts| facts.has_pulled = true,
            |facts| facts.progress = progress(0, Account::Missing(0), Some(BackfillProgress { done: 1, total: None })),
            |facts| facts.progress = None,
        ];
        for step in steps {
            step(&mut facts);
            shown.push(kind(facts.clone()));
        }
        // Those that a service with a good configuration can be in.
        assert_eq!(shown, Kind::ALL[1..12]);
    }

    #[test]
    fn what_is_said_of_a_state_names_what_to_look_at() {
        let of = |state: State| state.detail().unwrap();
        assert_eq!(of(State::Incomplete { gaps: 1, missing: 0 }), "1 page can't be read.");
        assert_eq!(
            of(State::Incomplete { gaps: 2, missing: 7 }),
            "2 pages can't be read, 7 records that the source counts are not shown."
        );
        let progress = BackfillProgress { done: 30, total: Some(90) };
        let left = Some(Duration::from_secs(600));
        assert_eq!(of(State::Backfilling { progress, left }), "30 of 90 records read, about 10 min left.");
        let output = State::DeliveryFailing { output: Some("devo".to_owned()), cause: "refused".into(), since: at(1) };
        assert_eq!((of(output.clone()), output.since()), ("Output \"devo\": refused".to_owned(), Some(at(1))));
        assert_eq!(State::Delivering.detail(), None);
    }

    #[test]
    fn names_and_order_are_those_of_the_list() {
        let names: std::collections::BTreeSet<_> = Kind::ALL.map(Kind::name).into();
        assert_eq!(names.len(), Kind::ALL.len());
        assert!(Kind::ALL.is_sorted());
    }

    #[test]
    fn times_have_a_few_digits() {
        let shown = |milliseconds| rounded(Duration::from_millis(milliseconds));
        assert_eq!(
            [0, 7, 1500, 90_000, 600_000, 9_000_000, 400_000_000].map(shown),
            ["0 ms", "7 ms", "2 s", "90 s", "10 min", "2 h", "5 days"]
        );
    }
}
