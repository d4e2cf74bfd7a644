//! `devo:collector/output`: events to the tenant's outputs, for the tenant's table alone.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use wasmtime::component::HasData;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;

use crate::config::Limit;
use crate::sandbox::devo::collector::output::{Error, Event as Lifted, Host};
use crate::senders::{Event, Outputs, SendError, Table};
use crate::status::Figures;

/// Marks the view in the linker.
pub struct Output;

impl HasData for Output {
    type Data<'a> = OutputView<'a>;
}

/// Where the component's events go.
pub struct OutputView<'a> {
    pub outputs: &'a Outputs,
    pub table: &'a Table,
    pub figures: &'a Figures,
}

impl Host for OutputView<'_> {
    async fn send(&mut self, table: String, events: Vec<Lifted>) -> wasmtime::Result<Result<(), Error>> {
        if table != self.table.as_str() {
            return Ok(Err(Error::TableRefused(table)));
        }
        let events: Vec<Event> =
            events.into_iter().map(|event| Event { time: time(event.time), body: Bytes::from(event.body) }).collect();
        let handed_over = events.iter().map(|event| event.body.len() as u64).sum();
        self.figures.note_use(Limit::HostCall, handed_over);
        let sent = self.outputs.send(self.table, &events).await.map_err(error);
        let queued = self.outputs.iter().map(|output| output.queued_in_bytes()).max().unwrap_or_default();
        self.figures.note_use(Limit::Queue, queued as u64);
        Ok(sent)
    }

    async fn flush(&mut self) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.outputs.flush().await.map_err(error))
    }
}

fn time(time: Datetime) -> DateTime<Utc> {
    i64::try_from(time.seconds)
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, time.nanoseconds.min(999_999_999)))
        .unwrap_or(DateTime::UNIX_EPOCH)
}

fn error(error: SendError) -> Error {
    match error {
        SendError::EventRefused { index, .. } => Error::EventRefused(u32::try_from(index).unwrap_or(u32::MAX)),
        SendError::NotPutAside { .. } | SendError::Unconfirmed { .. } | SendError::Discarded { .. } => {
            Error::Unconfirmed(error.to_string())
        }
    }
}
