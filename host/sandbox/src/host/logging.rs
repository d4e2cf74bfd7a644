//! `wasi:logging`: the component's lines in the operator's log, under the name of its puller.

use tracing::Span;
use wasmtime::component::HasData;

use crate::bindings::wasi::logging::logging::{Host, Level};
use crate::meter::Meter;

/// A line is cut after this many characters.
const MAX_CHARACTERS: usize = 8 * 1024;

/// Where a component's lines come from, for whoever reads the log: they are written in this span.
pub struct LogView(pub Span);

/// Marks the interface in the linker.
pub(crate) struct Logging;

impl HasData for Logging {
    type Data<'a> = LogCall<'a>;
}

/// The lines that one call writes.
pub(crate) struct LogCall<'a> {
    pub(crate) view: &'a LogView,
    pub(crate) meter: &'a mut Meter,
}

impl Host for LogCall<'_> {
    fn log(&mut self, level: Level, _context: String, message: String) -> wasmtime::Result<()> {
        if matches!(level, Level::Trace | Level::Debug) && !tracing::enabled!(tracing::Level::DEBUG) {
            return Ok(());
        }
        self.meter.count_log_line()?;
        let line = one_line(&message);
        self.view.0.in_scope(|| match level {
            Level::Trace | Level::Debug => tracing::debug!("{line}"),
            Level::Info => tracing::info!("{line}"),
            Level::Warn => tracing::warn!("{line}"),
            Level::Error | Level::Critical => tracing::error!("{line}"),
        });
        Ok(())
    }
}

/// A component must not be able to write a line that looks like somebody else's.
fn one_line(message: &str) -> String {
    message.chars().take(MAX_CHARACTERS).map(|character| if character.is_control() { ' ' } else { character }).collect()
}
