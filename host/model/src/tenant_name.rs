//! The name of a tenant, which is that of its folder. It stands in the log, in front of a `/`, and may stand
//! in metrics and file names: so it has no character that means something anywhere.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::Name;

/// A [`Name`] that begins with a letter or a digit. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantName(Name);

impl TenantName {
    /// The name, if it is one.
    pub fn new(text: &str) -> Option<Self> {
        let name = Name::new(text).ok()?;
        name.starts_with(|c: char| c.is_ascii_alphanumeric()).then_some(Self(name))
    }

    /// The text, shared.
    pub fn shared(&self) -> &Arc<str> {
        self.0.shared()
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Borrow<str> for TenantName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_character_that_means_something_elsewhere() {
        for good in ["acme", "7", "Acme-EU_1", "a.example.com", &"a".repeat(64)] {
            assert_eq!(TenantName::new(good).unwrap().to_string(), good);
        }
        for bad in ["", ".hidden", "-rf", "_", "a b", "a/b", "a\n", "é", "a:b", "..", &"a".repeat(65)] {
            assert_eq!(TenantName::new(bad), None, "{bad:?}");
        }
    }
}
