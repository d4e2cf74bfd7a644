//! The collector as an HTTP handler, for platforms that call nothing else: a scheduler's POST runs a cycle and is answered with
//! what it did, as JSON.
//!
//! A cycle that has much to catch up with is cut after a while, with `"up_to_date": false`: the next request goes on. Who may
//! send requests is up to the platform; they carry nothing that is used, and two at the same time would deliver twice.
#![cfg(target_arch = "wasm32")]

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package devo:adapters;
            world incoming-handler {
                import devo:collector/service@1.0.0;
                import wasi:clocks/monotonic-clock@0.2.0;
                export wasi:http/incoming-handler@0.2.0;
            }
        ",
        generate_all,
    });
}

use bindings::devo::collector::service::{self, Failure};
use bindings::exports::wasi::http::incoming_handler::Guest;
use bindings::wasi::clocks::monotonic_clock;
use bindings::wasi::http::types::{Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam};
use serde::Serialize;

/// No further piece of a walk is begun after this time. A piece takes half a minute at most, and callers have time-outs of a
/// minute or more.
const ENOUGH_IN_NANOSECONDS: u64 = 20_000_000_000;

/// What a stream takes in one blocking call.
const WRITE_IN_BYTES: usize = 4096;

#[derive(Default, Serialize)]
struct Summary {
    requests: u64,
    received: u64,
    duplicates: u64,
    sent: u64,
    up_to_date: bool,
}

#[derive(Serialize)]
struct Problem {
    error: &'static str,
    code: u16,
    reason: String,
    cure: String,
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
    let mut total = Summary::default();
    service::pre_pull()?;
    while !total.up_to_date && monotonic_clock::now().saturating_sub(start) < ENOUGH_IN_NANOSECONDS {
        let piece = service::pull()?;
        total.requests += u64::from(piece.requests);
        total.received += piece.received;
        total.duplicates += piece.duplicates;
        total.sent += piece.sent;
        total.up_to_date = piece.up_to_date;
    }
    Ok(total)
}

/// A failure in the words of the operator's log. Only what the API did is the fault of somebody behind this server.
fn problem(failure: Failure) -> (u16, Problem) {
    let (status, error, fault) = match failure {
        Failure::InitVariables(fault) => (500, "InitVariablesError", fault),
        Failure::SetUp(fault) => (500, "SetupError", fault),
        Failure::PrePull(fault) => (500, "PrePullError", fault),
        Failure::Pull(fault) => (502, "PullError", fault),
        Failure::Api(fault) => (502, "ApiError", fault),
    };
    (status, Problem { error, code: fault.code, reason: fault.reason, cure: fault.cure })
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
