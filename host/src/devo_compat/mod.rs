//! Every name and format that the original collector fixed and people's dashboards look for: of processes and
//! threads, and of the lines that name them. Used where it is printed, and by nothing else.

mod announcements;
mod global_status;
mod senders;
mod spans;
mod threads;

pub use announcements::announce_inputs;
pub use global_status::GlobalStatus;
pub use senders::{SenderNames, SenderService};
pub use spans::{MAIN_THREAD, Process, internal_span, service_span, span, tenant_span};
pub use threads::ServiceThreads;
