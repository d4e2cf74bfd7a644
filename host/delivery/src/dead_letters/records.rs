//! Records of a source that can't become events, such as one that is not JSON: kept in a file of the service,
//! whatever its outputs are.
//!
//! A line is a JSON object with `time`, `service`, `table`, `reason` and the `event`, or its `content_base64`
//! where it is no text.

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{SecondsFormat, Utc};
use collector_files::RootedPath;
use collector_model::Table;
use dead_letter::Content;
use serde::Serialize;
use tracing::warn;

use super::file;
use crate::error::SendError;

/// Where the records of one service are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordLetters {
    /// The file, to which lines are added. It and its folder are made when they are needed.
    pub file: RootedPath,
    /// What the service is known by.
    pub service: String,
    /// Whether a record that can't be written is a failure. Where the state is kept in memory, nothing need
    /// be writable, and a record that is read again after a restart is not worth to stop for.
    pub required: bool,
}

/// A record and why it is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordLetter {
    /// In one line.
    pub reason: String,
    /// As the source sent it.
    pub content: Vec<u8>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    service: &'a str,
    table: &'a str,
    reason: &'a str,
    #[serde(flatten)]
    content: Content<'a>,
}

impl RecordLetters {
    /// Writes them to the disk. The log hears of it once for each `told`.
    ///
    /// # Errors
    /// [`SendError::RecordNotKept`] when the file can't be written.
    pub async fn add(&self, table: &Table, letters: &[RecordLetter], told: &AtomicBool) -> Result<(), SendError> {
        let Some(first) = letters.first() else { return Ok(()) };
        let lines = letters.iter().map(|letter| self.line(table, letter)).collect();
        let file = self.file.display();
        let (count, reason) = (letters.len(), &first.reason);
        match file::append(&self.file, lines).await {
            Ok(()) if told.swap(true, Ordering::Relaxed) => {}
            Ok(()) => warn!("{count} records can't become events; they are kept in {file}. The first: {reason}"),
            Err(error) if self.required => {
                return Err(SendError::RecordNotKept { file: self.file.path().to_owned(), reason: error.to_string() });
            }
            Err(_) if told.swap(true, Ordering::Relaxed) => {}
            Err(error) => warn!(
                "{count} records can't become events, and could not be written to {file}: {error}. Nothing is kept where \
                 persistence is memory. The first: {reason}"
            ),
        }
        Ok(())
    }

    fn line(&self, table: &Table, letter: &RecordLetter) -> Vec<u8> {
        let line = Line {
            time: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            service: &self.service,
            table: table.as_str(),
            reason: &letter.reason,
            content: Content::of(&letter.content),
        };
        // Texts and JSON are always JSON.
        let mut line = serde_json::to_vec(&line).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::{Value, json};

    use super::*;

    fn letters() -> Vec<RecordLetter> {
        [&b"{\"a\":1.00}"[..], b"{\"a\":", b"\xff\n"]
            .map(|content| RecordLetter { reason: "no JSON".into(), content: content.into() })
            .to_vec()
    }

    async fn add(file: PathBuf, required: bool) -> Result<(), SendError> {
        let records =
            RecordLetters { file: RootedPath::of_operator(file), service: "cloudsek;1;alerts".into(), required };
        records.add(&"my.app.t".parse().unwrap(), &letters(), &AtomicBool::new(false)).await
    }

    #[tokio::test]
    async fn every_byte_of_a_record_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dead_letters/a.ndjson");
        add(file.clone(), true).await.unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.lines().next().unwrap().ends_with(r#""event":{"a":1.00}}"#), "{text}");
        let mut kept: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(kept[1]["time"].take().as_str().unwrap().ends_with('Z'));
        assert_eq!(
            kept[1],
            json!({
                "time": null, "service": "cloudsek;1;alerts", "table": "my.app.t", "reason": "no JSON", "event": "{\"a\":",
            })
        );
        assert_eq!(kept[2]["content_base64"], "/wo=");
    }

    #[tokio::test]
    async fn a_record_that_can_not_be_kept_is_a_failure_unless_nothing_is_kept() {
        let error = add("/proc/nowhere/a.ndjson".into(), true).await.unwrap_err();
        assert!(error.to_string().contains("/proc/nowhere/a.ndjson"), "{error}");
        add("/proc/nowhere/a.ndjson".into(), false).await.unwrap();
    }
}
