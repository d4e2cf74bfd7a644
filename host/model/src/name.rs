//! Names that a configuration gives: of inputs, services and outputs. They stand in lines of the log, in
//! metrics and in file names, between characters that mean something there: so they have none of these
//! themselves.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::Deserialize;
use thiserror::Error;

/// The longest name, in characters.
const LONGEST: usize = 64;

/// So much of a text that is no name is shown.
const SHOWN_CHARACTERS: usize = 80;

/// Letters, digits, `.`, `_` and `-` of ASCII, at least one and at most 64. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(Arc<str>);

/// A text that is no name.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{shown} is no name: a name has letters, digits, '.', '_' and '-' of ASCII, at least one and at most 64")]
pub struct NameError {
    /// The beginning of the text, quoted.
    shown: String,
}

impl Name {
    /// The name, if it is one.
    ///
    /// # Errors
    /// It has another character, or too many, or none.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !text.is_empty() && text.len() <= LONGEST && text.chars().all(safe) {
            return Ok(Self(text.into()));
        }
        let cut: String = text.chars().take(SHOWN_CHARACTERS).collect();
        let dots = if cut.len() < text.len() { ".." } else { "" };
        Err(NameError { shown: format!("{cut:?}{dots}") })
    }

    /// The text, shared.
    pub fn shared(&self) -> &Arc<str> {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_character_that_means_something_elsewhere() {
        for good in ["cloudsek", "7", "devo_us_1", "acme.eu", "_", "-", ".", &"a".repeat(64)] {
            assert_eq!(Name::new(good).unwrap().to_string(), good);
        }
        for bad in ["", "a b", "a/b", "a\n", "\u{e9}", "a;b", "a:b", "a,b", "a\u{202e}", "a\0", &"a".repeat(65)] {
            assert!(Name::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_no_name_is_shown_harmless_and_short() {
        let shown = Name::new(&format!("a\n\u{1b}[31m\u{202e}{}", "x".repeat(1_000_000))).unwrap_err().to_string();
        assert!(shown.starts_with(r#""a\n\u{1b}[31m\u{202e}xxx"#) && shown.len() < 300, "{shown}");
        assert!(shown.contains(r#"xxx".. is no name: a name has letters, digits"#), "{shown}");
    }
}
