//! The log for programs: an object a line, with the parts of a text line as members, and those of its facts
//! that have a name.

use std::fmt;

use chrono::{Local, SecondsFormat};
use collector_model::{Identity, printable};
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::{Facts, Masks, Origin, level};

/// One line. The members stay as they are: people have programs that read them.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    level: &'static str,
    process: &'a str,
    thread: &'a str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    service: Option<&'a Identity>,
    message: &'a str,
    #[serde(flatten)]
    facts: &'a Map<String, Value>,
}

pub struct Lines(pub Masks);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        Origin::of(context.event_scope(), |origin| {
            let Facts { message, fields } = Facts::of(event, origin, &self.0);
            let line = Line {
                time: Local::now().to_rfc3339_opts(SecondsFormat::Millis, false),
                tenant: origin.tenant.as_deref(),
                level: level(*event.metadata().level()),
                process: &origin.process,
                thread: &origin.thread,
                service: origin.service.as_ref(),
                message: &message,
                facts: &fields,
            };
            let line = serde_json::to_string(&line).map_err(|_| fmt::Error)?;
            writeln!(writer, "{}", printable(&line))
        })
    }
}
