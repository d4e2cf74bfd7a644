//! Where a line comes from: the original's process and thread, the service it is about, and the tenant whose
//! it is.

use std::fmt;
use std::sync::Arc;

use collector_model::Identity;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, Scope};

use crate::devo_compat::{MAIN_THREAD, Process};

/// Where lines come from, kept with the span that they are written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The hosted tenant; none where the process has but one configuration, and for what the process itself
    /// says.
    pub tenant: Option<Arc<str>>,
    /// The original's name of the process.
    pub process: String,
    /// And of the thread in it.
    pub thread: String,
    /// What the lines are about, where that is one service.
    pub service: Option<Identity>,
    /// Whether the lines are about the delivery of the log.
    pub is_internal: bool,
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            tenant: None,
            process: Process::Main.name().to_owned(),
            thread: MAIN_THREAD.to_owned(),
            service: None,
            is_internal: false,
        }
    }
}

impl Origin {
    /// Gives `read` the origin of what is written within these spans, the innermost first.
    pub fn of<'a, S, T>(scope: Option<Scope<'a, S>>, read: impl FnOnce(&Self) -> T) -> T
    where
        S: Subscriber + LookupSpan<'a>,
    {
        for span in scope.into_iter().flatten() {
            if let Some(origin) = span.extensions().get::<Self>() {
                return read(origin);
            }
        }
        read(&Self::default())
    }

    /// Where an event comes from.
    pub fn of_event<S, T>(context: &Context<'_, S>, event: &Event<'_>, read: impl FnOnce(&Self) -> T) -> T
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        Self::of(context.event_scope(event), read)
    }

    /// What the thread runs: its name without the service in brackets.
    pub fn module(&self) -> &str {
        self.thread.split('(').next().unwrap_or_default()
    }
}

/// What the fields of a span say.
#[derive(Default)]
struct Fields {
    origin: Origin,
    input: Option<String>,
    id: Option<String>,
    service: Option<String>,
}

impl Fields {
    fn of(attributes: &Attributes<'_>) -> Origin {
        let mut fields = Self::default();
        attributes.record(&mut fields);
        let Self { origin, input, id, service } = fields;
        let service =
            input.zip(id).zip(service).and_then(|((input, id), service)| Identity::new(input, id, service).ok());
        Origin { service, ..origin }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "tenant" => self.origin.tenant = Some(value.into()),
            "process" => value.clone_into(&mut self.origin.process),
            "thread" => value.clone_into(&mut self.origin.thread),
            "input" => self.input = Some(value.to_owned()),
            "id" => self.id = Some(value.to_owned()),
            "service" => self.service = Some(value.to_owned()),
            _ => {}
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == "is_internal" {
            self.origin.is_internal = value;
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// Keeps the origins with their spans.
pub struct Layer;

impl<S: Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Layer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        // Libraries have spans too.
        if attributes.metadata().fields().field("process").is_none() {
            return;
        }
        let mut origin = Fields::of(attributes);
        if let Some(span) = context.span(id) {
            if origin.tenant.is_none() {
                origin.tenant = Origin::of(span.parent().map(|parent| parent.scope()), |outer| outer.tenant.clone());
            }
            span.extensions_mut().insert(origin);
        }
    }
}
