//! Many tenants in one process: each sub-folder of a folder is one, in the layout of a single collector
//! (`config/`, `certs/`, `state/`). They are added, changed and removed while the process runs, and know
//! nothing of each other.
//!
//! `watch` notices that something has changed, `folder` looks at what is there now, `reconcile` decides what
//! that means for a tenant, `runner` keeps one running, and `supervisor` brings them together. `jitter` is
//! when within its period a tenant begins; `open_files` raises the limit that they would meet first.

mod folder;
mod jitter;
mod open_files;
mod reconcile;
mod runner;
mod supervisor;
mod watch;

pub use supervisor::{Shown, run};
