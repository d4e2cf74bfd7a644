//! For the simulation, which spends most of its time on it otherwise: a state that was written just now is not
//! parsed from its text again, and one that has not changed is not written anew. One in so many is, and has to
//! be the same.

use std::cell::{Cell, RefCell};

use super::State;
use crate::failure::Failure;

/// How many texts are taken for what they were made from between two that are parsed.
const UNCHECKED: u32 = 31;

thread_local! {
    static RECENT: RefCell<Option<(Vec<u8>, State)>> = const { RefCell::new(None) };
    static IS_ON: Cell<bool> = const { Cell::new(false) };
    static TAKEN: Cell<u32> = const { Cell::new(0) };
}

/// From here on, or no more. What was written before is forgotten.
pub fn switch(on: bool) {
    IS_ON.set(on);
    TAKEN.set(0);
    RECENT.take();
}

/// The state that this text was written from, if it was the last one.
pub fn state_of(text: &[u8], parse: impl FnOnce() -> Result<State, Failure>) -> Option<State> {
    let state = RECENT
        .with_borrow(|recent| recent.as_ref().filter(|(last, _)| last == text).map(|(_, state)| state.clone()))?;
    if is_checked() {
        assert_eq!(parse().as_ref(), Ok(&state), "what was written is read again");
    }
    Some(state)
}

/// The text that was written last, if it was written from this state.
pub fn text_of(state: &State, write: impl FnOnce() -> Result<Vec<u8>, Failure>) -> Option<Vec<u8>> {
    let text =
        RECENT.with_borrow(|recent| recent.as_ref().filter(|(_, last)| last == state).map(|(text, _)| text.clone()))?;
    if is_checked() {
        assert_eq!(write().as_ref(), Ok(&text), "one state has one text");
    }
    Some(text)
}

/// This text was written from this state.
pub fn note(text: &[u8], state: &State) {
    if IS_ON.get() {
        RECENT.set(Some((text.to_vec(), state.clone())));
    }
}

fn is_checked() -> bool {
    TAKEN.set(TAKEN.get().wrapping_add(1));
    TAKEN.get() % (UNCHECKED + 1) == 0
}
