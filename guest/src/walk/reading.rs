//! What a page that was asked for has shown.

use alert_records::page::Paging;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What became of a page that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// It has records.
    Records(Seen),
    /// There are none. What the answer says of how much there is, where it has a body to say that.
    Empty(Option<Totals>),
    /// The API says that there is no such page.
    NotFound(String),
    /// The API does not give pages like this one: there is none, or none so far behind.
    Refused(String),
    /// It could not be read. What happened, for the operator.
    Failed(String),
    /// The API says that it is as it was.
    Unchanged,
}

impl Reading {
    /// Whether the page has records.
    pub fn has_records(&self) -> bool {
        matches!(self, Self::Records(_))
    }
}

/// What a page with records has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// How many records it has.
    pub records: u64,
    /// How many of them were not known before.
    pub new: u64,
    /// How many of them are not wanted, and were never delivered for it.
    pub unwanted: u64,
    /// How many alerts were ever delivered, these included.
    pub delivered: u64,
    /// Whether its last record was known when live looked last.
    pub last_known: bool,
    /// The digests of its records, in its order.
    pub digests: Vec<u64>,
    /// Stands for the records, in any order: a server that has one page may give it in another order each
    /// time.
    pub sum: u64,
    /// The times of its records, in its order; records without one are left out.
    pub times: Vec<DateTime<Utc>>,
    pub totals: Totals,
    /// The number that the answer gives itself: some count from 0, some always say 1, so it is not believed.
    pub echo: Option<u64>,
    /// What the answer says that makes it doubtful that these are all of its records.
    pub partial: Option<String>,
}

impl Seen {
    /// Whether some of its records were known before.
    pub fn any_known(&self) -> bool {
        self.new < self.records
    }
}

/// What an answer says of how much there is. A hint: any of it may be missing or wrong. A total of 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub records: Option<u64>,
    pub pages: Option<u64>,
}

impl Totals {
    /// What an answer says.
    pub fn of(paging: &Paging) -> Self {
        let said = |total: Option<u64>| total.filter(|total| *total > 0);
        Self { records: said(paging.total_count), pages: said(paging.total_pages) }
    }

    /// These, and where they say nothing, `earlier` ones.
    pub fn or(self, earlier: Self) -> Self {
        Self { records: self.records.or(earlier.records), pages: self.pages.or(earlier.pages) }
    }

    /// Whether they say nothing.
    pub fn are_missing(self) -> bool {
        self.records.is_none() && self.pages.is_none()
    }
}
