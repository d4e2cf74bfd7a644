//! Every name and format that the original collector fixed and people's dashboards look for. Used where it is printed, and
//! by nothing else.

mod threads;

pub use threads::ServiceThreads;
