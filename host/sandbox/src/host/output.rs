//! `devo:collector/output`: events to the tenant's outputs, for the tenant's table alone, and dead letters to
//! where they are kept.
//!
//! Bound by hand, for the events stay where they are: what the engine's generated bindings hand over is a
//! copy of each one, and an output makes its own anyway.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chrono::{DateTime, Utc};
use collector_delivery::{Event, Output, Outputs, RecordLetter, RecordLetters, SendError};
use collector_model::metrics::ServiceMetrics;
use collector_model::{CallLimit, Limit, Table};
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, WasmList};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;

use crate::bindings::devo::collector::output::Error;
use crate::budget::{CallMemory, NoMemory};

/// What an event takes beside its body: its frame, and where it is.
const OVERHEAD_IN_BYTES: usize = 128;

/// Where a component's events go.
pub struct OutputView {
    /// All of them get each event.
    pub outputs: Arc<Outputs>,
    /// Where records go that can't become events.
    pub dead_letters: RecordLetters,
    /// The only table that may be written to.
    pub table: Table,
}

/// What one call sends.
pub struct OutputCall<'a> {
    /// Where to.
    pub view: &'a OutputView,
    /// Whether the log has heard of dead letters in this call: a component must not be able to flood it.
    pub letters_told: &'a AtomicBool,
    /// Where it is counted.
    pub metrics: &'a ServiceMetrics,
    /// What the call has of the memory of the process.
    pub memory: &'a CallMemory,
}

/// An event whose body is still in the component's memory.
#[derive(ComponentType, Lift)]
#[component(record)]
struct EventInGuestMemory {
    time: Datetime,
    body: WasmList<u8>,
}

/// A record that can't become an event, whose content is still in the component's memory.
#[derive(ComponentType, Lift)]
#[component(record)]
struct LetterInGuestMemory {
    reason: String,
    content: WasmList<u8>,
}

/// Offers the interface. `call` finds in the store what it needs.
///
/// # Errors
/// The linker has the interface already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    call: fn(&T) -> OutputCall<'_>,
) -> wasmtime::Result<()> {
    let mut output = linker.instance("devo:collector/output@2.0.0")?;
    output.func_wrap_async(
        "send",
        move |mut store: StoreContextMut<'_, T>, (table, events): (String, WasmList<EventInGuestMemory>)| {
            Box::new(async move {
                // All of their bytes count towards what may be handed over at once.
                let handed: Vec<EventInGuestMemory> = events.iter(&mut store)?.collect::<Result<_, _>>()?;
                // The component waits for the answer and can't touch its memory meanwhile.
                let event =
                    |event: &EventInGuestMemory| Event { time: time(event.time), body: event.body.as_le_slice(&store) };
                let events: Vec<Event<&[u8]>> = handed.iter().map(event).collect();
                let call = call(store.data());
                call.make_room(&events)?;
                Ok((call.send(&table, &events).await,))
            })
        },
    )?;
    output.func_wrap_async(
        "add-dead-letters",
        move |mut store: StoreContextMut<'_, T>, (table, letters): (String, WasmList<LetterInGuestMemory>)| {
            Box::new(async move {
                let handed: Vec<LetterInGuestMemory> = letters.iter(&mut store)?.collect::<Result<_, _>>()?;
                let bytes: usize = handed.iter().map(|letter| letter.content.as_le_slice(&store).len()).sum();
                // As it is, and as a line.
                let _held = call(store.data()).memory.hold(2 * bytes as u64)?;
                let letter = |LetterInGuestMemory { reason, content }| RecordLetter {
                    reason,
                    content: content.as_le_slice(&store).to_vec(),
                };
                let letters: Vec<_> = handed.into_iter().map(letter).collect();
                let call = call(store.data());
                Ok((call.add_dead_letters(&table, &letters).await,))
            })
        },
    )?;
    output.func_wrap_async("flush", move |store: StoreContextMut<'_, T>, (): ()| {
        Box::new(async move {
            let call = call(store.data());
            let flushed = call.view.outputs.flush().await.map_err(error);
            call.memory.set_queued(call.queued())?;
            Ok((flushed,))
        })
    })
}

impl OutputCall<'_> {
    fn check(&self, table: &str) -> Result<(), Error> {
        if table == self.view.table.as_str() { Ok(()) } else { Err(Error::TableRefused(table.to_owned())) }
    }

    async fn add_dead_letters(&self, table: &str, letters: &[RecordLetter]) -> Result<(), Error> {
        self.check(table)?;
        let handed_over = letters.iter().map(|letter| (letter.reason.len() + letter.content.len()) as u64).sum();
        self.metrics.note_use(CallLimit::HostCall, handed_over);
        self.view.dead_letters.add(&self.view.table, letters, self.letters_told).await.map_err(error)
    }

    /// Each output has its own copy of an event until it is acknowledged, as far as its queue goes.
    fn make_room(&self, events: &[Event<&[u8]>]) -> Result<(), NoMemory> {
        let bytes: usize = events.iter().map(|event| event.body.len() + OVERHEAD_IN_BYTES).sum();
        let after = |output: &Output| (output.queued_in_bytes() + bytes).min(output.queue_in_bytes()) as u64;
        self.memory.set_queued(self.view.outputs.iter().map(after).sum())
    }

    fn queued(&self) -> u64 {
        self.view.outputs.iter().map(|output| output.queued_in_bytes() as u64).sum()
    }

    async fn send(&self, table: &str, events: &[Event<&[u8]>]) -> Result<(), Error> {
        self.check(table)?;
        let handed_over = events.iter().map(|event| event.body.len() as u64).sum();
        self.metrics.note_use(CallLimit::HostCall, handed_over);
        let sent = self.view.outputs.send(&self.view.table, events).await.map_err(error);
        let queued = self.view.outputs.iter().map(|output| output.queued_in_bytes()).max().unwrap_or_default();
        self.metrics.note_use(Limit::HoldsBackEvents, queued as u64);
        sent
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
        SendError::NotPutAside { .. }
        | SendError::RecordNotKept { .. }
        | SendError::Unconfirmed { .. }
        | SendError::Discarded { .. } => Error::Unconfirmed(error.to_string()),
    }
}
