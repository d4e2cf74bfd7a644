//! The output types `console` and `stdout`: events on standard output, as the lines that Devo would get.
//!
//! The lines are the wire's own, byte for byte, so that what is seen here can be compared with what a
//! receiver got, or piped to one.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;

use collector_model::Table;

use crate::error::{Cause, SendError};
use crate::event::Event;
use crate::frame::Framer;
use crate::statistics::Statistics;

/// About as many bytes go into one write.
const WRITE: usize = 64 * 1024;

/// Writes the events of one service to standard output. A flush confirms that the operating system has taken
/// them.
pub struct ConsoleHandle {
    name: Arc<str>,
    framer: Framer,
    console: Mutex<Console>,
    statistics: Statistics,
}

struct Console {
    out: Box<dyn AsyncWrite + Send + Unpin>,
    /// What went wrong since the last flush. Until then nothing succeeds, for a line in between is missing.
    failure: Option<SendError>,
    events: u64,
    bytes: usize,
}

impl ConsoleHandle {
    /// An output of that name in the configuration.
    pub fn new(name: &str, framer: Framer) -> Self {
        Self::to(Box::new(tokio::io::stdout()), name, framer)
    }

    fn to(out: Box<dyn AsyncWrite + Send + Unpin>, name: &str, framer: Framer) -> Self {
        let console = Mutex::new(Console { out, failure: None, events: 0, bytes: 0 });
        Self { name: name.into(), framer, console, statistics: Statistics::default() }
    }

    /// The output's name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether each of the events can be written as it is; otherwise says which one can't.
    pub fn check(&self, events: &[Event<impl AsRef<[u8]>>]) -> Result<(), SendError> {
        match events.iter().position(|event| !event.is_one_line()) {
            None => Ok(()),
            Some(index) => Err(SendError::EventRefused { output: Arc::clone(&self.name), index }),
        }
    }

    /// Writes the events, in their order.
    pub async fn send(&self, table: &Table, events: &[Event<impl AsRef<[u8]>>]) -> Result<(), SendError> {
        self.check(events)?;
        let mut console = self.console.lock().await;
        if let Some(failure) = &console.failure {
            return Err(failure.clone());
        }
        let _delivering = self.statistics.start_delivering();
        let mut lines = Vec::new();
        for (index, event) in events.iter().enumerate() {
            self.framer.append(&mut lines, table, event);
            // Each write goes through a thread of the runtime, which is dear for a single line.
            if lines.len() >= WRITE || index + 1 == events.len() {
                if let Err(error) = console.out.write_all(&lines).await {
                    return Err(console.failure.insert(self.failure(&error)).clone());
                }
                console.bytes += lines.len();
                lines.clear();
            }
        }
        console.events += events.len() as u64;
        Ok(())
    }

    /// Returns when the operating system has taken all lines so far, or with the reason why it has not.
    pub async fn flush(&self) -> Result<(), SendError> {
        let mut console = self.console.lock().await;
        let _delivering = self.statistics.start_delivering();
        let flushed = console.out.flush().await;
        let (events, bytes) = (std::mem::take(&mut console.events), std::mem::take(&mut console.bytes));
        if let Some(failure) = console.failure.take() {
            return Err(failure);
        }
        flushed.map_err(|error| self.failure(&error))?;
        self.statistics.add_confirmed(events, bytes);
        Ok(())
    }

    /// Forgets failures and counts since the last flush. Lines that are written stay written.
    pub async fn discard(&self) {
        let mut console = self.console.lock().await;
        console.failure = None;
        console.events = 0;
        console.bytes = 0;
    }

    /// Totals of what was confirmed.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn failure(&self, error: &io::Error) -> SendError {
        let cause = match error.kind() {
            io::ErrorKind::BrokenPipe => Cause::PipeClosed,
            io::ErrorKind::StorageFull => Cause::DiskFull,
            _ => Cause::Other { reason: error.to_string() },
        };
        SendError::Unconfirmed { output: Arc::clone(&self.name), address: "standard output".into(), cause }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chrono::DateTime;
    use tokio::io::AsyncReadExt;

    use super::*;

    fn event(body: &'static str) -> Event {
        Event { time: DateTime::UNIX_EPOCH, body: Bytes::from_static(body.as_bytes()) }
    }

    fn table() -> Table {
        "my.app.t".parse().unwrap()
    }

    #[tokio::test]
    async fn the_console_gets_the_lines_of_the_wire() {
        let (out, mut seen) = tokio::io::duplex(1024);
        let console = ConsoleHandle::to(Box::new(out), "screen", Framer::new("h"));
        console.send(&table(), &[event("{\"a\":1}"), event("{}")]).await.unwrap();
        assert_eq!(console.statistics().messages(), 0);
        console.flush().await.unwrap();
        assert_eq!(console.statistics().messages(), 2);
        drop(console);
        let mut lines = String::new();
        seen.read_to_string(&mut lines).await.unwrap();
        assert_eq!(
            lines,
            "<14>1970-01-01 00:00:00.000 h my.app.t: {\"a\":1}\n<14>1970-01-01 00:00:00.000 h my.app.t: {}\n"
        );
    }

    #[tokio::test]
    async fn lines_into_a_closed_pipe_are_not_confirmed() {
        let (out, seen) = tokio::io::duplex(1024);
        drop(seen);
        let console = ConsoleHandle::to(Box::new(out), "screen", Framer::new("h"));
        let sent = console.send(&table(), &[event("{}")]).await.unwrap_err();
        assert_eq!(
            sent.to_string(),
            "output \"screen\" at standard output: the events are not confirmed: nobody reads the pipe any more; \
             restart the program that reads the collector's standard output"
        );
        assert_eq!(console.flush().await.unwrap_err(), sent);
        assert_eq!(console.statistics().messages(), 0);
    }

    #[tokio::test]
    async fn a_full_disk_is_told_as_such() {
        let full = tokio::fs::File::options().write(true).open("/dev/full").await.unwrap();
        let console = ConsoleHandle::to(Box::new(full), "screen", Framer::new("h"));
        let _ = console.send(&table(), &[event("{}")]).await;
        let error = console.flush().await.unwrap_err();
        assert!(matches!(error, SendError::Unconfirmed { cause: Cause::DiskFull, .. }), "{error}");
    }
}
