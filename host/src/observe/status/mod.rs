//! What the collector says about itself every now and then: the process about its memory and what runs in it,
//! each tenant about what was sent.

pub mod allocator;
mod monitor;

use std::convert::Infallible;
use std::time::Duration;

use collector_model::metrics::Memory;
use tracing::info;

use crate::devo_compat::{MAIN_THREAD, Process, span};
use allocator::Release;
pub use monitor::Monitors;

/// How often unused memory is returned to the system: what the pulls of a thousand tenants leave behind in a
/// minute, for example, is a tenth of all.
const TRIM_EVERY: Duration = Duration::from_secs(15);

/// How often the original reports on its memory, in times that memory was returned.
const REPORT_EVERY: usize = 20;

/// The report of the process on itself: its memory, and a line of its own about what runs in it.
pub struct Status<L> {
    line: L,
}

impl<L: Fn(Memory) -> String> Status<L> {
    /// Reports for the first time, now. `line` says what runs.
    pub fn start(line: L) -> Self {
        let status = Self { line };
        status.write(allocator::trim());
        status
    }

    /// Reports forever.
    pub async fn report(&self) -> Infallible {
        for times in (1..=REPORT_EVERY).cycle() {
            tokio::time::sleep(TRIM_EVERY).await;
            // It may take some milliseconds. Where it fails, the runtime is ending.
            if let (Ok(release), true) = (tokio::task::spawn_blocking(allocator::trim).await, times == REPORT_EVERY) {
                self.write(release);
            }
        }
        std::future::pending().await
    }

    fn write(&self, release: Release) {
        span(Process::Input, MAIN_THREAD).in_scope(|| {
            info!("{release}");
            info!("{}", (self.line)(Memory::now()));
        });
    }
}
