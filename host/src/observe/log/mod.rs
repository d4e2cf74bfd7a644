//! The log: lines in the original collector's format, so that dashboards and alarms on them go on working, or
//! the same facts as JSON.
//!
//! A finished line is made harmless as a whole: nothing that is quoted in it can end it, colour a terminal or
//! turn text around. A tenant may write so much (`quota`). Where a line comes from is read off the span that
//! it is written in (`origin`, and `devo_compat`, which makes the spans); `text` and `json` are the two
//! formats. [`Format::start`] begins it all.

mod facts;
mod json;
mod masks;
mod origin;
mod quota;
mod text;

use std::io::IsTerminal;

use chrono::Local;
use clap::ValueEnum;
use collector_model::printable;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt as output};

pub use facts::Facts;
pub use masks::Masks;
pub use origin::Origin;
pub use quota::{Dropped, LogQuota};

/// How the names of the crates of the host begin.
const OURS: [&str; 2] = ["devo_collector", "collector_"];

/// How lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// As the original collector writes them
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

impl Format {
    /// Sends the log to standard error, and to `messages` as well, without the secrets of those whom its
    /// lines are about, and within the quota of each tenant. Libraries speak only of errors.
    pub fn start(self, debug: bool, messages: impl Layer<Origins> + Send + Sync, masks: Masks, quota: LogQuota) {
        let ours = if debug { LevelFilter::DEBUG } else { LevelFilter::INFO };
        let filter = Targets::new().with_default(LevelFilter::ERROR).with_targets(OURS.map(|target| (target, ours)));
        let colours = self == Self::Text && std::io::stderr().is_terminal();
        let format = Lines { format: self, masks, quota };
        let lines = output::layer().with_writer(std::io::stderr).with_ansi(colours).event_format(format);
        tracing_subscriber::registry().with(origin::Layer).with(messages).with(lines).with(filter).init();
        // A defect quotes what it was about too: a text of a tenant's, perhaps.
        std::panic::set_hook(Box::new(|panic| tracing::error!("A defect of this program, please report it: {panic}")));
    }
}

/// Writes the lines.
struct Lines {
    format: Format,
    masks: Masks,
    quota: LogQuota,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let (now, level) = (Local::now(), level(*event.metadata().level()));
        Origin::of(context.event_scope(), |origin| {
            let facts = Facts::of(event, origin, &self.masks);
            let line = match self.format {
                Format::Text => text::line(now, level, origin, &facts),
                Format::Json => json::line(now, level, origin, &facts)?,
            };
            let line = printable(&line);
            let tenant = origin.tenant.as_deref().or_else(|| facts.tenant());
            let is_exempt = event.metadata().target() == quota::TARGET;
            if is_exempt || self.quota.admit(tenant, line.len() + 1) { writeln!(writer, "{line}") } else { Ok(()) }
        })
    }
}

/// The registry of spans with their origins, which the layers above look up.
pub type Origins = tracing_subscriber::layer::Layered<origin::Layer, Registry>;

/// Python's names of the levels.
fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}
