//! What the operator looks at while the process runs: metrics for Prometheus, health for whoever restarts it,
//! and a page for people. It shows names, numbers and the last failures, never a secret.
//!
//! `listener` takes connections, `guard` decides which requests are answered, `registry` knows which services
//! there are, `metrics` and `page` are two ways to show them.

mod guard;
mod listener;
mod metrics;
mod page;
mod registry;

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Result;
use axum::extract::{RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use axum::{Router, body::Body, middleware};
use collector_config::AdminSettings;
use serde_json::json;
use tracing::info;

use guard::Guard;
use listener::Listener;
pub use metrics::SharedByTenants;
pub use registry::ServiceRegistry;

/// The server of these pages, if the operator has an address for it.
pub struct Admin(Option<Server>);

struct Server {
    /// Bound, so that an address that can't be had is known before anything starts.
    listener: Listener,
    guard: Guard,
    registry: ServiceRegistry,
    shared: SharedByTenants,
}

impl Admin {
    /// Takes the address.
    ///
    /// # Errors
    /// It can't be had, or its token can't be read.
    pub async fn bind(settings: &AdminSettings, registry: ServiceRegistry, shared: SharedByTenants) -> Result<Self> {
        let guard = Guard::new(settings)?;
        let Some(address) = &settings.address else { return Ok(Self(None)) };
        let listener = Listener::bind(address).await?;
        info!("Metrics, health and status are served at {}", listener.url()?);
        Ok(Self(Some(Server { listener, guard, registry, shared })))
    }

    /// Serves forever, or waits forever where there is no address.
    pub async fn serve(self) -> Infallible {
        let Some(Server { listener, guard, registry, shared }) = self.0 else { return std::future::pending().await };
        let routes = Router::new()
            .route("/", get(status))
            .route("/style.css", get(style))
            .route("/metrics", get(metrics))
            .route("/health", get(health))
            .with_state(Seen { registry, shared })
            .layer(middleware::from_fn_with_state(Arc::new(guard), guard::check));
        listener.serve(routes).await
    }
}

/// What is shown.
#[derive(Clone)]
struct Seen {
    registry: ServiceRegistry,
    shared: SharedByTenants,
}

async fn status(State(Seen { registry, .. }): State<Seen>, RawQuery(query): RawQuery) -> Html<String> {
    Html(page::render(&registry.services(tenant(query.as_deref()))))
}

async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], page::STYLE)
}

async fn metrics(State(seen): State<Seen>, RawQuery(query): RawQuery) -> impl IntoResponse {
    let tenant = tenant(query.as_deref());
    let services = seen.registry.services(tenant);
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::text(services, seen.shared, tenant))
}

/// Answers as long as the process can do anything at all. Whether its services can is in the numbers: an API
/// that is away is no reason to restart it.
async fn health(State(Seen { registry, .. }): State<Seen>) -> impl IntoResponse {
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
