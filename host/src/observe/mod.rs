//! What the operator sees: the log, the collector's own messages to Devo, reports on memory and on what was
//! sent, and the pages of the admin address. They read what is counted; nothing that works depends on them.

pub(crate) mod admin;
pub mod log;
pub(crate) mod state;
pub mod status;
pub mod telemetry;
