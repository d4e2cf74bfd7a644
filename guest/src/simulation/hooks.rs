//! What the simulation reaches into the collector for: faults to plant, the clock's passes, and how much
//! memory it has.

use alert_records::digests::Capacity;

use super::history::History;
use crate::memory::CAPACITY;
use crate::planted::{CLOCK_OFF, PLANTED, Planted};
use crate::state::recent;

/// Sets this thread up for a history.
pub fn set(history: &History, planted: Option<Planted>) {
    PLANTED.set(planted);
    CLOCK_OFF.set(history.promise.is_without_the_clock());
    recent::switch(true);
    CAPACITY.set(history.memory.map(|slots| Capacity { segments: 3, slots }));
}

/// What a history has set is gone.
pub fn unset() {
    PLANTED.set(None);
    CLOCK_OFF.set(false);
    recent::switch(false);
    CAPACITY.set(None);
}
