//! What was read, held against what the source counts.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::pass::Pass;
use super::source::Source;
use crate::progress::{Account, Uncheckable};

/// What passes have found of what the source counts and nobody could read. A pass may meet a source that
/// moves in a way that no total tells; so it takes two of one opinion to say something else than before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounting {
    /// What is told.
    pub told: Account,
    /// When a pass came to that last.
    pub at: Option<DateTime<Utc>>,
    /// What the pass before came to.
    before: Account,
}

impl Accounting {
    /// Whether the last pass came to something else than what is told.
    pub fn is_unconfirmed(&self) -> bool {
        self.before != self.told
    }

    /// Takes note of a pass that has ended. Gives what is told from now on, where that is something else.
    pub fn add(&mut self, pass: &Pass, source: &mut Source, now: DateTime<Utc>) -> Option<Account> {
        let account = judge(pass, source)?;
        let before = std::mem::replace(&mut self.before, account);
        if account == self.told {
            self.at = Some(now);
            return None;
        }
        if account != before {
            return None;
        }
        (self.told, self.at) = (account, Some(now));
        Some(account)
    }
}

/// What a pass says. Nothing where it has read a window alone, or the source has moved meanwhile: then the
/// last word stands.
fn judge(pass: &Pass, source: &mut Source) -> Option<Account> {
    let Some(total) = source.totals.records else {
        return Some(Account::Unchecked(Uncheckable::NoTotal));
    };
    if !pass.is_checkable() {
        return None;
    }
    source.refuted = pass.entries > total;
    Some(if source.is_capped() {
        Account::Unchecked(Uncheckable::Capped)
    } else if source.refuted {
        Account::Unchecked(Uncheckable::Refuted)
    } else {
        Account::Missing(total - pass.entries)
    })
}
