//! A call that the component itself could not complete, and whether the next one may fare better.

use crate::bindings::exports::devo::collector::service::Failure;

/// A call that the component could not complete.
#[derive(Debug, Clone)]
pub struct Failed {
    /// In the component's own words.
    pub failure: Failure,
    /// Whether the store failed in this call in a way that may pass. A component can't tell such an error
    /// from that of a damaged value.
    pub(crate) store_is_away: bool,
}

impl Failed {
    /// Whether it stays so until the operator has mended it: the component has found a wrong setting, or a
    /// state that can't be used.
    pub fn is_final(&self) -> bool {
        match self.failure {
            Failure::InitVariables(_) => true,
            Failure::PrePull(_) => !self.store_is_away,
            Failure::SetUp(_) | Failure::Pull(_) | Failure::Api(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::exports::devo::collector::service::Fault;

    #[test]
    fn only_a_setting_and_a_state_are_final_and_a_state_only_where_the_store_has_answered() {
        let is_final = |case: fn(Fault) -> Failure| {
            let failure = case(Fault { code: 0, reason: String::new(), remedy: String::new() });
            [false, true].map(|store_is_away| Failed { failure: failure.clone(), store_is_away }.is_final())
        };
        assert_eq!(is_final(Failure::InitVariables), [true, true]);
        assert_eq!(is_final(Failure::PrePull), [true, false]);
        assert_eq!(is_final(Failure::SetUp), [false, false]);
        assert_eq!(is_final(Failure::Pull), [false, false]);
        assert_eq!(is_final(Failure::Api), [false, false]);
    }
}
