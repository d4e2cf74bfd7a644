//! What holds for every content of a state file, ours or the original's, whatever the bytes are. Each
//! property is one function, which the targets in `fuzz/` and the replay of their corpus below both call. It
//! panics where the property does not hold.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::io::BufReader;

use super::envelope::{header, open};
use super::original::translate;
use super::redis::protocol::{Answer, read_answer};

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

/// What a redis server answers is an answer or an error; of an answer no more is kept than was allowed, and
/// neither what comes behind it nor the pieces in which it comes make a difference.
pub fn redis_answer(content: &[u8]) {
    const MOST: usize = 256;
    let mut rest = content;
    let answer = now(read_answer(&mut rest, MOST));
    let mut pieces = BufReader::with_capacity(1, content);
    let in_pieces = now(read_answer(&mut pieces, MOST));
    assert_eq!(format!("{in_pieces:?}"), format!("{answer:?}"));
    let Ok(answer) = answer else { return };
    match &answer {
        Answer::Value(value) => assert!(value.len() <= MOST),
        Answer::Values(values) => assert!(values.iter().map(|value| value.len() + 32).sum::<usize>() <= MOST),
        _ => {}
    }
    let read = &content[..content.len() - rest.len()];
    assert_eq!(now(read_answer(&mut &*read, MOST)).ok(), Some(answer), "what is behind it counts");
    let cut = now(read_answer(&mut &read[..read.len() - 1], MOST));
    assert!(cut.is_err(), "{} is an answer too: {cut:?}", read[..read.len() - 1].escape_ascii());
}

/// What comes of bytes that are there.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("it waits for bytes that are there"),
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
    fn the_corpus_of_redis_answers_keeps_its_property() {
        replay("redis_answer", super::redis_answer);
    }

    #[test]
    fn the_corpus_of_pickles_keeps_its_property() {
        replay("pickle", super::pickle);
    }
}
