//! The monitors of a tenant's outputs: they report every period what was sent, in the log and to Devo.

use std::sync::Arc;
use std::time::Duration;

use collector_config::OutputPlan;
use collector_delivery::{Checkpoint, Output};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, warn};

use crate::devo_compat::{Process, SenderNames, SenderService, span};
use crate::observe::telemetry::Messages;
use crate::service::{Observed, Service};

/// The monitors of all outputs. Dropping them ends them.
pub struct Monitors {
    running: JoinSet<()>,
    end: CancellationToken,
}

impl Monitors {
    /// Reports on the outputs of these services from now on. Must be called within a tokio runtime.
    pub fn start(services: &[Service], outputs: &[OutputPlan], messages: &Messages) -> Self {
        let services: Vec<Arc<Observed>> = services.iter().map(|service| service.observed().clone()).collect();
        let end = CancellationToken::new();
        let monitors = outputs.iter().map(|output| Monitor::new(output, services.clone(), messages.clone()));
        let running = monitors.map(|monitor| monitor.run(end.clone()).in_current_span()).collect();
        Self { running, end }
    }

    /// Reports for the last time.
    pub async fn end(mut self) {
        self.end.cancel();
        while self.running.join_next().await.is_some() {}
    }
}

/// Reports on one output of all services.
struct Monitor {
    output: String,
    names: SenderNames,
    period: Duration,
    services: Vec<Arc<Observed>>,
    messages: Messages,
    last: Reading,
}

/// What there is to report on at one moment.
struct Reading {
    standard: Senders,
    lookup: Senders,
    internal: Senders,
    dropped_messages: u64,
}

/// The senders of one service.
struct Senders {
    available: usize,
    queued: usize,
    sent: Checkpoint,
}

impl Monitor {
    /// Reports on this output from now on.
    fn new(output: &OutputPlan, services: Vec<Arc<Observed>>, messages: Messages) -> Self {
        let names = SenderNames::new(output);
        let last = Reading::now(&output.name, &services, &messages);
        Self { output: output.name.to_string(), names, period: output.statistics_period, services, messages, last }
    }

    /// Reports every period, and once more at the end.
    async fn run(mut self, end: CancellationToken) {
        loop {
            let is_over = tokio::time::timeout(self.period, end.cancelled()).await.is_ok();
            self.report();
            if is_over {
                return;
            }
        }
    }

    fn report(&mut self) {
        let now = Reading::now(&self.output, &self.services, &self.messages);
        self.write(SenderService::Standard, "Standard", &self.last.standard, &now.standard);
        self.write(SenderService::Lookup, "Lookup", &self.last.lookup, &now.lookup);
        self.write(SenderService::Internal, "Internal", &self.last.internal, &now.internal);
        if now.dropped_messages > self.last.dropped_messages {
            warn!(
                "{} of the collector's own messages were dropped, for there were more than could be sent to {}; no event is \
                 concerned",
                now.dropped_messages - self.last.dropped_messages,
                self.output
            );
        }
        self.messages.report(&self.output, &now.standard.sent.since(&self.last.standard.sent));
        self.last = now;
    }

    fn write(&self, service: SenderService, title: &str, last: &Senders, now: &Senders) {
        let delivered = now.sent.since(&last.sent);
        let Senders { available, queued, sent } = now;
        span(Process::Output, &self.names.monitor(service)).in_scope(|| {
            info!(
                senders = available,
                queued, "Number of available senders: {available}, sender manager internal queue size: {queued}"
            );
            info!(
                sent_in_all = sent.messages,
                sent = delivered.messages,
                "{title} - Total number of messages sent: {}, messages sent since \"{}\": {} (elapsed {:.3} seconds)",
                sent.messages,
                delivered.since.format("%Y-%m-%d %H:%M:%S%.6f%:z"),
                delivered.messages,
                delivered.delivering.as_secs_f64()
            );
        });
    }
}

impl Reading {
    fn now(output: &str, services: &[Arc<Observed>], messages: &Messages) -> Self {
        let standard =
            services.iter().flat_map(|service| service.outputs.iter()).filter(|sender| sender.name() == output);
        let (mut internal, mut dropped_messages) = (Senders::none(), 0);
        if let Some(sender) = messages.sender(output) {
            internal.add(sender.senders(), sender.queued_messages(), sender.statistics().checkpoint());
            dropped_messages = sender.dropped();
        }
        let standard = standard.fold(Senders::none(), Senders::and);
        // It has nothing to send and never will: it is there for those who look for its lines.
        let lookup = Senders { available: 1, ..Senders::none() };
        Self { standard, lookup, internal, dropped_messages }
    }
}

impl Senders {
    fn none() -> Self {
        Self { available: 0, queued: 0, sent: Checkpoint::nothing() }
    }

    fn and(mut self, output: &Output) -> Self {
        self.add(output.senders(), output.queued_messages(), output.statistics().checkpoint());
        self
    }

    fn add(&mut self, senders: usize, queued: usize, sent: Checkpoint) {
        self.available += senders;
        self.queued += queued;
        self.sent = self.sent.and(&sent);
    }
}
