//! The states of all services as JSON, for whoever restarts the process or sends work to it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::observe::state::{Kind, Mood, Seen, ServiceRegistry};

/// A service that fails for less than this still works: it may be one answer of the API.
const GRACE: Duration = Duration::from_secs(120);

/// Services that are listed, the worst first; the others are in the counts.
const MOST_LISTED: usize = 500;

/// Whether any of these works, or all are not to run.
pub fn any_works(services: &[Seen], now: SystemTime) -> bool {
    let is_disabled = |seen: &Seen| seen.state.kind() == Kind::Disabled;
    services.iter().any(|seen| works(seen, now)) || !services.is_empty() && services.iter().all(is_disabled)
}

/// Whether it works. One that has come to the end of no pull yet does not; one that fails does for a while,
/// if it has worked before.
fn works(seen: &Seen, now: SystemTime) -> bool {
    let kind = seen.state.kind();
    match kind {
        Kind::Disabled | Kind::Starting | Kind::Stopped | Kind::Rejected => false,
        // With the configuration before.
        Kind::Stale => true,
        _ if kind.mood() != Mood::Bad => true,
        _ => {
            let has_worked = seen.observed.as_ref().is_some_and(|observed| observed.metrics.last_cycle().is_some());
            let lasts = seen.state.since().and_then(|since| now.duration_since(since).ok()).unwrap_or_default();
            has_worked && lasts < GRACE
        }
    }
}

/// The states of these services.
pub fn report(status: &str, registry: &ServiceRegistry, services: &[Seen], now: SystemTime) -> String {
    let mut states: BTreeMap<&str, usize> = Kind::ALL.into_iter().map(|kind| (kind.name(), 0)).collect();
    for seen in services {
        *states.entry(seen.state.kind().name()).or_default() += 1;
    }
    let mut listed: Vec<_> = services.iter().collect();
    listed.sort_by_key(|seen| seen.state.kind());
    let listed: Vec<_> = listed.into_iter().take(MOST_LISTED).map(|seen| service(seen, now)).collect();
    let running = services.iter().filter_map(|seen| seen.observed.as_ref());
    let report = json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "tenants": registry.tenants(),
        "services": running.clone().count(),
        "services_ready": running.filter(|observed| observed.metrics.is_ready()).count(),
        "states": states,
        "details": listed,
    });
    report.to_string()
}

fn service(seen: &Seen, now: SystemTime) -> Value {
    let since = seen.state.since().filter(|&since| since <= now);
    let since = since.and_then(|since| since.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_secs());
    json!({
        "tenant": *seen.tenant,
        "input": seen.input,
        "service": seen.service,
        "state": seen.state.kind().name(),
        "since": since,
        "detail": seen.detail(),
    })
}
