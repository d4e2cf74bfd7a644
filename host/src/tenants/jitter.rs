//! Jitter: when within its period a tenant begins. Thousands that begin together would pull together for
//! ever: each gets a place of its own, the same one after every restart.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use collector_config::Plan;
use collector_model::TenantName;

/// No tenant waits longer for its first pull, however long its period is: somebody may be watching.
const LONGEST: Duration = Duration::from_secs(60);

/// How long this tenant waits before it begins.
pub fn offset(name: &TenantName, plan: &Plan) -> Duration {
    let period = plan.services.iter().map(|service| service.period).min().unwrap_or(LONGEST);
    offset_within(name, period.min(LONGEST))
}

fn offset_within(name: &TenantName, window: Duration) -> Duration {
    // Its keys are fixed, unlike those of a map.
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let milliseconds = window.as_millis().clamp(1, u128::from(u64::MAX)) as u64;
    Duration::from_millis(hasher.finish() % milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_of_tenants_are_spread_over_the_whole_window() {
        let window = Duration::from_secs(60);
        let mut seconds = [0; 60];
        for number in 0..6000 {
            let offset = offset_within(&TenantName::new(&format!("tenant-{number}")).unwrap(), window);
            seconds[usize::try_from(offset.as_secs()).unwrap()] += 1;
        }
        // A hundred each on average; by chance alone, none of sixty is as far from it as this.
        assert!(seconds.iter().all(|count| (50..150).contains(count)), "{seconds:?}");
    }

    #[test]
    fn a_tenant_always_has_the_same_place() {
        let name = TenantName::new("acme").unwrap();
        let window = Duration::from_secs(60);
        assert_eq!(offset_within(&name, window), offset_within(&name.clone(), window));
        assert_eq!(offset_within(&name, Duration::ZERO), Duration::ZERO);
    }
}
