//! Binds the collector to its WIT world: the one file that knows of the component model.
//!
//! Two traps of wasi:http are met here: a body's stream must be dropped before the body is finished, and a
//! request's body before the request is sent is not needed for GET.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::failure::{Class, Failure};
use crate::platform::{
    DeadLetter, Event, Level, OutputError, Platform, Request, Response, SettingsError, StoreError, TransportError,
};
use crate::progress::{self, Account, Progress, Uncheckable};
use crate::pull;

mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "devo:collector/collector",
        generate_all,
        // Events are lowered from where they are.
        ownership: Borrowing { duplicate_if_necessary: false },
    });
}

use bindings::devo::collector::output;
use bindings::exports::devo::collector::service;
use bindings::wasi::clocks::{monotonic_clock, wall_clock};
use bindings::wasi::config::store as config;
use bindings::wasi::http::outgoing_handler;
use bindings::wasi::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, OutgoingRequest, Scheme,
};
use bindings::wasi::io::streams::{InputStream, StreamError};
use bindings::wasi::keyvalue::store as keyvalue;
use bindings::wasi::logging::logging;

/// Bytes asked for in one read of a body: few crossings of the boundary, without a large buffer for a small
/// answer.
const READ_IN_BYTES: u64 = 256 * 1024;

/// The most that is reserved for a body before it is there.
const MOST_RESERVED_IN_BYTES: usize = 4 * 1024 * 1024;

struct Collector;

impl service::Guest for Collector {
    fn set_up() -> Result<(), service::Failure> {
        pull::set_up(&Wasi).map_err(failure)
    }

    fn pre_pull() -> Result<(), service::Failure> {
        pull::pre_pull(&Wasi).map_err(failure)
    }

    fn pull(allowed: service::Budget) -> Result<service::Summary, service::Failure> {
        pull::pull(&Wasi, budget(allowed)).map(summary).map_err(failure)
    }

    fn backfill(allowed: service::Budget) -> Result<service::Summary, service::Failure> {
        pull::backfill(&Wasi, budget(allowed)).map(summary).map_err(failure)
    }
}

bindings::export!(Collector with_types_in bindings);

fn budget(allowed: service::Budget) -> progress::Budget {
    progress::Budget { requests: allowed.requests, time: Duration::from_millis(allowed.milliseconds) }
}

fn summary(summary: progress::Summary) -> service::Summary {
    let progress::Summary { statistics, up_to_date, progress } = summary;
    service::Summary {
        requests: u32::try_from(statistics.requests).unwrap_or(u32::MAX),
        received: statistics.received,
        duplicates: statistics.duplicates,
        sent: statistics.sent,
        dead_letters: statistics.dead_letters,
        up_to_date,
        progress: service_progress(progress),
    }
}

fn service_progress(progress: Progress) -> service::Progress {
    let backfill = progress.backfill.map(|at| service::BackfillProgress { done: at.done, total: at.total });
    let account = match progress.account {
        Account::Unknown => service::Account::Unknown,
        Account::Unchecked(why) => service::Account::Unchecked(match why {
            Uncheckable::NoTotal => service::Uncheckable::NoTotal,
            Uncheckable::Refuted => service::Uncheckable::Refuted,
            Uncheckable::Capped => service::Uncheckable::Capped,
        }),
        Account::Missing(count) => service::Account::Missing(count),
    };
    service::Progress {
        backfill,
        gaps: progress.gaps,
        account,
        account_time: progress.account_time.map(datetime),
        newest_event: progress.newest_event.map(datetime),
    }
}

fn failure(failure: Failure) -> service::Failure {
    let Failure { class, code, reason, remedy, .. } = failure;
    let fault = service::Fault { code, reason, remedy };
    match class {
        Class::InitVariables => service::Failure::InitVariables(fault),
        Class::PrePull => service::Failure::PrePull(fault),
        Class::Pull => service::Failure::Pull(fault),
        Class::Api => service::Failure::Api(fault),
    }
}

/// The platform as the world's imports offer it.
struct Wasi;

