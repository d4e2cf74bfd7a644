//! Telemetry: the collector's own log and metrics as messages to Devo, in the tables where operators
//! of the original look for them.
//!
//! [`Messages`] is what the rest of the collector holds. It is there before any output is, so that the log
//! can be started first; until [`Messages::open`], and without an output that takes messages, what it is
//! given goes nowhere. [`Routes`] say whose lines become whose messages, `layer` makes messages of log lines,
//! `message` knows their form. Nobody ever waits for a message: see [`BestEffort`].

mod layer;
mod message;
mod sender;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use collector_config::{OutputPlan, Plan, Receiver};
use collector_delivery::{Delivered, DevoSettings, Event, Framer};
use collector_model::Table;
use futures_util::future::join_all;
use tracing::{debug, warn};

use crate::devo_compat::{Process, SenderNames, SenderService, internal_span};
use crate::observe::log::Origin;
pub use layer::Layer;
use message::{Author, Tables};
use sender::BestEffort;

/// Room for messages that wait, for each output. More than an hour of an ordinary log.
const QUEUE_IN_BYTES: usize = 512 * 1024;

/// What messages may take at the end of the collector.
const LAST_FLUSH: Duration = Duration::from_secs(3);

/// The collector's messages on their way to Devo. Clones share them.
#[derive(Clone, Default)]
pub struct Messages(Arc<OnceLock<Service>>);

/// Whose lines become whose messages. Clones share them.
#[derive(Clone, Default)]
pub struct Routes(Arc<RwLock<HashMap<Option<Arc<str>>, Messages>>>);

impl Routes {
    /// The lines of this tenant, or of none, become these messages from now on.
    pub fn add(&self, tenant: Option<Arc<str>>, messages: Messages) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(tenant, messages);
    }

    /// The lines of this tenant become no messages any more.
    pub fn remove(&self, tenant: &Arc<str>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&Some(tenant.clone()));
    }

    fn of(&self, tenant: Option<&Arc<str>>) -> Option<Messages> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&tenant.cloned()).cloned()
    }
}

struct Service {
    author: Author,
    tables: Tables,
    outputs: Vec<Arc<BestEffort>>,
}

impl Messages {
    /// Starts sending messages in the name of this collector, to those of its outputs that take them. Must be
    /// called within a tokio runtime, once.
    pub fn open(&self, plan: &Plan) {
        let outputs: Vec<_> = plan.outputs.iter().filter_map(sender).map(Arc::new).collect();
        let author = Author::new(&plan.id, &plan.name);
        let opened = self.0.set(Service { author, tables: Tables::default(), outputs });
        if opened.is_err() {
            debug!("The internal messages were opened before");
        }
        self.send(|service| {
            let text = format!("{} {} has started", service.author.name(), service.author.version());
            (&service.tables.start, service.author.line(&text, tracing::Level::INFO, &Origin::default()))
        });
    }

    /// The sender of the output with this name, if it takes messages.
    pub fn sender(&self, output: &str) -> Option<&Arc<BestEffort>> {
        self.0.get()?.outputs.iter().find(|sender| sender.name() == output)
    }

    /// Tells this output, if it takes messages, how much was sent to it in a period. No other: the metrics
    /// that arrive at a receiver are added up there, and have to be about the events that arrived there.
    pub fn report(&self, output: &str, delivered: &Delivered) {
        let Some((service, sender)) = self.0.get().zip(self.sender(output)) else { return };
        let event = Event { time: Utc::now(), body: service.author.metric(delivered) };
        // A message is a line of JSON, and no limit is set for its size: it can't be refused.
        let _ = sender.try_send(&service.tables.metric, event);
    }

    /// Gives what is queued a moment to be delivered, at the end of the collector.
    pub async fn flush(&self) {
        let Some(service) = self.0.get() else { return };
        let flushes = join_all(service.outputs.iter().map(|output| output.flush()));
        match tokio::time::timeout(LAST_FLUSH, flushes).await {
            Ok(outcomes) if outcomes.iter().all(Result::is_ok) => {}
            _ => {
                warn!("The last of the collector's own messages could not be delivered to Devo; no event is concerned")
            }
        }
    }

    fn send<'a>(&'a self, make: impl FnOnce(&'a Service) -> (&'a Table, Bytes)) {
        let Some(service) = self.0.get().filter(|service| !service.outputs.is_empty()) else { return };
        let (table, body) = make(service);
        for output in &service.outputs {
            // A message is a line of JSON, and no limit is set for its size: it can't be refused.
            let _ = output.try_send(table, Event { time: Utc::now(), body: body.clone() });
        }
    }
}

/// The sender of an output's messages, with a connection and a queue of its own.
fn sender(output: &OutputPlan) -> Option<BestEffort> {
    let Receiver::Devo(settings) = &output.receiver else { return None };
    let settings = DevoSettings {
        queue_in_bytes: QUEUE_IN_BYTES,
        concurrent_connections: 1,
        dead_letters: None,
        ..(**settings).clone()
    };
    let thread = SenderNames::new(output).sender(SenderService::Internal, 0);
    let span = internal_span(Process::Output, &thread);
    output.takes_internal_messages.then(|| span.in_scope(|| BestEffort::start(settings, Framer::of_this_machine())))
}
