//! How many files the process may have open. A tenant needs one for its folder and one for the lock of its
//! state, and three more while it pulls; the usual soft limit of 1024 is there for programs that can't count
//! further, and may be raised by whoever can.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::{info, warn};

/// What a tenant may need at one moment: its folder, a lock, two connections to its API, one for events, one
/// for messages.
const PER_TENANT: u64 = 6;

/// Raises the limit as far as the system lets us.
pub fn raise() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most).map(|()| most));
    match raised {
        Ok(most) => info!("At most {most} files can be open, enough for {} tenants at the busiest", most / PER_TENANT),
        Err(error) => warn!("The limit of open files can't be raised: {error}. Raise it from outside (ulimit -n)"),
    }
}
