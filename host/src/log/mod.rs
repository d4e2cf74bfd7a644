//! The log, in the original collector's format, so that dashboards and alarms on its lines go on working.
//!
//! `2024-02-16T11:55:03.475    INFO InputProcess::MainThread -> text`: local time, level, and where the line comes from. The
//! original's processes and threads are spans here; [`span`] opens one.

use std::fmt;
use std::io::IsTerminal;

use chrono::Local;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Span, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt as output};

/// The part of the collector that a line comes from; the names are the original's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    Main,
    Input,
    Output,
}

impl Process {
    fn name(self) -> &'static str {
        match self {
            Self::Main => "MainProcess",
            Self::Input => "InputProcess",
            Self::Output => "OutputProcess",
        }
    }
}

/// The thread that does what no other thread does.
pub const MAIN_THREAD: &str = "MainThread";

/// Lines written within this span come from `thread` of `process`.
pub fn span(process: Process, thread: &str) -> Span {
    tracing::error_span!("thread", process = process.name(), thread)
}

/// Sends the log to standard error. Libraries speak only from warnings on.
pub fn start(debug: bool) {
    let ours = if debug { LevelFilter::DEBUG } else { LevelFilter::INFO };
    let filter = Targets::new().with_default(LevelFilter::ERROR).with_target("devo_collector", ours);
    let lines =
        output::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).event_format(Lines);
    tracing_subscriber::registry().with(filter).with(Origins).with(lines).init();
}

/// Where a span's lines come from, kept with the span.
#[derive(Default)]
struct Origin {
    process: String,
    thread: String,
}

impl Visit for Origin {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "process" => self.process = value.to_owned(),
            "thread" => self.thread = value.to_owned(),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

struct Origins;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Origins {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut origin = Origin::default();
        attributes.record(&mut origin);
        if let Some(span) = context.span(id).filter(|_| !origin.thread.is_empty()) {
            span.extensions_mut().insert(origin);
        }
    }
}

struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write!(writer, "{} {:>7} ", Local::now().format("%Y-%m-%dT%H:%M:%S%.3f"), level(*event.metadata().level()))?;
        let scope = context.event_scope().into_iter().flatten();
        let mut found = false;
        for span in scope {
            if let Some(origin) = span.extensions().get::<Origin>() {
                write!(writer, "{}::{} -> ", origin.process, origin.thread)?;
                found = true;
                break;
            }
        }
        if !found {
            write!(writer, "{}::{MAIN_THREAD} -> ", Process::Main.name())?;
        }
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// Python's names of the levels.
fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}
