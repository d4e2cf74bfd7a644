//! How often an API may be called (`requests_limits`, `requests_per_second`), whatever the component does: `limit` reads
//! what the operator set, `window` decides, `limiter` waits. A limiter lives as long as its service: the calls of one
//! cycle count in the next. They don't outlive the process.

mod limit;
mod limiter;
mod window;

pub use limit::{GENERIC_NOTICE, Limit, LimitError, read};
pub use limiter::{InputLimiter, Limiter};
