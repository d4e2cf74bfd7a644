//! The log for programs: an object a line, with the parts of a text line as members, and those of its facts
//! that have a name.

use std::fmt;

use chrono::{DateTime, Local, SecondsFormat};
use collector_model::Identity;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Facts, Origin};

/// One line. The members stay as they are: people have programs that read them.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    level: &'a str,
    process: &'a str,
    thread: &'a str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    service: Option<&'a Identity>,
    message: &'a str,
    #[serde(flatten)]
    facts: &'a Map<String, Value>,
}

/// One line, without its end.
pub fn line(time: DateTime<Local>, level: &str, origin: &Origin, facts: &Facts) -> Result<String, fmt::Error> {
    let line = Line {
        time: time.to_rfc3339_opts(SecondsFormat::Millis, false),
        tenant: origin.tenant.as_deref(),
        level,
        process: &origin.process,
        thread: &origin.thread,
        service: origin.service.as_ref(),
        message: &facts.message,
        facts: &facts.fields,
    };
    serde_json::to_string(&line).map_err(|_| fmt::Error)
}
