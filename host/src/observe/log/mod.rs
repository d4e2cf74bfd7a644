//! The log: lines in the original collector's format, so that dashboards and alarms on them go on working, or
//! the same facts as JSON.
//!
//! A finished line is made harmless as a whole: nothing that is quoted in it can end it, colour a terminal or turn
//! text around. Where a line comes from is read off the span that it is written in (`origin`, and `devo_compat`, which
//! makes the spans); `text` and `json` are the two formats. [`Format::start`] begins it all.

mod facts;
mod json;
mod masks;
mod origin;
mod text;

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt as output};

pub use facts::Facts;
pub use masks::Masks;
pub use origin::Origin;

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
    /// Sends the log to standard error, and to `messages` as well, without the secrets of those whom its lines
    /// are about. Libraries speak only of errors.
    pub fn start(self, debug: bool, messages: impl Layer<Origins> + Send + Sync, masks: Masks) {
        let ours = if debug { LevelFilter::DEBUG } else { LevelFilter::INFO };
        let filter = Targets::new().with_default(LevelFilter::ERROR).with_targets(OURS.map(|target| (target, ours)));
        let colours = self == Self::Text && std::io::stderr().is_terminal();
        let lines = output::layer().with_writer(std::io::stderr).with_ansi(colours);
        let lines: Box<dyn Layer<_> + Send + Sync> = match self {
            Self::Text => Box::new(lines.event_format(text::Lines(masks))),
            Self::Json => Box::new(lines.event_format(json::Lines(masks))),
        };
        tracing_subscriber::registry().with(origin::Layer).with(messages).with(lines).with(filter).init();
        // A defect quotes what it was about too: a text of a tenant's, perhaps.
        std::panic::set_hook(Box::new(|panic| tracing::error!("A defect of this program, please report it: {panic}")));
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
