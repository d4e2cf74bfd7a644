//! What the collector says about itself: which threads there are, and every now and then its memory and what was sent.

mod memory;
mod monitor;
mod senders;
mod threads;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::OutputPlan;
use crate::internal::Messages;
use crate::log::{self, Process};
use crate::sandbox::Grant;
use crate::service::Service;
use memory::Memory;
use monitor::Monitor;
pub use senders::{SenderNames, SenderService};
use threads::Threads;

/// How often the original reports on its memory.
const REPORT_EVERY: Duration = Duration::from_secs(300);

/// What there is to report on.
pub struct Status {
    threads: Threads,
    monitors: JoinSet<()>,
    end: CancellationToken,
}

impl Status {
    /// Reports on these services and outputs from now on. Must be called within a tokio runtime.
    pub fn start(services: &[Service], outputs: &[OutputPlan], messages: &Messages) -> Self {
        let grants: Vec<Arc<Grant>> = services.iter().map(|service| service.grant().clone()).collect();
        let identities: Vec<_> = services.iter().map(|service| service.identity().clone()).collect();
        let names: Vec<_> = outputs.iter().map(SenderNames::new).collect();
        let threads = Threads::new(&identities, &names);
        names.iter().for_each(SenderNames::announce);
        let end = CancellationToken::new();
        let monitors = outputs
            .iter()
            .map(|output| Monitor::new(output, grants.clone(), messages.clone()).run(end.clone()))
            .collect();
        let status = Self { threads, monitors, end };
        status.report_memory();
        status
    }

    /// Reports on the memory for ever.
    pub async fn report(&self) -> Infallible {
        loop {
            tokio::time::sleep(REPORT_EVERY).await;
            self.report_memory();
        }
    }

    /// Reports for the last time what was sent.
    pub async fn end(self) {
        self.end.cancel();
        self.monitors.join_all().await;
    }

    fn report_memory(&self) {
        log::span(Process::Input, log::MAIN_THREAD).in_scope(|| {
            info!("{}", Memory::give_back());
            info!("{}", self.threads.line(Memory::now()));
        });
    }
}
