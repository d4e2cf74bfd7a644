//! What a line says: its text, and the numbers and names in it that a program can read.

use std::fmt;

use serde_json::{Map, Value};
use tracing::Event;
use tracing::field::{Field, Visit};

use super::{Masks, Origin};

/// What one event of the log says.
#[derive(Debug, Default, PartialEq)]
pub struct Facts {
    /// The line for people.
    pub message: String,
    /// What is in it, for programs.
    pub fields: Map<String, Value>,
}

impl Facts {
    /// What an event from there says, whoever is told: without the secrets of whom it is about.
    pub fn of(event: &Event<'_>, origin: &Origin, masks: &Masks) -> Self {
        let mut facts = Self::default();
        event.record(&mut facts);
        let texts = facts.fields.values_mut().filter_map(|value| match value {
            Value::String(text) => Some(text),
            _ => None,
        });
        for text in texts.chain([&mut facts.message]) {
            *text = masks.mask(origin.tenant.as_ref(), text).into_owned();
        }
        facts
    }

    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Facts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" { self.message = text } else { self.set(field, text) }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" { value.clone_into(&mut self.message) } else { self.set(field, value) }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }
}
