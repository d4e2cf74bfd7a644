//! How often an API may be called (`requests_limits`, `requests_per_second`), whatever the component does:
//! `limit` reads what the operator set, `window` decides, `limiter` waits. A limiter lives as long as its
//! service: the calls of one cycle count in the next. They don't outlive the process.
//!
//! # Live and backfill
//!
//! A history of a million records would use up every limit for hours, and new records would wait behind it.
//! So calls are of two kinds. L is the limit's number, W the length of its window, P the service's period.
//!
//! - *Live* calls (set-up and pull) may use all of L.
//! - *Backfill* calls leave a reserve R for live in every window: 2 for each period that the window covers,
//!   at most three quarters of L, so that some are left for backfill: R = min(2 x ceil(W / P), 3 L / 4), and
//!   at most L - R are backfill's. 20 a minute leave 18, 1000 an hour 880, 1000 a day 250, if a service pulls
//!   every minute.
//! - While a backfill is pending, a pull in its turn leaves a share S of each window of a period or more: a
//!   quarter of L, at least 2, at most what backfill may use: S = min(max(2, L / 4), L - R). Without it, a
//!   limit that allows less than a pull wants would never be free for anything else. Where L is 1, live and
//!   backfill take turns: a pull waits until the last live call is two windows old.
//! - Where both wait for the same call, live goes first.
//!
//! The reserve holds whatever the component does. The share is what the host grants a pull beforehand, in its
//! budget; a component that makes more requests than that takes them from its own backfill.
//!
//! It follows that a pull that makes two requests waits no longer than the limit alone would make it wait,
//! and that backfill gets L - R calls of each window, or S where live takes the rest.

mod limit;
mod limiter;
mod window;

pub use limit::{GENERIC_NOTICE, Limit, LimitError, read};
pub use limiter::{InputLimiter, Limiter, announce};
pub use window::Kind;
