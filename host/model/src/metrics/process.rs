//! Memory of the process and the machine, from `/proc` (proc(5)).

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

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory() {
        let memory = Memory::now();
        assert!(memory.rss > 0 && memory.vms >= memory.rss && memory.global_percent > 0.0, "{memory:?}");
    }
}
