//! What a line says: its text, and the numbers and names in it that a program can read.

use std::fmt;

use serde_json::{Map, Value};
use tracing::Event;
use tracing::field::{Field, Visit};

use super::{Masks, Origin};

/// The longest text of a line, in bytes. The longest that anybody needs lists the threads of some hundred
/// services; a tenant's configuration can have a value of a megabyte that an error quotes.
const LONGEST: usize = 64 * 1024;

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
            cut(text);
            *text = masks.mask(origin.tenant.as_ref(), text).into_owned();
        }
        facts
    }

    /// The tenant that the process speaks of.
    pub fn tenant(&self) -> Option<&str> {
        self.fields.get("tenant")?.as_str()
    }

    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
}

/// Keeps the beginning of a text that is too long, and says so.
fn cut(text: &mut String) {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push_str("..");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let cut_of = |text: &str| {
            let mut text = text.to_owned();
            cut(&mut text);
            text
        };
        let longest = "x".repeat(LONGEST);
        assert_eq!(cut_of(&longest), longest);
        assert_eq!(cut_of(&format!("{longest}x")), format!("{longest}.."));
        assert_eq!(cut_of(&"\u{20ac}".repeat(LONGEST)).len(), LONGEST - 1 + 2);
    }
}
