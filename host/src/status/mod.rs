//! What the collector says about itself every now and then: the process about its memory and what runs in it, each tenant
//! about what was sent.

mod figures;
mod memory;
mod monitor;
mod senders;
mod threads;

use std::convert::Infallible;
use std::time::Duration;

use tracing::info;

use crate::log::{self, Process};
pub use figures::{Count, Figures};
pub use memory::Memory;
pub use monitor::Monitors;
pub use senders::{SenderNames, SenderService};
pub use threads::Threads;

/// How often the original reports on its memory.
const REPORT_EVERY: Duration = Duration::from_secs(300);

/// The report of the process on itself: its memory, and a line of its own about what runs in it.
pub struct Status<L> {
    line: L,
}

impl<L: Fn(Memory) -> String> Status<L> {
    /// Reports for the first time, now. `line` says what runs.
    pub fn start(line: L) -> Self {
        let status = Self { line };
        status.write();
        status
    }

    /// Reports for ever.
    pub async fn report(&self) -> Infallible {
        loop {
            tokio::time::sleep(REPORT_EVERY).await;
            self.write();
        }
    }

    fn write(&self) {
        log::span(Process::Input, log::MAIN_THREAD).in_scope(|| {
            info!("{}", Memory::give_back());
            info!("{}", (self.line)(Memory::now()));
        });
    }
}
