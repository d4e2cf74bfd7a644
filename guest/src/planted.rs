//! Faults that the simulation plants, to show that it would find them. Outside of tests none is ever there.

/// A fault of the kind that pullers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// A pass ends at the first page without records, whatever was promised.
    EndsAtEmptyPage,
    /// A pass ends at the first page that is not full.
    EndsAtShortPage,
    /// The number that an answer gives itself is believed.
    BelievesEcho,
    /// A pass ends once as many records were read as the source counts.
    BelievesCount,
    /// A page that can't be read is asked for again, before anything else.
    BlocksOnGap,
    /// The first history gets no second pass, and no other pass comes by the clock.
    NoSecondPass,
    /// A run of live that was cut off is not remembered.
    NoOpen,
    /// The state is stored before the events are confirmed.
    CommitsEarly,
    /// Pages are taken to be numbered from 1.
    NumbersFromOne,
    /// Backfill goes first.
    StarvesLive,
}

#[cfg(test)]
thread_local! {
    /// The fault of this thread.
    pub static PLANTED: std::cell::Cell<Option<Planted>> = const { std::cell::Cell::new(None) };
}

/// Whether this fault is planted.
#[cfg(test)]
pub fn is(fault: Planted) -> bool {
    PLANTED.get() == Some(fault)
}

/// Whether this fault is planted.
#[cfg(not(test))]
pub const fn is(_: Planted) -> bool {
    false
}

#[cfg(test)]
thread_local! {
    /// Whether no pass comes by the clock on this thread: what the clock would heal is to be found without
    /// it.
    pub static CLOCK_OFF: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Whether no pass comes by the clock.
#[cfg(test)]
pub fn is_clock_off() -> bool {
    CLOCK_OFF.get()
}

/// Whether no pass comes by the clock.
#[cfg(not(test))]
pub const fn is_clock_off() -> bool {
    false
}