impl Platform for Wasi {
    type Pending = FutureIncomingResponse;

    fn begin(&self, request: &Request) -> Result<Self::Pending, TransportError> {
        let headers = Fields::new();
        for (name, value) in &request.headers {
            headers
                .append(name, &value.as_bytes().to_vec())
                .map_err(|error| TransportError::Refused(format!("the header {name} can't be set: {error:?}")))?;
        }
        let outgoing = OutgoingRequest::new(headers);
        let scheme = if request.secure { Scheme::Https } else { Scheme::Http };
        let unusable = |()| TransportError::Refused("the address can't be used".to_owned());
        outgoing.set_scheme(Some(&scheme)).map_err(unusable)?;
        outgoing.set_authority(Some(&request.authority)).map_err(unusable)?;
        outgoing.set_path_with_query(Some(&request.path_with_query)).map_err(unusable)?;
        outgoing_handler::handle(outgoing, None).map_err(transport_error)
    }

    fn finish(&self, pending: Self::Pending) -> Result<Response, TransportError> {
        let response = loop {
            match pending.get() {
                Some(Ok(result)) => break result.map_err(transport_error)?,
                Some(Err(())) => return Err(TransportError::Broken("the answer was taken twice".to_owned())),
                None => pending.subscribe().block(),
            }
        };
        let status = response.status();
        let retry_after = header(&response, "retry-after");
        let length = header(&response, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let incoming =
            response.consume().map_err(|()| TransportError::Broken("the answer's body was taken twice".to_owned()))?;
        let stream =
            incoming.stream().map_err(|()| TransportError::Broken("the answer's stream was taken twice".to_owned()))?;
        let body = read_to_end(&stream, length)?;
        drop(stream);
        Ok(Response { status, retry_after, body, close_error: close(incoming) })
    }

    fn now(&self) -> DateTime<Utc> {
        let now = wall_clock::now();
        DateTime::from_timestamp(now.seconds as i64, now.nanoseconds).unwrap_or(DateTime::UNIX_EPOCH)
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(monotonic_clock::now())
    }

    fn wait(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        monotonic_clock::subscribe_duration(nanoseconds).block();
    }

    fn settings(&self) -> Result<Vec<(String, String)>, SettingsError> {
        config::get_all().map_err(|error| match error {
            config::Error::Upstream(text) => SettingsError::Upstream(text),
            config::Error::Io(text) => SettingsError::Io(text),
        })
    }

    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        keyvalue::open("").and_then(|bucket| bucket.get(key)).map_err(keyvalue_error)
    }

    fn store(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        keyvalue::open("").and_then(|bucket| bucket.set(key, value)).map_err(keyvalue_error)
    }

    fn send(&self, table: &str, events: &[Event<'_>]) -> Result<(), OutputError> {
        let events: Vec<_> = events.iter().map(output_event).collect();
        output::send(table, &events).map_err(output_error)
    }

    fn add_dead_letters(&self, table: &str, letters: &[DeadLetter<'_>]) -> Result<(), OutputError> {
        let letters: Vec<_> = letters.iter().map(output_letter).collect();
        output::add_dead_letters(table, &letters).map_err(output_error)
    }

    fn flush(&self) -> Result<(), OutputError> {
        output::flush().map_err(output_error)
    }

    fn log(&self, level: Level, message: &str) {
        let level = match level {
            Level::Debug => logging::Level::Debug,
            Level::Info => logging::Level::Info,
            Level::Warning => logging::Level::Warn,
        };
        logging::log(level, "", message);
    }
}

fn header(response: &IncomingResponse, name: &str) -> Option<String> {
    let value = response.headers().get(&name.to_owned()).into_iter().next()?;
    String::from_utf8(value).ok()
}

/// Reads a body whose server has announced this length.
fn read_to_end(stream: &InputStream, length: usize) -> Result<Vec<u8>, TransportError> {
    // A buffer that grows is copied every time. What is announced may be wrong, and is not there yet.
    let mut body = Vec::with_capacity(length.min(MOST_RESERVED_IN_BYTES));
    loop {
        match stream.blocking_read(READ_IN_BYTES) {
            Ok(chunk) => body.extend_from_slice(&chunk),
            Err(StreamError::Closed) => return Ok(body),
            Err(StreamError::LastOperationFailed(error)) => {
                let text = error.to_debug_string();
                let code = bindings::wasi::http::types::http_error_code(&error);
                return Err(code.map_or(TransportError::Broken(text), transport_error));
            }
        }
    }
}

/// Ends an answer properly; what goes wrong there comes after a complete body.
fn close(body: IncomingBody) -> Option<String> {
    let trailers = IncomingBody::finish(body);
    loop {
        match trailers.get() {
            Some(Ok(Ok(_))) => return None,
            Some(Ok(Err(error))) => return Some(describe(&error)),
            Some(Err(())) => return Some("the trailers were taken twice".to_owned()),
            None => trailers.subscribe().block(),
        }
    }
}

fn output_event<'a>(event: &Event<'a>) -> output::Event<'a> {
    output::Event { time: datetime(event.time), body: event.body }
}

