//! Devo's HTTP ingestion: `POST /stream/<domain>/token!<token>/<host>/<table>` with an event a line.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::alerts::Alert;
use crate::check::{self, Report, compare, date};
use crate::receiver::Frame;
use crate::waiting::Watched;

/// The domain that it takes events for.
pub const DOMAIN: &str = "example";

/// The token that it takes.
pub const TOKEN: &str = "token-of-the-ingestion/1";

/// A running endpoint on a free port of the loopback interface.
#[derive(Debug)]
pub struct Ingestion {
    state: Arc<Watched<State>>,
    port: u16,
    /// Serves as long as it lives.
    _runtime: Runtime,
}

#[derive(Debug, Default)]
struct State {
    /// Table and event.
    events: Vec<(String, Bytes)>,
    posts: usize,
    failures: Vec<u16>,
}

impl Ingestion {
    /// Starts it.
    pub fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).context("listening")?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(Watched::new(State::default()));
        runtime.spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { state, port, _runtime: runtime })
    }

    /// What an operator writes as `devo_url`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Answers the next request with this status, and takes nothing of it.
    pub fn fail(&self, status: u16) {
        self.state.change(|state| state.failures.push(status));
    }

    /// Takes events from elsewhere, a line each.
    pub fn put(&self, table: &str, lines: &str) {
        let events = lines.lines().map(|line| (table.to_owned(), Bytes::copy_from_slice(line.as_bytes())));
        self.state.change(|state| state.events.extend(events));
    }

    /// How many requests were taken.
    pub fn posts(&self) -> usize {
        self.state.read(|state| state.posts)
    }

    /// Compares what has arrived with the source. Events have no date of their own here: the one that is
    /// compared is right.
    pub fn compare(&self, source: &[Alert]) -> Report {
        let times: HashMap<_, _> = source.iter().map(|alert| (alert.id.as_str(), alert.incident_time)).collect();
        let frame = |(table, event): &(String, Bytes)| {
            let time = check::id(event).and_then(|id| times.get(id)).copied().unwrap_or_default();
            let line = [format!("<14>{} ingestion {table}: ", date(time)).as_bytes(), event].concat();
            Frame { connection: 0, line: line.into() }
        };
        let frames: Vec<_> = self.state.read(|state| state.events.iter().map(frame).collect());
        compare(source, &frames)
    }
}

async fn accept(listener: TcpListener, state: Arc<Watched<State>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let state = Arc::clone(&state);
        let service = service_fn(move |request| {
            let state = Arc::clone(&state);
            async move {
                let mut response = Response::new(Full::new(Bytes::new()));
                *response.status_mut() = take(request, &state).await;
                Ok::<_, Infallible>(response)
            }
        });
        // An error is a client that went away.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn take(request: Request<Incoming>, state: &Watched<State>) -> StatusCode {
    let start = format!("/stream/{DOMAIN}/token!{}/", TOKEN.replace('/', "%2F"));
    let Some((_host, table)) = request.uri().path().strip_prefix(&start).and_then(|rest| rest.split_once('/')) else {
        return StatusCode::UNAUTHORIZED;
    };
    if request.method() != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED;
    }
    let table = table.to_owned();
    // A body that breaks off is not taken.
    let Ok(body) = request.into_body().collect().await.map(http_body_util::Collected::to_bytes) else {
        return StatusCode::BAD_REQUEST;
    };
    state.change(|state| {
        if let Some(status) = state.failures.pop() {
            return StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let lines = body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        state.events.extend(lines.map(|line| (table.clone(), body.slice_ref(line))));
        state.posts += 1;
        StatusCode::OK
    })
}
