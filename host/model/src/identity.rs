//! What a service is known by.

use std::fmt;

use serde::Serialize;
use thiserror::Error;

/// What joins the parts.
const JOINT: char = ';';

/// What a service is known by: in the log, in the state, in errors. The parts are those of the configuration,
/// and any text but one with control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Identity {
    input: String,
    id: String,
    service: String,
}

/// A part that would break the lines that it stands in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{part:?} has a line break or another control character")]
pub struct IdentityError {
    /// The first one.
    pub part: String,
}

impl Identity {
    /// The identity of a service.
    ///
    /// # Errors
    /// A part has a control character.
    pub fn new(
        input: impl Into<String>,
        id: impl Into<String>,
        service: impl Into<String>,
    ) -> Result<Self, IdentityError> {
        let identity = Self { input: input.into(), id: id.into(), service: service.into() };
        let broken = identity.parts().into_iter().find(|part| part.contains(char::is_control)).map(str::to_owned);
        broken.map_or(Ok(identity), |part| Err(IdentityError { part }))
    }

    /// The input's name in the configuration.
    pub fn input(&self) -> &str {
        &self.input
    }

    /// The input's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The service's name in the configuration.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// What is kept of the service is kept under this name, which no other identity has: as it is shown, and
    /// with the lengths of the first two parts where a part has a `;` itself.
    pub fn storage_name(&self) -> String {
        if self.parts().into_iter().any(|part| part.contains(JOINT)) {
            format!("{self}{JOINT}{},{}", self.input.len(), self.id.len())
        } else {
            self.to_string()
        }
    }

    fn parts(&self) -> [&str; 3] {
        [&self.input, &self.id, &self.service]
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{JOINT}{}{JOINT}{}", self.input, self.id, self.service)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_usual_name_in_the_state_is_the_identity_itself() {
        let usual = Identity::new("cloudsek", "cloudsek_1", "alerts").unwrap();
        assert_eq!(usual.storage_name(), "cloudsek;cloudsek_1;alerts");
    }

    #[test]
    fn no_two_identities_have_one_name_in_the_state() {
        let parts = ["", "a", ";", "a;", ";a", ";;", "a;a", "1,1", ";1,1", "a;1,1", "a;1,2"];
        let mut names = BTreeMap::new();
        for input in parts {
            for id in parts {
                for service in parts {
                    let identity = Identity::new(input, id, service).unwrap();
                    assert_eq!(names.insert(identity.storage_name(), identity.clone()), None, "{identity:?}");
                }
            }
        }
    }

    #[test]
    fn names_that_yaml_allows_are_allowed_but_for_those_that_break_a_line() {
        for name in ["", "a b", "a;b", "a/b", "../a", "ä", "a:b", "a.b", "\u{a0}"] {
            assert_eq!(Identity::new(name, name, name).unwrap().input(), name);
        }
        for name in ["a\nb", "\r", "a\0", "\x1b[31m", "\u{85}"] {
            let part = name.to_owned();
            assert_eq!(Identity::new("a", name, "b"), Err(IdentityError { part }));
        }
    }
}
