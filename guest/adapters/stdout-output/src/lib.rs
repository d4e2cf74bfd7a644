//! The output on standard output: an event a line, its JSON alone, for whoever reads there and for trying
//! things out. Dead letters go to the log, for there is no file and they are no events.
//!
//! A flush confirms that the platform has taken the lines, no more. The first line that fails makes
//! everything up to the next flush fail, so that what is missing is sent again.
#![cfg(target_arch = "wasm32")]

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package devo:adapters;
            world stdout-output {
                import wasi:cli/stdout@0.2.0;
                import wasi:logging/logging@0.1.0-draft;
                export devo:collector/output@2.0.0;
            }
        ",
        generate_all,
    });
}

use std::cell::Cell;

use bindings::exports::devo::collector::output::{DeadLetter, Error, Event, Guest};
use bindings::wasi::cli::stdout::get_stdout;
use bindings::wasi::logging::logging::{self, Level};

/// What a stream takes in one blocking call.
const WRITE_IN_BYTES: usize = 4096;

thread_local! {
    static FAILED: Cell<bool> = const { Cell::new(false) };
}

struct Output;

bindings::export!(Output with_types_in bindings);

impl Guest for Output {
    fn send(_table: String, events: Vec<Event>) -> Result<(), Error> {
        if let Some(index) = events.iter().position(|event| event.body.contains(&b'\n')) {
            return Err(Error::EventRefused(u32::try_from(index).unwrap_or(u32::MAX)));
        }
        let stream = get_stdout();
        let mut lines = Vec::with_capacity(events.iter().map(|event| event.body.len() + 1).sum());
        for event in events {
            lines.extend_from_slice(&event.body);
            lines.push(b'\n');
        }
        for chunk in lines.chunks(WRITE_IN_BYTES) {
            if stream.blocking_write_and_flush(chunk).is_err() {
                FAILED.set(true);
                return Err(unconfirmed());
            }
        }
        Ok(())
    }

    fn add_dead_letters(table: String, letters: Vec<DeadLetter>) -> Result<(), Error> {
        for letter in letters {
            logging::log(Level::Warn, "", &dead_letter::line(&table, &letter.reason, &letter.content));
        }
        Ok(())
    }

    fn flush() -> Result<(), Error> {
        if FAILED.take() || get_stdout().blocking_flush().is_err() { Err(unconfirmed()) } else { Ok(()) }
    }
}

fn unconfirmed() -> Error {
    Error::Unconfirmed("standard output is closed.".to_owned())
}
