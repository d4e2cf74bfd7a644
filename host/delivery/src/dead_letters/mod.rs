//! Events that are too large for an output: kept in a file with the reason, for somebody to look at, never
//! silently away and never in the way of the others.
//!
//! A line is a JSON object with `time`, `output`, `table`, `reason` and the `event`, or its `content_base64`
//! where it is no text. It is on the disk before the events after it are sent; a crash may make it stand
//! there twice.

mod file;
mod records;

use std::borrow::Cow;
use std::io;

use chrono::{SecondsFormat, Utc};
use collector_files::RootedPath;
use collector_model::Table;
use dead_letter::Content;
use serde::Serialize;
use tracing::warn;

pub use records::{RecordLetter, RecordLetters};

use crate::error::SendError;
use crate::event::Event;

/// Where an output's dead letters are kept, and what becomes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetters {
    /// Bodies of more bytes are put aside.
    pub max_event_in_bytes: usize,
    /// The file, to which lines are added. It and its folder are made when they are needed.
    pub file: RootedPath,
}

#[derive(Serialize)]
struct Letter<'a> {
    time: String,
    output: &'a str,
    table: &'a str,
    reason: String,
    #[serde(flatten)]
    event: Content<'a>,
}

impl DeadLetters {
    /// Writes what is too large to the file and returns the rest.
    ///
    /// # Errors
    /// [`SendError::NotPutAside`] when the file can't be written.
    pub(crate) async fn put_aside<'a, B: AsRef<[u8]> + Clone>(
        &self,
        output: &std::sync::Arc<str>,
        table: &Table,
        events: &'a [Event<B>],
    ) -> Result<Cow<'a, [Event<B>]>, SendError> {
        let fits = |event: &&Event<B>| event.body.as_ref().len() <= self.max_event_in_bytes;
        let (fitting, large): (Vec<&Event<B>>, Vec<&Event<B>>) = events.iter().partition(fits);
        if large.is_empty() {
            return Ok(Cow::Borrowed(events));
        }
        let lines = large.iter().map(|event| self.line(output, table, event.body.as_ref())).collect();
        file::append(&self.file, lines).await.map_err(|error: io::Error| SendError::NotPutAside {
            output: output.clone(),
            file: self.file.path().to_owned(),
            reason: error.to_string(),
        })?;
        warn!(
            "Output \"{output}\": {} events of more than {} bytes were not sent; they are kept in {}",
            large.len(),
            self.max_event_in_bytes,
            self.file.display()
        );
        Ok(Cow::Owned(fitting.into_iter().cloned().collect()))
    }

    fn line(&self, output: &str, table: &Table, body: &[u8]) -> Vec<u8> {
        let letter = Letter {
            time: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            output,
            table: table.as_str(),
            reason: format!("{} bytes, max_event_in_bytes is {}", body.len(), self.max_event_in_bytes),
            event: Content::of(body),
        };
        // Texts and JSON are always JSON.
        let mut line = serde_json::to_vec(&letter).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chrono::DateTime;
    use serde_json::{Value, json};

    use super::*;

    fn event(body: &str) -> Event {
        Event { time: DateTime::UNIX_EPOCH, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    fn dead_letters(name: &str) -> DeadLetters {
        let folder = std::env::temp_dir().join(format!("devo-collector-dead-letters-{}-{name}", std::process::id()));
        DeadLetters { max_event_in_bytes: 10, file: RootedPath::of_operator(folder.join("new/devo_us_1.ndjson")) }
    }

    #[tokio::test]
    async fn what_is_too_large_is_kept_as_it_is_and_the_rest_is_sent() {
        let letters = dead_letters("kept");
        let table = "my.app.t".parse().unwrap();
        let events = [event("{\"a\":1.0}"), event("{\"a\":1.00000}"), event("no JSON at all"), event("{}")];
        for _ in 0..2 {
            let rest = letters.put_aside(&"devo_us_1".into(), &table, &events).await.unwrap();
            assert_eq!(*rest, [events[0].clone(), events[3].clone()]);
        }
        let text = std::fs::read_to_string(letters.file.path()).unwrap();
        assert_eq!(text.lines().count(), 4);
        assert!(text.contains(r#""event":{"a":1.00000}}"#), "{text}");
        let mut second: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        assert!(second["time"].take().as_str().unwrap().ends_with('Z'));
        assert_eq!(
            second,
            json!({
                "time": null, "output": "devo_us_1", "table": "my.app.t",
                "reason": "14 bytes, max_event_in_bytes is 10", "event": "no JSON at all",
            })
        );
        std::fs::remove_dir_all(letters.file.parent().parent().path()).unwrap();
    }

    #[tokio::test]
    async fn nothing_is_taken_when_it_can_not_be_put_aside() {
        let letters = DeadLetters { file: RootedPath::of_operator("/proc/nowhere/letters"), ..dead_letters("none") };
        let table = "my.app.t".parse().unwrap();
        let refused = letters.put_aside(&"o".into(), &table, &[event("{\"a\":1.00000}")]).await.unwrap_err();
        assert!(refused.to_string().contains("/proc/nowhere/letters"), "{refused}");
        let fits = [event("{}")];
        assert_eq!(*letters.put_aside(&"o".into(), &table, &fits).await.unwrap(), fits);
    }
}