fn output_letter<'a>(letter: &'a DeadLetter<'a>) -> output::DeadLetter<'a> {
    output::DeadLetter { reason: &letter.reason, content: letter.content }
}

/// The component model counts from 1970 on.
fn datetime(time: DateTime<Utc>) -> wall_clock::Datetime {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    wall_clock::Datetime { seconds, nanoseconds: time.timestamp_subsec_nanos().min(999_999_999) }
}

fn output_error(error: output::Error) -> OutputError {
    match error {
        output::Error::TableRefused(table) => OutputError::TableRefused(table),
        output::Error::EventRefused(index) => OutputError::EventRefused(index),
        output::Error::Unconfirmed(reason) => OutputError::Unconfirmed(reason),
    }
}

fn keyvalue_error(error: keyvalue::Error) -> StoreError {
    match error {
        keyvalue::Error::NoSuchStore => StoreError::NoSuchStore,
        keyvalue::Error::AccessDenied => StoreError::AccessDenied,
        keyvalue::Error::Other(text) => StoreError::Other(text),
    }
}

fn transport_error(error: ErrorCode) -> TransportError {
    let text = describe(&error);
    match error {
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => TransportError::TimedOut(text),
        ErrorCode::DestinationIpProhibited
        | ErrorCode::HttpRequestDenied
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::ConfigurationError => TransportError::Refused(text),
        ErrorCode::HttpResponseBodySize(_) => TransportError::TooLarge(text),
        _ => TransportError::Broken(text),
    }
}

/// What happened, in words. A host's own explanation comes as an internal error and is shown as it is.
fn describe(error: &ErrorCode) -> String {
    match error {
        ErrorCode::InternalError(Some(text)) => text.clone(),
        ErrorCode::DnsTimeout => "looking up the host's name took too long".to_owned(),
        ErrorCode::DnsError(_) => "the host's name can't be looked up".to_owned(),
        ErrorCode::DestinationIpProhibited => {
            "the host's address is private, and allow_private_addresses is not set".to_owned()
        }
        ErrorCode::ConnectionRefused => "the connection was refused".to_owned(),
        ErrorCode::ConnectionTerminated => "the connection was closed in the middle of the answer".to_owned(),
        ErrorCode::ConnectionTimeout => "connecting took too long".to_owned(),
        ErrorCode::ConnectionReadTimeout => "the answer stopped in the middle".to_owned(),
        ErrorCode::HttpResponseTimeout => "the answer did not begin in time".to_owned(),
        ErrorCode::HttpResponseIncomplete => "the answer is shorter than it says".to_owned(),
        ErrorCode::TlsCertificateError => "the server's certificate is not trusted".to_owned(),
        ErrorCode::HttpRequestDenied => "the request leads to another place than base_url".to_owned(),
        ErrorCode::HttpResponseBodySize(_) => "the answer is larger than max_body_in_bytes".to_owned(),
        other => format!("{other:?}"),
    }
}
