//! Counts what one call uses, and ends it when that is too much.

use std::time::Duration;

use collector_model::{CallLimit, Limits};
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};

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
    /// The first limit that was exceeded.
    exceeded: Option<CallLimit>,
}

impl Meter {
    pub(crate) fn new(limits: Limits, computed: Stopwatch) -> Self {
        Self { limits, memory_in_bytes: 0, table_elements: 0, computed, log_lines: 0, exceeded: None }
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
        self.exceeded.get_or_insert(limit);
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
        self.exceeded.map(|limit| Terminated::LimitExceeded { limit, allowed: self.limits })
    }

    /// Why a call failed with this error: a component that gets no memory, for example, ends by itself, with
    /// a trap.
    pub(crate) fn terminated_by(&mut self, error: &wasmtime::Error) -> Terminated {
        if let Some(limit) = limit_behind(error) {
            self.exceed(limit);
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
        let allowed = maximum.is_none_or(|maximum| desired <= maximum);
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
        let allowed = maximum.is_none_or(|maximum| desired <= maximum);
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
