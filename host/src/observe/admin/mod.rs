//! What the operator looks at while the process runs: metrics for Prometheus, health for whoever restarts it,
//! and a page for people. It shows names, numbers and the last failures, never a secret, and asks nobody who
//! they are: the address is for the operator to choose.
//!
//! `registry` knows which services there are, `metrics` and `page` are two ways to show them.

mod metrics;
mod page;
mod registry;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::{RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use axum::{Router, body::Body};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tracing::info;

pub use registry::ServiceRegistry;

/// A client that is slow or says nothing holds a connection for this time. Others ask again within it, or
/// connect anew.
const LONGEST_CONNECTION: Duration = Duration::from_secs(60);

/// After a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// The server of these pages, if the operator has an address for it.
pub struct Admin {
    /// Bound, so that an address that can't be had is known before anything starts.
    listener: Option<TcpListener>,
    registry: ServiceRegistry,
}

impl Admin {
    /// Takes the address.
    ///
    /// # Errors
    /// It can't be had.
    pub async fn bind(address: Option<SocketAddr>, registry: ServiceRegistry) -> Result<Self> {
        let Some(address) = address else { return Ok(Self { listener: None, registry }) };
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("the admin address {address} can't be used; nothing was started"))?;
        info!("Metrics, health and status are served at http://{}", listener.local_addr()?);
        Ok(Self { listener: Some(listener), registry })
    }

    /// Serves for ever, or waits for ever where there is no address.
    pub async fn serve(self) -> Infallible {
        let Some(listener) = self.listener else { return std::future::pending().await };
        let routes = Router::new()
            .route("/", get(status))
            .route("/metrics", get(metrics))
            .route("/health", get(health))
            .with_state(self.registry);
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(answer(stream, routes.clone()))),
                // Most likely there are too many open files; some will be closed.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

/// Answers on a connection until its client closes it, or its time is over.
async fn answer(stream: TcpStream, routes: Router) {
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    // What fails is this connection, and the next one is served all the same.
    let _ = tokio::time::timeout(LONGEST_CONNECTION, connection).await;
}

async fn status(State(registry): State<ServiceRegistry>, RawQuery(query): RawQuery) -> Html<String> {
    Html(page::render(&registry.services(tenant(query.as_deref()))))
}

async fn metrics(State(registry): State<ServiceRegistry>, RawQuery(query): RawQuery) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::text(registry.services(tenant(query.as_deref()))))
}

/// Answers as long as the process can do anything at all. Whether its services can is in the numbers: an API
/// that is away is no reason to restart it.
async fn health(State(registry): State<ServiceRegistry>) -> impl IntoResponse {
    let services = registry.services(None);
    let ready = services.iter().filter(|service| service.observed.metrics.is_ready()).count();
    let health = json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "tenants": registry.tenants(),
        "services": services.len(),
        "services_ready": ready,
    });
    ([(CONTENT_TYPE, "application/json")], Body::from(health.to_string()))
}

/// The tenant that a query asks for, as in `?tenant=acme`. A name has no character that would be written
/// otherwise there.
fn tenant(query: Option<&str>) -> Option<&str> {
    query?.split('&').find_map(|pair| pair.strip_prefix("tenant=")).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_ends_its_request_is_timed_out() {
        let admin = Admin::bind(Some(([127, 0, 0, 1], 0).into()), ServiceRegistry::default()).await.unwrap();
        let address = admin.listener.as_ref().unwrap().local_addr().unwrap();
        let started = tokio::time::Instant::now();
        let serving = tokio::spawn(admin.serve());
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        // The end, or a reset in the middle of a request.
        assert!(matches!(slow.read(&mut [0]).await, Ok(0) | Err(_)));
        assert!(started.elapsed() >= LONGEST_CONNECTION);
        serving.abort();
    }

    #[test]
    fn a_query_may_ask_for_one_tenant() {
        assert_eq!(tenant(Some("tenant=acme")), Some("acme"));
        assert_eq!(tenant(Some("a=b&tenant=acme&c")), Some("acme"));
        for none in [None, Some(""), Some("tenant="), Some("other=acme")] {
            assert_eq!(tenant(none), None, "{none:?}");
        }
    }
}
