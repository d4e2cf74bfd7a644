//! What a server may look like: the order of its records, what it says of their number, how its pages end.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    NewestFirst,
    OldestFirst,
    /// By when records came, not by their times.
    LatestArrivalFirst,
    FirstArrivalFirst,
    Shuffled(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Totals {
    Missing,
    Numbers,
    Strings,
    /// Inside an object of this name.
    Nested(&'static str),
    CountOnly,
    PagesOnly,
    /// Always the same, whatever there is.
    Stuck(u64),
    /// Wrong by as much, but following what there is.
    Off(i64),
}

impl Totals {
    /// How many records there are by these totals when there are `count`.
    pub fn said(self, count: u64) -> u64 {
        match self {
            Self::Stuck(count) => count,
            Self::Off(by) => count.saturating_add_signed(by),
            _ => count,
        }
    }

    /// Whether live can tell from them that there is something new.
    pub fn show_growth(self) -> bool {
        !matches!(self, Self::Stuck(_) | Self::Missing | Self::PagesOnly)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastEnd {
    Empty,
    Null,
    LastPage,
    /// The last page, and its own number.
    LastPageWithNumber,
    NotFound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub order: Order,
    pub totals: Totals,
    /// Records that the server puts on a page at the most, and whether it says so.
    pub cap: Option<(u64, bool)>,
    pub past_end: PastEnd,
}

pub const PLAIN: Shape =
    Shape { order: Order::NewestFirst, totals: Totals::Numbers, cap: None, past_end: PastEnd::Empty };
