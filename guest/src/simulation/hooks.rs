//! What the simulation reaches into the collector for: faults to plant, the clock's passes, and how much
//! memory it has.

use alert_records::digests::Capacity;

use super::history::History;
use crate::memory::CAPACITY;
use crate::planted::{CLOCK_OFF, PLANTED, Planted};
use crate::state::recent::{self, Texts};

/// Sets this thread up for a history. What is stored has its size where the trace tells it.
pub fn set(history: &History, planted: Option<Planted>, traced: bool) {
    PLANTED.set(planted);
    CLOCK_OFF.set(history.promise.is_without_the_clock());
    recent::begin(if traced { Texts::Full } else { Texts::Short });
    CAPACITY.set(history.memory.map(|slots| Capacity { segments: 3, slots }));
}

/// What a history has set is gone.
pub fn unset() {
    PLANTED.set(None);
    CLOCK_OFF.set(false);
    recent::begin(Texts::Full);
    CAPACITY.set(None);
}
