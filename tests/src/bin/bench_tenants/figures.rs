//! What is read off a process that hosts tenants.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use sandbox::collector::Collector;

/// What was measured of a number of tenants.
pub struct Figures {
    /// The most memory that was resident at any look.
    pub resident_in_bytes: u64,
    /// How long each cycle took, sorted.
    pub milliseconds: Vec<f64>,
    /// Cycles that should have been and were not.
    pub missed: usize,
    /// Computing time of the process.
    pub cpu: Duration,
    /// How long an instance of the component takes to make, on average.
    pub instantiation: Duration,
}

impl Figures {
    /// How many cycles were measured.
    pub fn cycles(&self) -> usize {
        self.milliseconds.len()
    }

    /// So many percent of the cycles took no longer.
    pub fn percentile(&self, percent: usize) -> f64 {
        let last = self.milliseconds.len().saturating_sub(1);
        self.milliseconds.get(last * percent / 100).copied().unwrap_or(f64::NAN)
    }
}

/// How long the finished cycles of each tenant took, in milliseconds, in their order.
pub struct Cycles(HashMap<String, Vec<f64>>);

impl Cycles {
    /// Those that the log tells of so far.
    pub fn of(collector: &Collector) -> Self {
        let mut cycles: HashMap<String, Vec<f64>> = HashMap::new();
        for line in collector.lines_with(&["/InputProcess::", "Elapsed time: "]) {
            let took =
                line.split_once("Elapsed time: ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<f64>().ok());
            let tenant = line.split_once("/InputProcess::").and_then(|(before, _)| before.rsplit(' ').next());
            if let Some((tenant, took)) = tenant.zip(took) {
                cycles.entry(tenant.to_owned()).or_default().push(took * 1000.0);
            }
        }
        Self(cycles)
    }

    /// Those that have come since an earlier look.
    pub fn since(mut self, earlier: &Self) -> Self {
        for (tenant, cycles) in &mut self.0 {
            cycles.drain(..earlier.count(tenant));
        }
        self
    }

    /// How many a tenant has.
    pub fn count(&self, tenant: &str) -> usize {
        self.0.get(tenant).map_or(0, Vec::len)
    }

    /// Of all tenants whose names begin so, sorted.
    pub fn milliseconds(&self, prefix: &str) -> Vec<f64> {
        let tenants = self.0.iter().filter(|(name, _)| name.starts_with(prefix));
        let mut milliseconds: Vec<f64> = tenants.flat_map(|(_, cycles)| cycles.iter().copied()).collect();
        milliseconds.sort_by(f64::total_cmp);
        milliseconds
    }
}

/// Computing time of the process so far.
pub fn cpu_time(collector: &Collector) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", collector.pid()))?;
    // The name before may have spaces; the 14th and 15th field are ticks of 10 ms.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|&field| fields.get(field)?.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}
