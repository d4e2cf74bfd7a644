//! Counts what one call uses, and ends it when that is too much.

use std::time::Duration;

use collector_model::{CallLimit, Limits};
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};

use crate::budget::{CallMemory, NoMemory};
use crate::call::CallState;
use crate::stopwatch::Stopwatch;
use crate::terminated::{Terminated, limit_behind};

/// Memories, tables and instances that a component may have. Each takes address space even when it is empty.
pub(crate) const MAX_ITEMS: usize = 100;

/// What a call has used so far.
pub(crate) struct Meter {
    limits: Limits,
    memory_in_bytes: usize,
    table_elements: usize,
    computed: Stopwatch,
    log_lines: u32,
    /// What the call has of the memory of the process.
    memory: CallMemory,
    /// Why the call is ended: what came first.
    exceeded: Option<Exceeded>,
}

/// What a call has used too much of.
#[derive(Clone, Copy)]
pub(crate) enum Exceeded {
    /// A limit of its own.
    Limit(CallLimit),
    /// The memory of the process.
    Budget,
}

impl Exceeded {
    /// What that makes of the call, which has these limits.
    pub(crate) fn terminated(self, allowed: Limits) -> Terminated {
        match self {
            Self::Limit(limit) => Terminated::LimitExceeded { limit, allowed },
            Self::Budget => Terminated::NoMemory,
        }
    }
}

/// What an element of a table takes.
const TABLE_ELEMENT_IN_BYTES: u64 = 16;

impl Meter {
    pub(crate) fn new(limits: Limits, computed: Stopwatch, memory: CallMemory) -> Self {
        Self { limits, memory_in_bytes: 0, table_elements: 0, computed, log_lines: 0, memory, exceeded: None }
    }

    /// Counts a line of the log.
    ///
    /// # Errors
    /// A trap where there have been too many.
    pub(crate) fn count_log_line(&mut self) -> wasmtime::Result<()> {
        self.log_lines += 1;
        if self.log_lines > self.limits.log_lines {
            self.exceed(CallLimit::LogLines);
            wasmtime::bail!("too many lines");
        }
        Ok(())
    }

    /// Notes that a limit was exceeded. The component is interrupted when it next computes.
    pub(crate) fn exceed(&mut self, limit: CallLimit) {
        self.exceeded.get_or_insert(Exceeded::Limit(limit));
    }

    /// Notes that the process had no memory left for the call. It is interrupted likewise.
    pub(crate) fn exceed_budget(&mut self, _: NoMemory) {
        self.exceeded.get_or_insert(Exceeded::Budget);
    }

    /// Takes memory of the process for so many bytes more. Whether there is some.
    fn take(&mut self, bytes: u64) -> bool {
        let taken = self.memory.grow(bytes);
        taken.map_err(|none| self.exceed_budget(none)).is_ok()
    }

    /// What the call has used of what is counted here.
    pub(crate) fn used(&self) -> [(CallLimit, u64); 4] {
        [
            (CallLimit::Memory, self.memory_in_bytes as u64),
            (CallLimit::Tables, self.table_elements as u64),
            (CallLimit::Cpu, u64::try_from(self.computed.total().as_millis()).unwrap_or(u64::MAX)),
            (CallLimit::LogLines, self.log_lines.into()),
        ]
    }

    /// Whether a limit was exceeded, and which. A component that is refused something may end in good order
    /// all the same.
    pub(crate) fn terminated(&self) -> Option<Terminated> {
        self.exceeded.map(|exceeded| exceeded.terminated(self.limits))
    }

    /// Why a call failed with this error: a component that gets no memory, for example, ends by itself, with
    /// a trap.
    pub(crate) fn terminated_by(&mut self, error: &wasmtime::Error) -> Terminated {
        if let Some(limit) = limit_behind(error) {
            self.exceed(limit);
        }
        if let Some(none) = error.downcast_ref() {
            self.exceed_budget(*none);
        }
        self.terminated().unwrap_or_else(|| Terminated::Trap(error.root_cause().to_string()))
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let grown = self.memory_in_bytes.saturating_add(desired.saturating_sub(current));
        if grown > self.limits.memory_in_bytes {
            self.exceed(CallLimit::Memory);
            return Ok(false);
        }
        let more = (grown - self.memory_in_bytes) as u64;
        let allowed = maximum.is_none_or(|maximum| desired <= maximum) && self.take(more);
        if allowed {
            self.memory_in_bytes = grown;
        }
        Ok(allowed)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let grown = self.table_elements.saturating_add(desired.saturating_sub(current));
        if grown > self.limits.table_elements {
            self.exceed(CallLimit::Tables);
            return Ok(false);
        }
        let more = (grown - self.table_elements) as u64 * TABLE_ELEMENT_IN_BYTES;
        let allowed = maximum.is_none_or(|maximum| desired <= maximum) && self.take(more);
        if allowed {
            self.table_elements = grown;
        }
        Ok(allowed)
    }

    fn instances(&self) -> usize {
        MAX_ITEMS
    }

    fn tables(&self) -> usize {
        MAX_ITEMS
    }

    fn memories(&self) -> usize {
        MAX_ITEMS
    }
}

/// A call that has computed for this time is a long one. Ordinary ones take a few milliseconds.
pub(crate) const CPU_BOUND: Duration = Duration::from_millis(10);

/// Puts the limits on a store. A component that computes on gives way to others at every tick, and is ended
/// when its time is used up or another limit was exceeded.
pub(crate) fn apply(limits: &Limits, store: &mut Store<CallState>) {
    store.set_hostcall_fuel(limits.host_call_in_bytes);
    store.set_max_component_handles(limits.handles);
    store.limiter(|call| &mut call.meter);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |mut context| {
        let call = context.data_mut();
        if call.meter.computed.now() > call.meter.limits.cpu {
            call.meter.exceed(CallLimit::Cpu);
        }
        if call.terminated().is_some() {
            return Ok(UpdateDeadline::Interrupt);
        }
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
}
