//! For the simulation, which would spend most of its time on it: a state is not written and read again from
//! call to call, but stands behind a short text of its own. One in so many is written out, and has to be read
//! again as it was.

use std::cell::RefCell;

use super::{State, VERSION};
use crate::failure::Failure;

/// Every so many states are written out.
const WRITTEN_OUT: u64 = 32;

thread_local! {
    static RECENT: RefCell<Recent> = const { RefCell::new(Recent { texts: Texts::Full, written: 0, kept: Vec::new() }) };
}

/// What texts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Texts {
    /// Those that are written everywhere else, and nothing is kept.
    Full,
    /// The same; the states are kept.
    Kept,
    /// Most of them only name the state that is kept.
    Short,
}

struct Recent {
    texts: Texts,
    written: u64,
    /// The states behind the texts that may be stored now. The last one was read or written last.
    kept: Vec<(Vec<u8>, State)>,
}

/// What texts are written from here on. What was kept is forgotten.
pub fn begin(texts: Texts) {
    RECENT.set(Recent { texts, written: 0, kept: Vec::new() });
}

/// From here on texts are as they are everywhere else: `text`, which is stored, becomes one too.
pub fn write_out(text: &mut Vec<u8>) {
    if let Some(state) = state_of(text) {
        RECENT.with_borrow_mut(|recent| {
            recent.texts = Texts::Kept;
            *text = checked(&state);
            recent.kept = vec![(text.clone(), state)];
        });
    }
}

/// The state behind this text, which was stored: so no other text is.
pub fn state_of(text: &[u8]) -> Option<State> {
    RECENT.with_borrow_mut(|recent| {
        let at = recent.kept.iter().position(|(kept, _)| kept == text)?;
        recent.kept.swap(0, at);
        recent.kept.truncate(1);
        Some(recent.kept[0].1.clone())
    })
}

/// The text for this state, the same one if it is what was read or written last. `None`: it is to be written.
pub fn text_of(state: &State) -> Option<Vec<u8>> {
    RECENT.with_borrow_mut(|recent| {
        if recent.texts == Texts::Full {
            return None;
        }
        if let Some((text, _)) = recent.kept.last().filter(|(_, last)| last == state) {
            return Some(text.clone());
        }
        recent.written += 1;
        let number = recent.written;
        let text = match recent.texts {
            _ if number.is_multiple_of(WRITTEN_OUT) => checked(state),
            Texts::Short => format!("{{\"@persistence_version\":{VERSION},\"number\":{number}}}").into_bytes(),
            Texts::Full | Texts::Kept => state.to_text().expect("a state can be written"),
        };
        recent.kept.push((text.clone(), state.clone()));
        Some(text)
    })
}

/// The text of a state, from which it can be read again.
fn checked(state: &State) -> Vec<u8> {
    let text = state.to_text().expect("a state can be written");
    assert_eq!(State::parse(&text).as_ref(), Ok::<_, &Failure>(state), "what was written is read again");
    text
}
