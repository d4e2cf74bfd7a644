//! The name of a Devo table: the tag that every event carries on the wire.
//!
//! A tag stands between a blank and a colon in the line sent to Devo, so a tag with a blank, a colon or a
//! line break would put words into the event or start another one. A [`Table`] cannot hold such a name, and
//! nothing else is sent.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// What Devo documents as the longest tag, in characters.
pub const LONGEST_TABLE: usize = 1024;

/// A valid Devo tag such as `drp.cloudsek.xvigil.alerts`: parts of ASCII letters, digits, `_` and `-`, joined
/// by dots, at most [`LONGEST_TABLE`] characters. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Table(Arc<str>);

/// Why a name is not a Devo tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// No name at all.
    #[error("the table has no name; give a Devo tag such as drp.cloudsek.xvigil.alerts")]
    Empty,
    /// More than [`LONGEST_TABLE`] characters.
    #[error("the table's name has {length} characters and Devo takes at most {LONGEST_TABLE}; shorten it")]
    TooLong {
        /// Characters in the name.
        length: usize,
    },
    /// Two dots in a row, or a dot at an end.
    #[error("the table {name:?} has an empty part; write exactly one dot between two parts and none at the ends")]
    EmptyPart {
        /// The name as it was given.
        name: String,
    },
    /// A character that Devo tags don't have.
    #[error("the table {name:?} has the character {character:?}; use ASCII letters, digits, '_', '-' and '.' only")]
    BadCharacter {
        /// The name as it was given.
        name: String,
        /// The first character at fault.
        character: char,
    },
}

impl Table {
    /// The tag as it goes on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Table {
    type Err = TableError;

    fn from_str(name: &str) -> Result<Self, TableError> {
        if name.is_empty() {
            return Err(TableError::Empty);
        }
        // The length is looked at first, so that the other messages never repeat an endless name.
        let length = name.chars().count();
        if length > LONGEST_TABLE {
            return Err(TableError::TooLong { length });
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if let Some(character) = name.chars().find(|&c| !allowed(c)) {
            return Err(TableError::BadCharacter { name: name.to_owned(), character });
        }
        if name.split('.').any(str::is_empty) {
            return Err(TableError::EmptyPart { name: name.to_owned() });
        }
        Ok(Self(name.into()))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_the_collector_are_valid() {
        for name in ["drp.cloudsek.xvigil.alerts", "devo.collectors.out.local.info", "my.app.a-b_c.D9", "single"] {
            assert_eq!(name.parse::<Table>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_name_that_would_break_the_line_is_not_a_table() {
        for name in ["a b", "a: b", "a\nb", "a\rb", "a\0b", "tablé"] {
            assert!(matches!(name.parse::<Table>(), Err(TableError::BadCharacter { .. })), "{name:?}");
        }
        for name in [".", "a.", ".a", "a..b"] {
            assert!(matches!(name.parse::<Table>(), Err(TableError::EmptyPart { .. })), "{name:?}");
        }
        assert_eq!("".parse::<Table>(), Err(TableError::Empty));
    }

    #[test]
    fn a_table_has_at_most_1024_characters() {
        assert!("x".repeat(1024).parse::<Table>().is_ok());
        assert_eq!("é".repeat(1025).parse::<Table>(), Err(TableError::TooLong { length: 1025 }));
    }
}
