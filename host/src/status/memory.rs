//! Memory of the process and the machine, and giving back what the allocator holds without need.

use std::fmt;

/// Bytes in a MiB, the unit of the log's lines.
const MIB: f64 = 1024.0 * 1024.0;

/// More than this is returned at once: a piece takes less, and whatever has taken more is not what usually happens.
#[cfg(target_env = "gnu")]
const MOST_KEPT_IN_BYTES: i32 = 16 << 20;

/// How much memory is used at one moment, from `/proc` (proc(5)). Zero where it can't be read.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Memory {
    /// Of the machine's memory, what is not available, in percent.
    pub global_percent: f64,
    /// Resident memory of this process, in bytes.
    pub rss: u64,
    /// Address space of this process, in bytes.
    pub vms: u64,
}

/// Memory before and after the allocator gave back what it could.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Release {
    before: Memory,
    after: Memory,
}

impl Memory {
    /// What is used now.
    pub fn now() -> Self {
        let machine = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let process = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let total = kibibytes(&machine, "MemTotal:").unwrap_or_default();
        let available = kibibytes(&machine, "MemAvailable:").unwrap_or_default();
        Self {
            global_percent: if total == 0 { 0.0 } else { (1.0 - available as f64 / total as f64) * 100.0 },
            rss: kibibytes(&process, "VmRSS:").unwrap_or_default() * 1024,
            vms: kibibytes(&process, "VmSize:").unwrap_or_default() * 1024,
        }
    }

    /// Lets threads share the allocator's arenas, of which there would be eight for each processor: what one thread has
    /// freed is of no use to those of other arenas. To be called before there are threads; with a thousand tenants it saves
    /// two and a half kilobytes for each.
    pub fn share_arenas() {
        #[cfg(target_env = "gnu")]
        {
            let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            // SAFETY: mallopt(3) takes no pointer.
            unsafe {
                libc::mallopt(libc::M_ARENA_MAX, i32::try_from(processors).unwrap_or(i32::MAX));
            }
        }
    }

    /// Lets all threads take memory from one arena, and that keep what was freed until [`Memory::give_back`]: pieces of a long
    /// history take the same amount one after the other, and to return it to the system and get it again costs a fault for
    /// each page. For a process with one configuration; to be called before there are threads.
    pub fn keep_freed() {
        #[cfg(target_env = "gnu")]
        // SAFETY: mallopt(3) takes no pointer.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, 1);
            libc::mallopt(libc::M_TRIM_THRESHOLD, MOST_KEPT_IN_BYTES);
        }
    }

    /// Returns unused memory to the system.
    pub fn give_back() -> Release {
        let before = Self::now();
        #[cfg(target_env = "gnu")]
        // SAFETY: malloc_trim(3) takes no pointer and may be called at any time from any thread.
        unsafe {
            libc::malloc_trim(0);
        }
        Release { before, after: Self::now() }
    }
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

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
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

    #[test]
    fn this_process_uses_memory() {
        let memory = Memory::now();
        assert!(memory.rss > 0 && memory.vms >= memory.rss && memory.global_percent > 0.0, "{memory:?}");
    }
}
