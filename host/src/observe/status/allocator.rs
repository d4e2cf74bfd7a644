//! What the allocator keeps of the memory that was freed.

use std::fmt;

use collector_model::metrics::Memory;
#[cfg(target_env = "gnu")]
use nix::libc;

/// Bytes in a MiB, the unit of the log's lines.
const MIB: f64 = 1024.0 * 1024.0;

/// More than this is returned at once: a chunk takes less, and whatever has taken more is not what usually
/// happens.
#[cfg(target_env = "gnu")]
const MOST_KEPT_IN_BYTES: i32 = 16 << 20;

/// Memory before and after the allocator gave back what it could.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Release {
    before: Memory,
    after: Memory,
}

/// Lets threads share the allocator's arenas, of which there would be eight for each processor: what one
/// thread has freed is of no use to those of other arenas. To be called before there are threads; with a
/// thousand tenants it saves two and a half kilobytes for each.
pub fn limit_arenas() {
    #[cfg(target_env = "gnu")]
    {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // SAFETY: mallopt(3) takes no pointer.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, i32::try_from(processors).unwrap_or(i32::MAX));
        }
    }
}

/// Lets all threads take memory from one arena, and that keep what was freed until [`trim`]: chunks of a long
/// history take the same amount one after the other, and to return it to the system and get it again costs a
/// fault for each page. For a process with one configuration; to be called before there are threads.
pub fn retain_freed() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt(3) takes no pointer.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TRIM_THRESHOLD, MOST_KEPT_IN_BYTES);
    }
}

/// Returns unused memory to the system.
pub fn trim() -> Release {
    let before = Memory::now();
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) takes no pointer and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
    Release { before, after: Memory::now() }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, after } = self;
        write!(
            f,
            "[GC] global: {:.1}% -> {:.1}%, process: RSS({:.2}MiB -> {:.2}MiB), VMS({:.2}MiB -> {:.2}MiB)",
            before.global_percent,
            after.global_percent,
            before.rss as f64 / MIB,
            after.rss as f64 / MIB,
            before.vms as f64 / MIB,
            after.vms as f64 / MIB
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_the_specifications() {
        let mib = |mib: f64| (mib * MIB) as u64;
        let before = Memory { global_percent: 51.1, rss: mib(40.54), vms: mib(507.2) };
        let after = Memory { global_percent: 51.2, rss: mib(40.84), vms: mib(507.2) };
        assert_eq!(
            Release { before, after }.to_string(),
            "[GC] global: 51.1% -> 51.2%, process: RSS(40.54MiB -> 40.84MiB), VMS(507.20MiB -> 507.20MiB)"
        );
    }
}
