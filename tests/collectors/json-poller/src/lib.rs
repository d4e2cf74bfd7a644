//! A collector for any JSON API whose answers name their next page: the smallest that loses nothing.
//!
//! Settings, under `poll` of the service: `path`; `cursor_param`, the query parameter that asks for a page;
//! JSON pointers `next` to the next page's name in an answer, `records` to its records, `id` and `time` to
//! these in a record. A page that names a next one must be complete; the last one may grow, and is read again
//! at every pull.
#![cfg(target_arch = "wasm32")]

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "devo:collector/collector", generate_all });
}

mod json;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use bindings::devo::collector::output::{self, Event};
use bindings::exports::devo::collector::service::{Account, Budget, Failure, Fault, Guest, Progress, Summary};
use bindings::wasi::clocks::wall_clock::{self, Datetime};
use bindings::wasi::http::outgoing_handler::{self, ErrorCode};
use bindings::wasi::http::types::{Fields, IncomingBody, IncomingResponse, OutgoingRequest, Scheme};
use bindings::wasi::io::streams::StreamError;
use bindings::wasi::{config::store as config, keyvalue::store as keyvalue};

/// The one key in the service's bucket.
const STATE: &str = "state";

/// What outlives a pull: which page is the last that was read, and which of its records were delivered.
#[derive(Default, Serialize, Deserialize)]
struct State {
    cursor: Option<String>,
    delivered: Vec<String>,
}

struct Poller;

bindings::export!(Poller with_types_in bindings);

impl Guest for Poller {
    fn set_up() -> Result<(), Failure> {
        Poll::from_settings()?.page(None).map(drop)
    }

    fn pre_pull() -> Result<(), Failure> {
        load().map(drop).map_err(|reason| Failure::PrePull(fault(200, reason, "Restore the state, or remove it.")))
    }

    /// What is new stands on the last page that was read, and after it.
    fn pull(_budget: Budget) -> Result<Summary, Failure> {
        next_page()
    }

    fn backfill(_budget: Budget) -> Result<Summary, Failure> {
        next_page()
    }
}

/// One page: sent, confirmed, and only then recorded. One request is within every budget.
fn next_page() -> Result<Summary, Failure> {
    let state = load().map_err(|reason| pull_failure(302, reason))?;
    let poll = Poll::from_settings()?;
    let page = poll.page(state.cursor.as_deref())?;
    let mut delivered = Vec::new();
    let mut events = Vec::new();
    for record in &page.records {
        // A record without an id is known by its content.
        let id = json::find(record, &poll.id).unwrap_or(record).get().to_owned();
        if !state.delivered.contains(&id) && !delivered.contains(&id) {
            let time = json::find(record, &poll.time).and_then(read_time).unwrap_or_else(wall_clock::now);
            events.push(Event { time, body: json::one_line(record) });
        }
        delivered.push(id);
    }
    output::send(&poll.table, &events)
        .and_then(|()| output::flush())
        .map_err(|error| pull_failure(300, format!("the events were not delivered: {error:?}")))?;
    let summary = Summary {
        requests: 1,
        received: page.records.len() as u64,
        duplicates: (page.records.len() - events.len()) as u64,
        sent: events.len() as u64,
        dead_letters: 0,
        // Some APIs name the last page as its own next one.
        up_to_date: page.next.is_none() || page.next == state.cursor,
        progress: Progress {
            backfill: None,
            gaps: 0,
            account: Account::Unknown,
            account_time: None,
            newest_event: events.iter().map(|event| event.time).max_by_key(|time| (time.seconds, time.nanoseconds)),
        },
    };
    store(&State { cursor: page.next.or(state.cursor), delivered }).map_err(|reason| pull_failure(301, reason))?;
    Ok(summary)
}

fn fault(code: u16, reason: impl Into<String>, remedy: &str) -> Fault {
    Fault { code, reason: reason.into(), remedy: remedy.to_owned() }
}

fn pull_failure(code: u16, reason: impl Into<String>) -> Failure {
    Failure::Pull(fault(code, reason, "The pull is repeated; nothing is lost."))
}

fn api(code: u16, reason: impl Into<String>) -> Failure {
    Failure::Api(fault(code, reason, "Check base_url, credentials.token and poll."))
}

fn load() -> Result<State, String> {
    let bytes = keyvalue::open("").and_then(|bucket| bucket.get(STATE)).map_err(|error| format!("{error:?}"))?;
    bytes
        .map_or_else(|| Ok(State::default()), |bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()))
}

fn store(state: &State) -> Result<(), String> {
    let bytes = serde_json::to_vec(state).map_err(|error| error.to_string())?;
    keyvalue::open("").and_then(|bucket| bucket.set(STATE, &bytes)).map_err(|error| format!("{error:?}"))
}

