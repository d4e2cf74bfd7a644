//! Binds the destination to `output`, and posts over `wasi:http`.

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package devo:adapters;
            world http-output {
                import wasi:config/store@0.2.0-rc.1;
                import wasi:http/outgoing-handler@0.2.0;
                import wasi:logging/logging@0.1.0-draft;
                export devo:collector/output@2.0.0;
            }
        ",
        generate_all,
    });
}

use std::cell::RefCell;
use std::mem;

use crate::destination::{Destination, is_table};
use bindings::exports::devo::collector::output::{DeadLetter, Error, Event, Guest};
use bindings::wasi::config::store as config;
use bindings::wasi::http::outgoing_handler;
use bindings::wasi::http::types::{ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme};
use bindings::wasi::io::streams::OutputStream;
use bindings::wasi::logging::logging::{self, Level};

/// Posted at once as soon as there is more: Devo takes 32 MB in one request.
const POST_IN_BYTES: usize = 8 * 1024 * 1024;

/// What was taken and not yet posted.
#[derive(Default)]
struct Gathered {
    table: String,
    lines: Vec<u8>,
    /// What went wrong since the last flush: until then nothing succeeds.
    failure: Option<String>,
}

thread_local! {
    static GATHERED: RefCell<Gathered> = RefCell::default();
}

struct Output;

bindings::export!(Output with_types_in bindings);

impl Guest for Output {
    fn send(table: String, events: Vec<Event>) -> Result<(), Error> {
        if !is_table(&table) {
            return Err(Error::TableRefused(table));
        }
        let refused = |event: &Event| event.body.contains(&b'\n') || event.body.len() > POST_IN_BYTES;
        if let Some(index) = events.iter().position(refused) {
            return Err(Error::EventRefused(u32::try_from(index).unwrap_or(u32::MAX)));
        }
        GATHERED.with_borrow_mut(|gathered| {
            if gathered.table != table {
                gathered.post();
                gathered.table = table;
            }
            for event in events {
                if gathered.lines.len() + event.body.len() >= POST_IN_BYTES {
                    gathered.post();
                }
                gathered.lines.extend_from_slice(&event.body);
                gathered.lines.push(b'\n');
            }
            gathered.failure.clone().map_or(Ok(()), |reason| Err(Error::Unconfirmed(reason)))
        })
    }

    fn add_dead_letters(table: String, letters: Vec<DeadLetter>) -> Result<(), Error> {
        if !is_table(&table) {
            return Err(Error::TableRefused(table));
        }
        for letter in letters {
            logging::log(Level::Warn, "", &dead_letter::line(&table, &letter.reason, &letter.content));
        }
        Ok(())
    }

    fn flush() -> Result<(), Error> {
        GATHERED.with_borrow_mut(|gathered| {
            gathered.post();
            gathered.failure.take().map_or(Ok(()), |reason| Err(Error::Unconfirmed(reason)))
        })
    }
}

impl Gathered {
    fn post(&mut self) {
        let lines = mem::take(&mut self.lines);
        if !lines.is_empty() && self.failure.is_none() {
            self.failure = post(&self.table, &lines).err();
        }
    }
}

fn setting(name: &str) -> Result<Option<String>, String> {
    config::get(name).map_err(|error| match error {
        config::Error::Upstream(text) | config::Error::Io(text) => text,
    })
}

fn post(table: &str, lines: &[u8]) -> Result<(), String> {
    let destination = Destination::read(setting)?;
    let headers = Fields::new();
    let header = |name: &str, value: String| headers.append(&name.to_owned(), &value.into_bytes());
    header("content-type", "text/plain; charset=utf-8".to_owned())
        .and_then(|()| header("content-length", lines.len().to_string()))
        .map_err(|_| "the platform refuses a header.".to_owned())?;
    let request = OutgoingRequest::new(headers);
    let scheme = if destination.secure { Scheme::Https } else { Scheme::Http };
    request
        .set_method(&Method::Post)
        .and_then(|()| request.set_scheme(Some(&scheme)))
        .and_then(|()| request.set_authority(Some(&destination.authority)))
        .and_then(|()| request.set_path_with_query(Some(&destination.path(table))))
        .map_err(|()| "the platform refuses the address of devo_url.".to_owned())?;
    let body = request.body().map_err(|()| "the platform gives no body.".to_owned())?;
    // The request goes first: a platform may take a large body only as it is sent.
    let pending = outgoing_handler::handle(request, None).map_err(|code| unreachable(&code))?;
    let written = body.write().map_err(|()| "the platform gives no stream.".to_owned()).and_then(|stream| {
        write(&stream, lines).map_err(|()| "the connection to Devo broke while events were sent.".to_owned())
    });
    let finished = OutgoingBody::finish(body, None);
    let response = loop {
        match pending.get() {
            Some(Ok(response)) => break response.map_err(|code| unreachable(&code))?,
            Some(Err(())) => return Err("the answer was taken twice.".to_owned()),
            None => pending.subscribe().block(),
        }
    };
    judge(&response)?;
    written?;
    finished.map_err(|code| unreachable(&code))
}

fn write(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), ()> {
    while !bytes.is_empty() {
        let room = usize::try_from(stream.check_write().map_err(drop)?).unwrap_or(usize::MAX);
        if room == 0 {
            stream.subscribe().block();
            continue;
        }
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        stream.write(now).map_err(drop)?;
        bytes = later;
    }
    stream.blocking_flush().map_err(drop)
}

fn judge(response: &IncomingResponse) -> Result<(), String> {
    match response.status() {
        200..=299 => Ok(()),
        status @ (401 | 403) => Err(format!("Devo refused the token: status {status}.")),
        status => Err(format!("Devo answered with the status {status}.")),
    }
}

fn unreachable(code: &ErrorCode) -> String {
    format!("Devo could not be reached: {code:?}.")
}
