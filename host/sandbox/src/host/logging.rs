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
        let end = message.char_indices().nth(MAX_CHARACTERS).map_or(message.len(), |(end, _)| end);
        // Whatever is in it: the log makes each of its lines harmless.
        let line = &message[..end];
        self.view.0.in_scope(|| match level {
            Level::Trace | Level::Debug => tracing::debug!("{line}"),
            Level::Info => tracing::info!("{line}"),
            Level::Warn => tracing::warn!("{line}"),
            Level::Error | Level::Critical => tracing::error!("{line}"),
        });
        Ok(())
    }
}
