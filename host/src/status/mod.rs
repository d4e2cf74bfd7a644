//! What the collector says about itself: which threads there are, and now and then its memory.

mod memory;
mod threads;

use std::convert::Infallible;
use std::time::Duration;

use tracing::info;

use crate::config::Identity;
use crate::log::{self, Process};
use memory::Memory;
use threads::{SENDER_SERVICES, Threads};

/// How often the original reports.
const REPORT_EVERY: Duration = Duration::from_secs(300);

/// What there is to report on.
pub struct Status {
    threads: Threads,
    outputs: Vec<String>,
}

impl Status {
    /// Reports on these services, and on the outputs with these names.
    pub fn new(services: Vec<Identity>, outputs: Vec<String>) -> Self {
        Self { threads: Threads::new(&services, &outputs), outputs }
    }

    /// Says in the original's words that the outputs start, and what was there at the start.
    pub fn announce(&self) {
        log::span(Process::Output, log::MAIN_THREAD).in_scope(|| {
            for output in &self.outputs {
                for service in SENDER_SERVICES {
                    info!("DevoSender({service},devo_sender_0) -> Starting thread");
                    info!(
                        "DevoSenderManagerMonitor({service},{output}) -> Starting thread (every {} seconds)",
                        REPORT_EVERY.as_secs()
                    );
                    info!("DevoSenderManager({service},manager,{output}) -> Starting thread");
                }
            }
        });
        self.report_memory();
    }

    /// Reports for ever.
    pub async fn report(&self) -> Infallible {
        loop {
            tokio::time::sleep(REPORT_EVERY).await;
            self.report_memory();
        }
    }

    fn report_memory(&self) {
        log::span(Process::Input, log::MAIN_THREAD).in_scope(|| {
            info!("{}", Memory::give_back());
            info!("{}", self.threads.line(Memory::now()));
        });
    }
}
