//! The metrics that are exported, in one table: name, type, what it says, and when to be alarmed.
//!
//! The comments are the help texts of the exported format and the table of `docs/hosting.md`.

/// What kind of value a metric has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows. Its series have `_total` at the end of their names.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Labels with a 1.
    Info,
}

/// A metric, with all of its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Its name, without the ending of its kind.
    pub name: &'static str,
    /// What kind of value it has.
    pub kind: Kind,
    /// What it says, in one line.
    pub help: &'static str,
    /// When somebody should look; empty if never by this alone.
    pub alert: &'static str,
}

impl Family {
    /// The name of its series.
    pub fn series(&self) -> String {
        let ending = match self.kind {
            Kind::Counter => "_total",
            Kind::Gauge => "",
            Kind::Info => "_info",
        };
        format!("{}{ending}", self.name)
    }
}

macro_rules! families {
    ($($(#[doc = $help:literal])+ $constant:ident = $kind:ident, $name:literal, $alert:literal;)+) => {
        $($(#[doc = $help])+ pub const $constant: Family = Family {
            name: $name,
            kind: Kind::$kind,
            help: concat!($($help),+).trim_ascii(),
            alert: $alert,
        };)+

        /// All of them, in the order of the documentation.
        pub const ALL: &[Family] = &[$($constant),+];
    };
}

families! {
    /// The state that the service is in, as the label `state`; the value is 1. Where a whole tenant does not
    /// run, `input` and `service` are empty.
    STATE = Gauge, "devo_collector_state", "`rejected`, `stopped`, `stale`, `credentials refused`, or one of the `failing` for an hour";
    /// Whether the API accepts the credentials.
    READY = Gauge, "devo_collector_ready", "0 for an hour: the customer's token has expired";
    /// When the last pull ended, in Unix time.
    LAST_CYCLE_TIMESTAMP = Gauge, "devo_collector_last_cycle_timestamp_seconds", "older than ten periods";
    /// How long the last pull took. A high quantile over all services is the health of the host.
    LAST_CYCLE = Gauge, "devo_collector_last_cycle_seconds", "";
    /// Pulls that came to their end.
    CYCLES = Counter, "devo_collector_cycles", "";
    /// Pulls that began late or took longer than their period.
    MISSED_TICKS = Counter, "devo_collector_missed_ticks", "grows for many tenants: the machine is too small";
    /// Calls of the component that failed or were ended by the host.
    FAILURES = Counter, "devo_collector_failures", "grows steadily";
    /// Requests to the API.
    REQUESTS = Counter, "devo_collector_requests", "";
    /// Records that the API returned.
    EVENTS_RECEIVED = Counter, "devo_collector_events_received", "";
    /// Records among them that had been delivered before.
    EVENTS_DUPLICATE = Counter, "devo_collector_events_duplicate", "";
    /// Events delivered and acknowledged.
    EVENTS_SENT = Counter, "devo_collector_events_sent", "";
    /// Records that can't become events, and are kept as dead letters.
    DEAD_LETTERS = Counter, "devo_collector_dead_letters", "any";
    /// The time of the newest event delivered, in Unix time.
    NEWEST_EVENT_TIMESTAMP = Gauge, "devo_collector_newest_event_timestamp_seconds", "";
    /// Records that the pass over the whole source has read so far. No series while no pass is running.
    BACKFILL_DONE = Gauge, "devo_collector_backfill_done", "";
    /// Records that the source says it has. No series while no pass is running.
    BACKFILL_TOTAL = Gauge, "devo_collector_backfill_total", "";
    /// Pages that could not be read at the last attempt.
    GAPS = Gauge, "devo_collector_gaps", "above 0 for a day";
    /// Records that the source counts but shows on no readable page. No series if unknown.
    UNACCOUNTED = Gauge, "devo_collector_unaccounted", "above 0";
    /// 1 if the unaccounted records can be determined, 0 if the source gives no reliable total; the status
    /// page says why.
    UNACCOUNTED_CHECKABLE = Gauge, "devo_collector_unaccounted_checkable", "";
    /// When the unaccounted records were determined, in Unix time.
    ACCOUNT_TIMESTAMP = Gauge, "devo_collector_account_timestamp_seconds", "";
    /// CPU time of the calls, the host's part included: who uses the machine.
    COMPUTED = Counter, "devo_collector_computed_seconds", "";
    /// Calls of the component, each on an instance of its own.
    CALLS = Counter, "devo_collector_calls", "";
    /// Time that making those instances took.
    INSTANTIATION = Counter, "devo_collector_instantiation_seconds", "";
    /// The limit of a call, in the unit of its setting.
    LIMIT = Gauge, "devo_collector_limit", "";
    /// The most that a call has used of a limit since the start. Handles are not counted.
    LIMIT_PEAK = Gauge, "devo_collector_limit_peak", "close to its limit";
    /// How often a limit was exceeded. No series if never.
    LIMITS_EXCEEDED = Counter, "devo_collector_limits_exceeded", "any";
    /// Bytes of events that wait for an output or for its acknowledgement.
    OUTPUT_QUEUE = Gauge, "devo_collector_output_queue_bytes", "";
    /// Lines of a tenant that were not written to the log, since it had written too much. No series if none.
    LOG_DROPPED_LINES = Counter, "devo_collector_log_dropped_lines", "any";
    /// Bytes of these lines.
    LOG_DROPPED_BYTES = Counter, "devo_collector_log_dropped_bytes", "";
    /// Calls under way. This and the next four are 0 in a process with one configuration.
    CALLS_UNDER_WAY = Gauge, "devo_collector_calls_under_way", "";
    /// Calls that wait until others have ended.
    CALLS_WAITING = Gauge, "devo_collector_calls_waiting", "above 0 for a minute: the machine is too small";
    /// Memory that the calls under way have.
    CALL_MEMORY = Gauge, "devo_collector_call_memory_bytes", "";
    /// Memory that they may have together.
    CALL_MEMORY_LIMIT = Gauge, "devo_collector_call_memory_limit_bytes", "";
    /// Calls that were ended because there was no memory left for them, or others needed what they had.
    CALLS_WITHOUT_MEMORY = Counter, "devo_collector_calls_without_memory", "grows steadily";
    /// The version of this program.
    BUILD = Info, "devo_collector_build", "";
    /// Resident memory of the process.
    RESIDENT_MEMORY = Gauge, "process_resident_memory_bytes", "";
    /// User and system time that the process has computed.
    PROCESS_CPU = Counter, "process_cpu_seconds", "";
    /// Files and connections that the process has open.
    OPEN_FILES = Gauge, "process_open_fds", "";
}
