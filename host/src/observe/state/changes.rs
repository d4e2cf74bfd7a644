//! A line of the log, and so a message to Devo, whenever a service comes into another state.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tracing::{info, warn};

use super::registry::{Seen, ServiceRegistry};
use super::{Kind, Mood, State};
use crate::service::Observed;

/// How often all services are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Knows in which state each service was when it was last looked at.
pub struct StateChanges {
    registry: ServiceRegistry,
    last: HashMap<Key, Kind>,
}

type Key = (Arc<str>, String, String);

impl StateChanges {
    /// Of these services, none of which was looked at yet.
    pub fn new(registry: ServiceRegistry) -> Self {
        Self { registry, last: HashMap::new() }
    }

    /// Tells of changes forever.
    pub async fn tell(mut self) -> Infallible {
        loop {
            tokio::time::sleep(EVERY).await;
            self.look(SystemTime::now());
        }
    }

    fn look(&mut self, now: SystemTime) {
        let mut kinds = HashMap::with_capacity(self.last.len());
        for Seen { tenant, input, service, state, observed } in self.registry.services(None, now) {
            let key = (tenant, input, service);
            let kind = state.kind();
            // A service begins by starting, of which there are lines enough.
            let before = self.last.remove(&key).unwrap_or(Kind::Starting);
            if let (true, Some(observed)) = (before != kind, observed) {
                tell(&observed, &state, before);
            }
            kinds.insert(key, kind);
        }
        self.last = kinds;
    }
}

/// In the span of the service, so that it is a line of its tenant. What a refused configuration is about was
/// told already, with its code; so was why a service does not run.
fn tell(observed: &Observed, state: &State, before: Kind) {
    let _entered = observed.span.enter();
    let (kind, before) = (state.kind(), before.name());
    let detail = match state {
        State::RateLimited { .. } | State::Incomplete { .. } | State::Backfilling { .. } => {
            state.detail().map(|detail| format!(": {detail}")).unwrap_or_default()
        }
        _ => String::new(),
    };
    let (identity, kind_name) = (&observed.identity, kind.name());
    match kind.mood() {
        Mood::Bad => {
            warn!(state = kind_name, "The state of {identity} is \"{kind_name}\", it was \"{before}\"{detail}")
        }
        Mood::Waiting | Mood::Good => {
            info!(state = kind_name, "The state of {identity} is \"{kind_name}\", it was \"{before}\"{detail}");
        }
    }
}
