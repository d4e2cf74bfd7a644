//! Memory of the process and the machine, from `/proc` (proc(5)).

use std::path::{Path, PathBuf};

/// How much memory is used at one moment. Zero where it can't be read.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Memory {
    /// Of the machine's memory, what is not available, in percent.
    pub global_percent: f64,
    /// Resident memory of this process, in bytes.
    pub rss: u64,
    /// Address space of this process, in bytes.
    pub vms: u64,
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
}

impl Memory {
    /// What this process could use, in bytes: the machine's memory, or less where a control group says so
    /// (cgroups(7)).
    pub fn available() -> u64 {
        let machine = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = kibibytes(&machine, "MemTotal:").unwrap_or_default() * 1024;
        let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let limits = groups.lines().flat_map(limit_files).filter_map(|file| {
            // "max" in the second version, a number beyond any machine's memory in the first.
            std::fs::read_to_string(file).ok()?.trim().parse().ok()
        });
        limits.fold(total, u64::min)
    }
}

/// The files with the limit of memory of a group and of those that it is in, by a line of
/// `/proc/self/cgroup`. In a container the path may be that of the machine: what is mounted is then the group
/// itself.
fn limit_files(line: &str) -> Vec<PathBuf> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { return Vec::new() };
    let (mount, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        some if some.split(',').any(|controller| controller == "memory") => {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let groups = Path::new(path.trim_start_matches('/')).ancestors();
    groups.map(|group| Path::new(mount).join(group).join(file)).collect()
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_all_groups_above_count() {
        let files = |line| limit_files(line).iter().map(|file| file.display().to_string()).collect::<Vec<_>>();
        assert_eq!(
            files("0::/system.slice/a.service"),
            [
                "/sys/fs/cgroup/system.slice/a.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        assert_eq!(files("4:cpu,memory:/")[0], "/sys/fs/cgroup/memory/memory.limit_in_bytes");
        assert!(files("4:cpu:/").is_empty() && files("nonsense").is_empty());
        assert!(Memory::available() > 0);
    }

    #[test]
    fn this_process_uses_memory() {
        let memory = Memory::now();
        assert!(memory.rss > 0 && memory.vms >= memory.rss && memory.global_percent > 0.0, "{memory:?}");
    }
}
