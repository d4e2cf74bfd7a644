//! The collector as an HTTP handler, for platforms that call nothing else: a scheduler's POST runs a cycle
//! and is answered with what it did, as JSON.
//!
//! A request pulls what is new, then goes on with the history as long as there is time, and says
//! `"up_to_date": false` where there is more: the next request goes on. Who may send requests is up to the
//! platform; they carry nothing that is used, and two at the same time would deliver twice.
#![cfg(target_arch = "wasm32")]

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package devo:adapters;
            world incoming-handler {
                import devo:collector/service@2.0.0;
                import wasi:clocks/monotonic-clock@0.2.0;
                export wasi:http/incoming-handler@0.2.0;
            }
        ",
        generate_all,
    });
}

use bindings::devo::collector::service::{self, Account, Budget, Failure, Progress, Uncheckable};
use bindings::exports::wasi::http::incoming_handler::Guest;
use bindings::wasi::clocks::monotonic_clock;
use bindings::wasi::http::types::{Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam};
use serde::Serialize;

/// Time for all calls of a request: callers have time-outs of a minute or more, and a call needs a while to
/// its end.
const ENOUGH_IN_MILLISECONDS: u64 = 20_000;

/// No call is begun for less.
const SHORTEST_IN_MILLISECONDS: u64 = 1_000;

/// Requests to the API in one call. No platform says how many its operator wants; the time bounds them well
/// before.
const REQUESTS: u32 = 1_000;

/// What a stream takes in one blocking call.
const WRITE_IN_BYTES: usize = 4096;

#[derive(Default, Serialize)]
struct Summary {
    requests: u64,
    received: u64,
    duplicates: u64,
    sent: u64,
    dead_letters: u64,
    up_to_date: bool,
    /// The pass over the whole source that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    backfill: Option<Backfill>,
    gaps: u32,
    /// Records that the source counts and nobody can read, where that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<u64>,
    /// Why it can't.
    #[serde(skip_serializing_if = "Option::is_none")]
    unchecked: Option<&'static str>,
    /// In Unix time.
    #[serde(skip_serializing_if = "Option::is_none")]
    newest_event: Option<u64>,
}

#[derive(Serialize)]
struct Backfill {
    done: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
}

impl Summary {
    fn add(&mut self, call: service::Summary) {
        self.requests += u64::from(call.requests);
        self.received += call.received;
        self.duplicates += call.duplicates;
        self.sent += call.sent;
        self.dead_letters += call.dead_letters;
        self.up_to_date = call.up_to_date;
        let Progress { backfill, gaps, account, newest_event, .. } = call.progress;
        self.backfill = backfill.map(|at| Backfill { done: at.done, total: at.total });
        self.gaps = gaps;
        self.newest_event = newest_event.map(|time| time.seconds);
        (self.missing, self.unchecked) = match account {
            Account::Unknown => (None, None),
            Account::Missing(count) => (Some(count), None),
            Account::Unchecked(Uncheckable::NoTotal) => (None, Some("no_total")),
            Account::Unchecked(Uncheckable::Refuted) => (None, Some("refuted")),
            Account::Unchecked(Uncheckable::Capped) => (None, Some("capped")),
        };
    }
}

#[derive(Serialize)]
struct Problem {
    error: &'static str,
    code: u16,
    reason: String,
    remedy: String,
}

struct Handler;

bindings::export!(Handler with_types_in bindings);

impl Guest for Handler {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        // Whatever walks over links must not run it.
        if !matches!(request.method(), Method::Post) {
            return respond(out, 405, &[("allow", "POST")], "");
        }
        let (status, body) = match cycle() {
            Ok(summary) => (200, serde_json::to_string(&summary)),
            Err(failure) => {
                let (status, problem) = problem(failure);
                (status, serde_json::to_string(&problem))
            }
        };
        respond(out, status, &[("content-type", "application/json")], &body.unwrap_or_default());
    }
}

fn cycle() -> Result<Summary, Failure> {
    let start = monotonic_clock::now();
    let left = || ENOUGH_IN_MILLISECONDS.saturating_sub(monotonic_clock::now().saturating_sub(start) / 1_000_000);
    let budget = |milliseconds| Budget { requests: REQUESTS, milliseconds };
    let mut total = Summary::default();
    service::pre_pull()?;
    total.add(service::pull(budget(left()))?);
    while !total.up_to_date && left() >= SHORTEST_IN_MILLISECONDS {
        total.add(service::backfill(budget(left()))?);
    }
    Ok(total)
}

/// A failure in the words of the operator's log. Only what the API did is the fault of somebody behind this
/// server.
fn problem(failure: Failure) -> (u16, Problem) {
    let (status, error, fault) = match failure {
        Failure::InitVariables(fault) => (500, "InitVariablesError", fault),
        Failure::SetUp(fault) => (500, "SetupError", fault),
        Failure::PrePull(fault) => (500, "PrePullError", fault),
        Failure::Pull(fault) => (502, "PullError", fault),
        Failure::Api(fault) => (502, "ApiError", fault),
    };
    (status, Problem { error, code: fault.code, reason: fault.reason, remedy: fault.remedy })
}

fn respond(out: ResponseOutparam, status: u16, headers: &[(&str, &str)], text: &str) {
    let fields = Fields::new();
    for (name, value) in headers {
        // These names and values are this file's own.
        let _ = fields.append(&(*name).to_owned(), &value.as_bytes().to_vec());
    }
    let response = OutgoingResponse::new(fields);
    let _ = response.set_status_code(status);
    let body = response.body();
    ResponseOutparam::set(out, Ok(response));
    // A caller that has gone away does not hear the answer; what it asked for is done.
    let Ok(body) = body else { return };
    if let Ok(stream) = body.write() {
        for chunk in text.as_bytes().chunks(WRITE_IN_BYTES) {
            if stream.blocking_write_and_flush(chunk).is_err() {
                break;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}
