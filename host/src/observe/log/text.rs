//! Lines as the original writes them: `2024-02-16T11:55:03.475    INFO InputProcess::MainThread -> text`,
//! with local time, level, and where the line comes from; a hosted tenant's name stands before the process:
//! `acme/InputProcess::...`.

use std::fmt;

use chrono::Local;
use collector_model::printable;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::{Facts, Masks, Origin, level};

pub struct Lines(pub Masks);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let (time, level) = (Local::now().format("%Y-%m-%dT%H:%M:%S%.3f"), level(*event.metadata().level()));
        Origin::of(context.event_scope(), |origin| {
            let message = Facts::of(event, origin, &self.0).message;
            let Origin { tenant, process, thread, .. } = origin;
            let tenant = tenant.as_deref().map(|tenant| format!("{tenant}/")).unwrap_or_default();
            let line = format!("{time} {level:>7} {tenant}{process}::{thread} -> {message}");
            writeln!(writer, "{}", printable(&line))
        })
    }
}
