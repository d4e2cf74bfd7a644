//! Another vendor's API: its answers name their next page, and only the last one grows. Nothing else about it
//! is like XVigil's.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::alerts::Alert;
use crate::waiting::Watched;

/// Where its records are.
pub const PATH: &str = "/v2/events";

/// The token that it serves.
pub const TOKEN: &str = "test-token-of-the-feed";

/// In front of a page's number in the page's name: what a query can't have as it is.
const NAME: &str = "page&no=+";

/// A running API on a free port of the loopback interface.
#[derive(Debug)]
pub struct Feed {
    records: Arc<Watched<Vec<Alert>>>,
    port: u16,
    /// Serves as long as it lives.
    _runtime: Runtime,
}

impl Feed {
    /// Starts with no records and this many on a page.
    pub fn start(page_size: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).context("listening")?;
        let port = listener.local_addr()?.port();
        let records = Arc::new(Watched::new(Vec::new()));
        runtime.spawn(accept(listener, records.clone(), page_size));
        Ok(Self { records, port, _runtime: runtime })
    }

    /// What an operator writes as `base_url`.
    pub fn base_url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// Adds records behind all others.
    pub fn add(&self, records: Vec<Alert>) {
        self.records.change(|all| all.extend(records));
    }

    /// All records, in their order.
    pub fn records(&self) -> Vec<Alert> {
        self.records.read(Clone::clone)
    }
}

async fn accept(listener: TcpListener, records: Arc<Watched<Vec<Alert>>>, page_size: usize) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let records = records.clone();
        let service = service_fn(move |request| {
            let response = records.read(|records| answer(&request, records, page_size));
            async { Ok::<_, Infallible>(response.map(Full::new)) }
        });
        // An error is a client that went away.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn answer(request: &Request<Incoming>, records: &[Alert], page_size: usize) -> Response<Bytes> {
    if request.headers().get(AUTHORIZATION).is_none_or(|value| value.as_bytes() != format!("Bearer {TOKEN}").as_bytes())
    {
        return plain(StatusCode::UNAUTHORIZED);
    }
    let page = match (request.uri().path(), request.uri().query()) {
        (PATH, None) => Some(0),
        (PATH, Some(query)) => query.strip_prefix("from=page%26no%3D%2B").and_then(|number| number.parse().ok()),
        _ => None,
    };
    let Some(page) = page else { return plain(StatusCode::NOT_FOUND) };
    let start = (page * page_size).min(records.len());
    let end = (start + page_size).min(records.len());
    let texts: Vec<_> = records[start..end].iter().map(|record| String::from_utf8_lossy(&record.text)).collect();
    // A page that is full is complete: the next one may be empty so far.
    let next = if end - start == page_size { format!("\"{NAME}{}\"", page + 1) } else { "null".to_owned() };
    let body = format!("{{\"paging\": {{\"next\": {next}}},\n \"events\": [{}]}}\n", texts.join(",\n  "));
    Response::new(body.into())
}

fn plain(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}
