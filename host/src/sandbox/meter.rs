//! Counts what one call uses, and ends it when that is too much.

use std::time::Duration;

use collector_model::{Limit, Limits};
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};

use super::breach::{Breach, limit_behind};
use super::cycle::Cycle;
use super::slow_lane::Long;

/// Memories, tables and instances that a component may have. Each takes address space even when it is empty.
pub(super) const MAX_ITEMS: usize = 100;

/// What a call has used so far.
pub struct Meter {
    limits: Limits,
    memory_in_bytes: usize,
    table_elements: usize,
    /// From one look at a computing component to the next.
    tick: Duration,
    ticks: u32,
    log_lines: u32,
    /// The first limit that was reached.
    reached: Option<Limit>,
}

impl Meter {
    pub(super) fn new(limits: Limits, tick: Duration) -> Self {
        Self { limits, memory_in_bytes: 0, table_elements: 0, tick, ticks: 0, log_lines: 0, reached: None }
    }

    /// Counts a line of the log.
    ///
    /// # Errors
    /// A trap where there have been too many.
    pub fn count_log_line(&mut self) -> wasmtime::Result<()> {
        self.log_lines += 1;
        if self.log_lines > self.limits.log_lines {
            self.reach(Limit::LogLines);
            wasmtime::bail!("too many lines");
        }
        Ok(())
    }

    /// Notes that a limit was reached. The component is interrupted when it next computes.
    pub(super) fn reach(&mut self, limit: Limit) {
        self.reached.get_or_insert(limit);
    }

    /// What the call has used of what is counted here.
    pub(super) fn used(&self) -> [(Limit, u64); 4] {
        [
            (Limit::Memory, self.memory_in_bytes as u64),
            (Limit::Tables, self.table_elements as u64),
            (Limit::Cpu, u64::try_from(self.computed().as_millis()).unwrap_or(u64::MAX)),
            (Limit::LogLines, self.log_lines.into()),
        ]
    }

    fn computed(&self) -> Duration {
        self.tick * self.ticks
    }

    /// The limit that was reached, if one was. A component that is refused something may end in good order all the same.
    pub(super) fn breach(&self) -> Option<Breach> {
        self.reached.map(|limit| Breach::Limit { limit, allowed: self.limits })
    }

    /// Why a call failed with this error: a component that gets no memory, for example, ends by itself, with a trap.
    pub(super) fn breach_behind(&mut self, error: &wasmtime::Error) -> Breach {
        if let Some(limit) = limit_behind(error) {
            self.reach(limit);
        }
        self.breach().unwrap_or_else(|| Breach::Trap(error.root_cause().to_string()))
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let grown = self.memory_in_bytes.saturating_add(desired.saturating_sub(current));
        if grown > self.limits.memory_in_bytes {
            self.reach(Limit::Memory);
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
            self.reach(Limit::Tables);
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
const LONG: Duration = Duration::from_millis(10);

/// Puts the limits on a store. A component that computes on makes room for others at every tick, is told to be `long`
/// when it is, and is ended when its time is used up or another limit was reached.
pub(super) fn apply(limits: &Limits, long: Long, store: &mut Store<Cycle>) {
    store.set_hostcall_fuel(limits.host_call_in_bytes);
    store.set_max_component_handles(limits.handles);
    store.limiter(|cycle| &mut cycle.meter);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |mut context| {
        let cycle = context.data_mut();
        cycle.meter.ticks += 1;
        if cycle.meter.computed() > cycle.meter.limits.cpu {
            cycle.meter.reach(Limit::Cpu);
        }
        if cycle.breach().is_some() {
            return Ok(UpdateDeadline::Interrupt);
        }
        if cycle.meter.computed() > LONG {
            long.set();
        }
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
}
