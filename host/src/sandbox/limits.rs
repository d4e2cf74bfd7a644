//! What one call may use, and the word for what it used too much of.

use std::time::Duration;

use thiserror::Error;
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};

use super::cycle::Cycle;
use super::ticker::TICK;
use crate::config::Limits;

/// Elements of all tables together. A collector has a few hundred; a table's memory counts in no linear memory.
const MAX_TABLE_ELEMENTS: usize = 100_000;

/// A call that the host ended. It costs the tenant this call and nothing else.
#[derive(Debug, Error)]
pub enum Breach {
    #[error("the component used more than {0} bytes of memory (limits.memory_in_bytes)")]
    Memory(usize),
    #[error("the component computed for more than {0:?} (limits.cpu_in_milliseconds)")]
    Cpu(Duration),
    #[error("the call took longer than {0:?} (limits.wall_in_seconds)")]
    Wall(Duration),
    #[error("the component failed: {0}")]
    Trap(String),
}

/// Counts what a call uses.
pub struct Meter {
    limits: Limits,
    memory_in_bytes: usize,
    memory_refused: bool,
    ticks: u32,
    table_elements: usize,
}

impl Meter {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, memory_in_bytes: 0, memory_refused: false, ticks: 0, table_elements: 0 }
    }

    fn computed(&self) -> Duration {
        TICK * self.ticks
    }

    /// Which limit, if any, is behind a failed call: a component that gets no memory ends by itself, with a trap.
    pub(super) fn breach(&self, error: &wasmtime::Error) -> Breach {
        if self.computed() > self.limits.cpu {
            Breach::Cpu(self.limits.cpu)
        } else if self.memory_refused {
            Breach::Memory(self.limits.memory_in_bytes)
        } else {
            Breach::Trap(error.root_cause().to_string())
        }
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let grown = self.memory_in_bytes.saturating_add(desired.saturating_sub(current));
        let allowed = grown <= self.limits.memory_in_bytes && maximum.is_none_or(|maximum| desired <= maximum);
        if allowed {
            self.memory_in_bytes = grown;
        } else {
            self.memory_refused = true;
        }
        Ok(allowed)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let grown = self.table_elements.saturating_add(desired.saturating_sub(current));
        let allowed = grown <= MAX_TABLE_ELEMENTS;
        if allowed {
            self.table_elements = grown;
        }
        Ok(allowed)
    }
}

/// Puts the limits on a store. A component that computes on yields at every tick, so that others run, and is ended when
/// its time is used up.
pub fn apply(store: &mut Store<Cycle>) {
    store.limiter(|cycle| &mut cycle.limits);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut context| {
        let meter = &mut context.data_mut().limits;
        meter.ticks += 1;
        if meter.computed() > meter.limits.cpu {
            return Ok(UpdateDeadline::Interrupt);
        }
        Ok(UpdateDeadline::Yield(1))
    });
}
