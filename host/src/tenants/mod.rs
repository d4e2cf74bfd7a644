//! Many tenants in one process: each sub-folder of a folder is one, in the layout of a single collector (`config/`,
//! `certs/`, `state/`). They are added, changed and removed while the process runs, and know nothing of each other.
//!
//! `watch` notices that something has changed, `folder` looks at what is there
//! now, `change` decides what that means for a tenant, `keeper` keeps one running, [`supervisor`] brings them together.
//! `spread` is when a tenant begins; `open_files` makes room for all of them.

mod change;
mod folder;
mod keeper;
mod open_files;
mod spread;
mod supervisor;
mod watch;

pub use supervisor::run;
