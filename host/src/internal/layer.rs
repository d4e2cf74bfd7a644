//! Makes a message of each line of the log, but for those about the delivery of messages: each delivery would cause the
//! next one, for ever.

use tracing::{Event, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::Messages;
use crate::log::{Facts, Origin};

/// The layer of the log that feeds [`Messages`].
pub struct Layer(pub Messages);

impl<S: Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Layer {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        Origin::of_event(&context, event, |origin| {
            if !origin.is_internal {
                let level = *event.metadata().level();
                let line = |author: &super::Author| author.line(&Facts::of(event).message, level, origin);
                self.0.send(|service| (service.tables.of(level), line(&service.author)));
            }
        });
    }
}
