//! What the operator looks at while the process runs: metrics for Prometheus, health for whoever restarts it,
//! and a page for people. It shows names, numbers and the last failures, never a secret.
//!
//! `listener` takes connections, `guard` decides which requests are answered; `metrics`, `health` and `page`
//! are three ways to show the services and their states.

mod guard;
mod health;
mod listener;
mod metrics;
mod page;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Result;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use axum::{Router, middleware};
use collector_config::AdminSettings;
use tracing::info;

use crate::observe::state::ServiceRegistry;
use guard::Guard;
use listener::Listener;
pub use metrics::SharedByTenants;

/// The server of these pages, if the operator has an address for it.
pub struct Admin(Option<Server>);

struct Server {
    /// Bound, so that an address that can't be had is known before anything starts.
    listener: Listener,
    guard: Guard,
    readers: Readers,
}

/// What the pages are made from.
#[derive(Clone)]
struct Readers {
    registry: ServiceRegistry,
    /// Whose health decides whether the process is ready.
    serves: Serves,
}

/// What the process is there for.
#[derive(Clone)]
pub enum Serves {
    /// One configuration: if none of its services works, neither does the process.
    OneConfiguration,
    /// Many tenants, none of which stands for the others.
    Tenants(SharedByTenants),
}

impl Admin {
    /// Takes the address.
    ///
    /// # Errors
    /// It can't be had, or its token can't be read.
    pub async fn bind(settings: &AdminSettings, registry: ServiceRegistry, serves: Serves) -> Result<Self> {
        let guard = Guard::new(settings)?;
        let Some(address) = &settings.address else { return Ok(Self(None)) };
        let listener = Listener::bind(address).await?;
        info!("Metrics, health and status are served at {}", listener.url()?);
        Ok(Self(Some(Server { listener, guard, readers: Readers { registry, serves } })))
    }

    /// Serves forever, or waits forever where there is no address.
    pub async fn serve(self) -> Infallible {
        let Some(Server { listener, guard, readers }) = self.0 else { return std::future::pending().await };
        let routes = Router::new()
            .route("/", get(status))
            .route("/style.css", get(style))
            .route("/metrics", get(metrics))
            .route("/health", get(health))
            .route("/ready", get(ready))
            .with_state(readers)
            .layer(middleware::from_fn_with_state(Arc::new(guard), guard::check));
        listener.serve(routes).await
    }
}

async fn status(State(readers): State<Readers>, RawQuery(query): RawQuery) -> Html<String> {
    let now = SystemTime::now();
    Html(page::render(&readers.registry.services(tenant(query.as_deref()), now), now))
}

async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], page::STYLE)
}

async fn metrics(State(readers): State<Readers>, RawQuery(query): RawQuery) -> impl IntoResponse {
    let tenant = tenant(query.as_deref());
    let services = readers.registry.services(tenant, SystemTime::now());
    let shared = match readers.serves {
        Serves::OneConfiguration => SharedByTenants::default(),
        Serves::Tenants(shared) => shared,
    };
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::text(services, shared, tenant))
}

/// Answers as long as the process can do anything at all: an API that is away is no reason to restart it.
async fn health(State(readers): State<Readers>) -> impl IntoResponse {
    let now = SystemTime::now();
    let services = readers.registry.services(None, now);
    ([(CONTENT_TYPE, JSON)], health::report("ok", &readers.registry, &services, now))
}

/// Whether there is something to wait for before this process is counted on.
async fn ready(State(readers): State<Readers>, RawQuery(query): RawQuery) -> impl IntoResponse {
    let now = SystemTime::now();
    let tenant = tenant(query.as_deref());
    let services = readers.registry.services(tenant, now);
    let is_ready = match (tenant, readers.serves) {
        (None, Serves::Tenants(_)) => true,
        _ => health::any_works(&services, now),
    };
    let (status, word) =
        if is_ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
    (status, [(CONTENT_TYPE, JSON)], health::report(word, &readers.registry, &services, now))
}

const JSON: &str = "application/json";

/// The tenant that a query asks for, as in `?tenant=acme`. A name has no character that would be written
/// otherwise there.
fn tenant(query: Option<&str>) -> Option<&str> {
    query?.split('&').find_map(|pair| pair.strip_prefix("tenant=")).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_may_ask_for_one_tenant() {
        assert_eq!(tenant(Some("tenant=acme")), Some("acme"));
        assert_eq!(tenant(Some("a=b&tenant=acme&c")), Some("acme"));
        for none in [None, Some(""), Some("tenant="), Some("other=acme")] {
            assert_eq!(tenant(none), None, "{none:?}");
        }
    }
}
