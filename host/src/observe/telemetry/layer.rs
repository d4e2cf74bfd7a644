//! Makes a message of each line of the log and gives it to whom the line is about: a tenant's lines to that
//! tenant's messages and to no other's. Left out are what a process that hosts tenants says of itself, and
//! the lines about the delivery of messages: each delivery would cause the next one, forever.

use tracing::{Event, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::Routes;
use crate::observe::log::{Facts, Masks, Origin};

/// The layer of the log that feeds [`super::Messages`].
pub struct Layer(pub Routes, pub Masks);

impl<S: Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Layer {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        Origin::of_event(&context, event, |origin| {
            let messages = if origin.is_internal { None } else { self.0.of(origin.tenant.as_ref()) };
            if let Some(messages) = messages {
                let level = *event.metadata().level();
                let line =
                    |author: &super::Author| author.line(&Facts::of(event, origin, &self.1).message, level, origin);
                messages.send(|service| (service.tables.of(level), line(&service.author)));
            }
        });
    }
}
