//! `wasi:logging`: the component's lines in the operator's log, under the name of its puller.
//!
//! Bound by hand, for a line that nobody wants to see stays where it is: the engine's generated bindings
//! would copy it before anybody could look at its level.

use tracing::Span;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, WasmStr};

use crate::bindings::wasi::logging::logging::Level;
use crate::call::CallState;
use crate::meter::Meter;

/// A line is cut after this many characters.
const MAX_CHARACTERS: usize = 8 * 1024;

/// Where a component's lines come from, for whoever reads the log: they are written in this span.
pub struct LogView(pub Span);

/// The lines that one call writes.
pub(crate) struct LogCall<'a> {
    pub(crate) view: &'a LogView,
    pub(crate) meter: &'a mut Meter,
}

/// Offers the interface.
///
/// # Errors
/// The linker has the interface already.
pub(crate) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    linker.instance("wasi:logging/logging@0.1.0-draft")?.func_wrap(
        "log",
        |mut store: StoreContextMut<'_, CallState>, (level, _context, message): (Level, WasmStr, WasmStr)| {
            if !is_wanted(level) {
                return Ok(());
            }
            store.data_mut().logging().meter.count_log_line()?;
            let message = message.to_str(&store)?;
            let end = message.char_indices().nth(MAX_CHARACTERS).map_or(message.len(), |(end, _)| end);
            // Whatever is in it: the log makes each of its lines harmless.
            let line = message[..end].to_owned();
            store.data_mut().logging().write(level, &line);
            Ok(())
        },
    )
}

fn is_wanted(level: Level) -> bool {
    !matches!(level, Level::Trace | Level::Debug) || tracing::enabled!(tracing::Level::DEBUG)
}

impl LogCall<'_> {
    fn write(&self, level: Level, line: &str) {
        self.view.0.in_scope(|| match level {
            Level::Trace | Level::Debug => tracing::debug!("{line}"),
            Level::Info => tracing::info!("{line}"),
            Level::Warn => tracing::warn!("{line}"),
            Level::Error | Level::Critical => tracing::error!("{line}"),
        });
    }
}
