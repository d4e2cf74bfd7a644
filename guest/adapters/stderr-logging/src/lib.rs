//! The log on standard error, one line a message, for platforms without `wasi:logging`.
#![cfg(target_arch = "wasm32")]

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package devo:adapters;
            world stderr-logging {
                import wasi:cli/stderr@0.2.0;
                export wasi:logging/logging@0.1.0-draft;
            }
        ",
        generate_all,
    });
}

use bindings::exports::wasi::logging::logging::{Guest, Level};
use bindings::wasi::cli::stderr::get_stderr;

/// What a stream takes in one blocking call.
const WRITE_IN_BYTES: usize = 4096;

struct Logging;

bindings::export!(Logging with_types_in bindings);

impl Guest for Logging {
    fn log(level: Level, context: String, message: String) {
        let level = match level {
            Level::Trace => "TRACE",
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warn => "WARNING",
            Level::Error => "ERROR",
            Level::Critical => "CRITICAL",
        };
        let space = if context.is_empty() { "" } else { " " };
        let line = format!("{level}{space}{context} {message}\n");
        let stream = get_stderr();
        for chunk in line.as_bytes().chunks(WRITE_IN_BYTES) {
            // There is nowhere left to complain.
            if stream.blocking_write_and_flush(chunk).is_err() {
                break;
            }
        }
    }
}