/// RFC 3339, or seconds since 1970.
fn read_time(time: &RawValue) -> Option<Datetime> {
    let time = match serde_json::from_str::<String>(time.get()) {
        Ok(text) => DateTime::parse_from_rfc3339(&text).ok()?.with_timezone(&Utc),
        Err(_) => DateTime::from_timestamp(serde_json::from_str(time.get()).ok()?, 0)?,
    };
    Some(Datetime { seconds: time.timestamp().try_into().ok()?, nanoseconds: time.timestamp_subsec_nanos() })
}

/// What is asked for, and how an answer is read.
struct Poll {
    secure: bool,
    authority: String,
    target: String,
    cursor_param: String,
    next: String,
    records: String,
    id: String,
    time: String,
    table: String,
}

/// What an answer says.
struct Page {
    records: Vec<Box<RawValue>>,
    next: Option<String>,
}

impl Poll {
    fn from_settings() -> Result<Self, Failure> {
        let setting = |name: &str| match config::get(name) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(Failure::InitVariables(fault(3, format!("the setting {name} is missing."), "Add it."))),
            Err(error) => Err(Failure::InitVariables(fault(4, format!("{error:?}"), ""))),
        };
        let base = setting("base_url")?;
        let (scheme, address) = base.split_once("://").unwrap_or(("https", &base));
        let (authority, prefix) = address.split_once('/').unwrap_or((address, ""));
        Ok(Self {
            secure: scheme == "https",
            authority: authority.to_owned(),
            target: format!("/{prefix}").trim_end_matches('/').to_owned() + &setting("poll.path")?,
            cursor_param: setting("poll.cursor_param")?,
            next: setting("poll.next")?,
            records: setting("poll.records")?,
            id: setting("poll.id")?,
            time: setting("poll.time")?,
            table: setting("override_devo_tag")?,
        })
    }

    /// The page that a cursor names, or the first one.
    fn page(&self, cursor: Option<&str>) -> Result<Page, Failure> {
        let query = cursor.map(|cursor| format!("?{}={}", self.cursor_param, percent_encoded(cursor)));
        let body = self.get(&(self.target.clone() + &query.unwrap_or_default()))?;
        let answer: &RawValue =
            serde_json::from_slice(&body).map_err(|error| api(495, format!("not JSON: {error}.")))?;
        let records = json::find(answer, &self.records).and_then(|list| serde_json::from_str(list.get()).ok());
        let records =
            records.ok_or_else(|| api(495, format!("there is no list at {} of the answer.", self.records)))?;
        let next = json::find(answer, &self.next).filter(|next| next.get() != "null");
        // A cursor is a text, or a number that is handed back as it is written.
        let next = next.map(|next| serde_json::from_str(next.get()).unwrap_or_else(|_| next.get().to_owned()));
        Ok(Page { records, next: next.filter(|next| !next.is_empty()) })
    }

    /// The host adds the credential on the way out, and lets nothing out but to the origin of `base_url`.
    fn get(&self, target: &str) -> Result<Vec<u8>, Failure> {
        let request = OutgoingRequest::new(Fields::new());
        let scheme = if self.secure { Scheme::Https } else { Scheme::Http };
        request
            .set_scheme(Some(&scheme))
            .and_then(|()| request.set_authority(Some(&self.authority)))
            .and_then(|()| request.set_path_with_query(Some(target)))
            .map_err(|()| api(497, format!("{target} can't be asked for.")))?;
        let unanswered = |error: ErrorCode| api(497, format!("there is no answer: {error:?}."));
        let pending = outgoing_handler::handle(request, None).map_err(unanswered)?;
        let response = loop {
            match pending.get() {
                Some(Ok(response)) => break response.map_err(unanswered)?,
                Some(Err(())) => return Err(api(497, "the answer was taken twice.")),
                None => pending.subscribe().block(),
            }
        };
        match response.status() {
            200 => read_body(&response),
            status => Err(api(status, format!("the API answered with the status {status}."))),
        }
    }
}

fn read_body(response: &IncomingResponse) -> Result<Vec<u8>, Failure> {
    let broken = || api(497, "the answer broke off.");
    let incoming: IncomingBody = response.consume().map_err(|()| broken())?;
    let stream = incoming.stream().map_err(|()| broken())?;
    let mut body = Vec::new();
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(piece) => body.extend(piece),
            Err(StreamError::Closed) => return Ok(body),
            Err(StreamError::LastOperationFailed(_)) => return Err(broken()),
        }
    }
}

fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
