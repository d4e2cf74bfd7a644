//! What is counted: of one service while it works, and of the process. Read when somebody asks, by the
//! metrics, the status page and the log; no text is made here. `families` has the names under which it is
//! exported.

mod failing;
pub mod families;
mod process;
mod progress;
mod service;

pub use failing::{Failing, Task};
pub use process::Memory;
pub use progress::{Account, BackfillProgress, Progress, Summary, Uncheckable};
pub use service::{Count, ServiceMetrics};
