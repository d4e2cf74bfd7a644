//! The sender services of an output, under the original's names of their threads.

use std::fmt;

use collector_config::{OutputPlan, Receiver};
use collector_delivery::Transport;
use tracing::info;

use super::{MAIN_THREAD, Process, span};

/// What a sender is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderService {
    /// Events.
    Standard,
    /// Lookup tables. There are none in this collector, and Devo takes none any more; the service is there
    /// for those who look for its lines.
    Lookup,
    /// The collector's own messages and metrics.
    Internal,
}

impl SenderService {
    /// In the order in which the original starts them.
    pub const ALL: [Self; 3] = [Self::Standard, Self::Lookup, Self::Internal];
}

impl fmt::Display for SenderService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standard => "standard_senders",
            Self::Lookup => "lookup_senders",
            Self::Internal => "internal_senders",
        })
    }
}

/// The names of an output's threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderNames {
    output: String,
    family: &'static str,
    senders: usize,
    period_in_seconds: u64,
}

impl SenderNames {
    /// Those of this output.
    pub fn new(output: &OutputPlan) -> Self {
        let family = match &output.receiver {
            Receiver::Devo(settings) => match settings.transport {
                Transport::Tls(_) => "Devo",
                Transport::Tcp => "Syslog",
            },
            Receiver::Console => "Console",
        };
        let period_in_seconds = output.statistics_period.as_secs();
        Self { output: output.name.to_string(), family, senders: output.senders(), period_in_seconds }
    }

    /// The thread of one connection.
    pub fn sender(&self, service: SenderService, number: usize) -> String {
        format!("{}Sender({service},{}_sender_{number})", self.family, self.family.to_lowercase())
    }

    /// The thread that reports.
    pub fn monitor(&self, service: SenderService) -> String {
        format!("{}SenderManagerMonitor({service},{})", self.family, self.output)
    }

    fn manager(&self, service: SenderService) -> String {
        format!("{}SenderManager({service},manager,{})", self.family, self.output)
    }

    fn senders(&self, service: SenderService) -> impl Iterator<Item = String> {
        let count = if service == SenderService::Standard { self.senders } else { 1 };
        (0..count).map(move |number| self.sender(service, number))
    }

    /// All of the output's threads.
    pub fn all(&self) -> impl Iterator<Item = String> {
        SenderService::ALL
            .into_iter()
            .flat_map(|service| self.senders(service).chain([self.monitor(service), self.manager(service)]))
    }

    /// Says in the original's words that the output starts.
    pub fn announce(&self) {
        span(Process::Output, MAIN_THREAD).in_scope(|| {
            for service in SenderService::ALL {
                self.senders(service).for_each(|sender| info!("{sender} -> Starting thread"));
                let (monitor, period) = (self.monitor(service), self.period_in_seconds);
                info!("{monitor} -> Starting thread (every {period} seconds)");
                info!("{} -> Starting thread", self.manager(service));
            }
        });
    }
}
