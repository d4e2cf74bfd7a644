//! What the calls of all tenants may use together: the process has a bound of its own, however many tenants
//! there are.

use crate::metrics::Memory;

/// What the calls under way may use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallBounds {
    /// Memory of all of them.
    pub memory_in_bytes: u64,
    /// How many there are.
    pub at_once: usize,
}

impl CallBounds {
    /// What each call has for sure, and what it is counted with from its beginning to its end. An ordinary
    /// one of the bundled component takes two of them: an instance with its stack, an answer, a batch.
    pub const OF_EACH: u64 = 4 * 1024 * 1024;

    /// The least memory that the calls of a process can do with.
    pub const LEAST_MEMORY: u64 = 8 * Self::OF_EACH;

    /// Calls under way where the operator says nothing. A call that waits holds connections and files too.
    pub const MOST_AT_ONCE: usize = 1024;

    /// What the operator says, and for the rest: half of the memory that there is, which leaves room for the
    /// tenants themselves, for code, and for what the system needs to deliver.
    pub fn new(memory_in_bytes: Option<u64>, at_once: Option<usize>) -> Self {
        let memory_in_bytes = memory_in_bytes.unwrap_or_else(|| Memory::available() / 2).max(Self::LEAST_MEMORY);
        // What calls have for sure is half of it at most: the rest is for those that need more.
        let fitting = usize::try_from(memory_in_bytes / 2 / Self::OF_EACH).unwrap_or(usize::MAX);
        Self { memory_in_bytes, at_once: at_once.unwrap_or(Self::MOST_AT_ONCE).min(fitting) }
    }

    /// What is left for calls that need more than each has for sure.
    pub fn for_growth(&self) -> u64 {
        self.memory_in_bytes - self.at_once as u64 * Self::OF_EACH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_calls_have_for_sure_is_half_at_most() {
        let mib = |mib: u64| mib << 20;
        let bounds = CallBounds::new(Some(mib(100)), None);
        assert_eq!((bounds.at_once, bounds.for_growth()), (12, mib(52)));
        assert_eq!(CallBounds::new(Some(mib(100)), Some(3)).for_growth(), mib(88));
        assert_eq!(CallBounds::new(Some(mib(64 * 1024)), None).at_once, CallBounds::MOST_AT_ONCE);
        let usual = CallBounds::new(None, None);
        assert!(usual.at_once >= 4 && usual.memory_in_bytes >= CallBounds::LEAST_MEMORY, "{usual:?}");
    }
}
