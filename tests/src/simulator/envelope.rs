//! The shapes that an answer of the API may have around its records.

use std::fmt::Write as _;

/// What stands around the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Envelope {
    /// As documented: `data` and the paging fields beside it.
    #[default]
    Documented,
    /// The records alone.
    BareArray,
    /// As documented, but a page without records says `data: null`.
    NullWhenEmpty,
    /// `data` alone: nothing tells how many pages there are.
    NoTotals,
    /// The paging fields inside `pagination`.
    InPagination,
    /// The paging fields inside `meta`.
    InMeta,
    /// As documented, with the numbers written as strings.
    TextNumbers,
}

/// Where a page stands in the whole.
pub(super) struct Place {
    pub page: usize,
    pub pages: usize,
    pub limit: usize,
    pub count: usize,
    pub total: usize,
}

impl Envelope {
    /// The text before and after the records (of which there is at least one, or `place.count` is 0).
    pub(super) fn around(self, place: &Place) -> (String, String) {
        let quote = if self == Self::TextNumbers { "\"" } else { "" };
        let mut paging = String::new();
        for (name, value) in [
            ("current_page", place.page),
            ("total_page", place.pages),
            ("current_limit", place.limit),
            ("current_count", place.count),
            ("total_count", place.total),
        ] {
            let comma = if paging.is_empty() { "" } else { "," };
            let _ = write!(paging, r#"{comma}"{name}":{quote}{value}{quote}"#);
        }
        let id = format!(r#""request_id":"req-{}-{}""#, place.limit, place.page);
        let open = r#"{"data":["#.to_owned();
        match self {
            Self::BareArray => ("[".into(), "]".into()),
            Self::NoTotals => (open, format!("],{id}}}")),
            Self::InPagination => (open, format!(r#"],"pagination":{{{paging}}},{id}}}"#)),
            Self::InMeta => (format!(r#"{{"meta":{{{paging}}},"data":["#), format!("],{id}}}")),
            Self::NullWhenEmpty if place.count == 0 => (format!(r#"{{"data":null,{paging},{id}}}"#), String::new()),
            Self::Documented | Self::NullWhenEmpty | Self::TextNumbers => (open, format!("],{paging},{id}}}")),
        }
    }
}
