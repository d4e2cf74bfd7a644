//! How the times of the records run along a walk: what tells an order by time from none.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// How often a record must be older than all before it for the order to be believed, and at the least how
/// many of so many steps that must be. It counts ranks and not spans of time, so a few odd dates prove
/// nothing; and records in no order make twenty such steps among two hundred once in a million times, however
/// their times are spread.
const CONVINCING: u64 = 20;
const SHARE: u64 = 10;

/// How times run along a walk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trend {
    previous: Option<DateTime<Utc>>,
    oldest: Option<DateTime<Utc>>,
    newest: Option<DateTime<Utc>>,
    /// From a record to one with another time.
    steps: u64,
    /// To a record that is older than all before.
    lows: u64,
    /// Such ones to a record from before the window.
    lows_beyond: u64,
    /// To a record that is newer than all before.
    highs: u64,
    /// The most that a record is newer than an earlier one, in milliseconds.
    highest_rise: i64,
}

impl Trend {
    /// Takes note of the next records' times, in the walk's direction. What is from before `window` lies
    /// beyond it.
    pub fn follow(&mut self, times: impl Iterator<Item = DateTime<Utc>>, window: Option<DateTime<Utc>>) {
        for time in times {
            if let (Some(previous), Some(oldest), Some(newest)) = (self.previous, self.oldest, self.newest) {
                self.steps += u64::from(time != previous);
                self.lows += u64::from(time < oldest);
                self.lows_beyond += u64::from(time < oldest && window.is_some_and(|window| time < window));
                self.highs += u64::from(time > newest);
                self.highest_rise = self.highest_rise.max((time - oldest).num_milliseconds());
            }
            self.previous = Some(time);
            self.oldest = Some(self.oldest.map_or(time, |oldest| oldest.min(time)));
            self.newest = self.newest.max(Some(time));
        }
    }

    /// Whether enough was seen to tell an order from none.
    pub fn is_conclusive(&self) -> bool {
        self.steps >= CONVINCING * SHARE
    }

    /// Whether records grow older along the walk.
    pub fn falls(&self) -> bool {
        self.lows >= CONVINCING && self.lows * SHARE >= self.steps
    }

    /// Whether enough records beyond the window were each older than all before.
    pub fn falls_beyond(&self) -> bool {
        self.lows_beyond >= CONVINCING
    }

    /// Whether records grow newer along the walk.
    pub fn rises(&self) -> bool {
        self.highs >= CONVINCING && self.highs * SHARE >= self.steps
    }

    /// The newest time that a record still to come can have, if the disorder stays what it was.
    pub fn newest_possible(&self) -> Option<DateTime<Utc>> {
        self.oldest.and_then(|oldest| oldest.checked_add_signed(TimeDelta::milliseconds(self.highest_rise)))
    }

    /// The newest time seen.
    pub fn newest(&self) -> Option<DateTime<Utc>> {
        self.newest
    }
}
