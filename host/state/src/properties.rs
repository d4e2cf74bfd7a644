//! What holds for every content of a state file, ours or the original's, whatever the bytes are. Each
//! property is one function, which the targets in `fuzz/` and the replay of their corpus below both call. It
//! panics where the property does not hold.

use super::envelope::{header, open};
use super::original::translate;

/// A file is either just as it was written, or an error; a value is read as it was written, or not at all.
pub fn state_file(content: &[u8]) {
    if let Ok(value) = open(content.to_vec()) {
        assert_eq!([header(&value).as_bytes(), &value].concat(), content, "another file of the same value");
    }

    let file = [header(content).as_bytes(), content].concat();
    assert_eq!(open(file.clone()).as_deref(), Ok(content));
    let change = content.first().copied().unwrap_or(1).max(1);
    for at in (0..file.len()).take(256) {
        let mut changed = file.clone();
        changed[at] ^= change;
        assert!(open(changed).is_err(), "byte {at} of {} was changed by {change}", file.escape_ascii());
        assert!(open(file[..at].to_vec()).is_err(), "{} was cut off at {at}", file.escape_ascii());
    }
}

/// The original's state: text of version 1 that stands for itself, or an error. A content that begins with
/// `*` is one that repeats its middle, as a few bytes must not stand for gigabytes or hours.
pub fn pickle(content: &[u8]) {
    let repeated;
    let content = match content {
        [b'*', head, tail, rest @ ..] => {
            let (start, end) = (usize::from(*head).min(rest.len()), usize::from(*tail).min(rest.len()));
            let end = (rest.len() - end).max(start);
            let times = (1 << 18) / (end - start).max(1);
            repeated = [&rest[..start], &rest[start..end].repeat(times), &rest[end..]].concat();
            &repeated
        }
        _ => content,
    };
    let Ok(Some(text)) = translate(content) else { return };
    let state: serde_json::Value = serde_json::from_slice(&text).expect("the translation is JSON");
    assert_eq!(state["@persistence_version"], 1);
    assert!(state.get("last_event_time_in_utc").is_some() && state["last_ids"].is_array(), "{state}");
    match translate(&text) {
        Ok(again) => assert_eq!(again.as_deref(), Some(&text[..]), "a translation is its own"),
        Err(problem) => panic!("{state}: {problem}"),
    }
}

#[cfg(test)]
mod tests {
    use crate::replay::replay;

    #[test]
    fn the_corpus_of_state_files_keeps_its_property() {
        replay("state_file", super::state_file);
    }

    #[test]
    fn the_corpus_of_pickles_keeps_its_property() {
        replay("pickle", super::pickle);
    }
}
