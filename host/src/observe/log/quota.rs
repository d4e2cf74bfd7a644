//! How much a tenant may write to the log in a minute: every line that is due to it counts with all of its
//! bytes, whether its component writes it, a service, or the host about its configuration. What is beyond is
//! dropped, and a line says how much that was. What the process says of itself is never dropped.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

/// After so long what a tenant has written is forgotten.
const WINDOW: Duration = Duration::from_secs(60);

/// How often it is looked who has to be told of.
const LOOK: Duration = Duration::from_secs(5);

/// Of a tenant that writes nothing for so long, nothing is kept.
const KEPT: Duration = Duration::from_secs(3_600);

/// Lines of this target say what was dropped, and are not dropped themselves.
pub const TARGET: &str = "devo_collector::log_quota";

/// What tenants have written to the log. Clones share it. By default there is no quota.
#[derive(Clone, Default)]
pub struct LogQuota(Option<Arc<Inner>>);

struct Inner {
    bytes_a_minute: u64,
    accounts: Mutex<BTreeMap<Arc<str>, Account>>,
}

/// What a tenant has written.
struct Account {
    /// When its minute began.
    since: Instant,
    written: u64,
    /// What was dropped, and nobody was told of yet; the first of it at this time.
    untold: Dropped,
    untold_since: Instant,
    dropped: Dropped,
}

/// Lines that were not written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// How many.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Dropped {
    fn add(&mut self, bytes: u64) {
        self.lines += 1;
        self.bytes += bytes;
    }
}

impl LogQuota {
    /// So many bytes a minute for each tenant.
    pub fn new(bytes_a_minute: u64) -> Self {
        Self(Some(Arc::new(Inner { bytes_a_minute, accounts: Mutex::default() })))
    }

    /// Whether a line of so many bytes may be written that is due to this tenant, or to none. It is counted
    /// either way.
    pub fn admit(&self, tenant: Option<&str>, bytes: usize) -> bool {
        let (Some(inner), Some(tenant)) = (&self.0, tenant) else { return true };
        let (now, bytes) = (Instant::now(), bytes as u64);
        let mut accounts = inner.accounts();
        if !accounts.contains_key(tenant) {
            accounts.insert(tenant.into(), Account::new(now));
        }
        let Some(account) = accounts.get_mut(tenant) else { return true };
        if now.duration_since(account.since) >= WINDOW {
            (account.since, account.written) = (now, 0);
        }
        let written = account.written.saturating_add(bytes);
        if written > inner.bytes_a_minute {
            if account.untold.lines == 0 {
                account.untold_since = now;
            }
            account.untold.add(bytes);
            account.dropped.add(bytes);
            return false;
        }
        account.written = written;
        true
    }

    /// Says forever what was dropped, once in each minute of a tenant.
    pub async fn report(&self) -> Infallible {
        loop {
            tokio::time::sleep(LOOK).await;
            self.tell(false);
        }
    }

    /// Says what was dropped and not told yet, for nothing comes after it.
    pub fn report_last(&self) {
        self.tell(true);
    }

    fn tell(&self, at_once: bool) {
        let Some(inner) = &self.0 else { return };
        // The lock is given back before a line is written, which takes it.
        for (tenant, Dropped { lines, bytes }) in inner.untold(at_once) {
            warn!(
                target: TARGET,
                tenant = %tenant,
                dropped_lines = lines,
                dropped_bytes = bytes,
                "The tenant {tenant} has written more than {} bytes to the log within a minute \
                 (quota.log_in_bytes_a_minute): {lines} lines of {bytes} bytes were dropped",
                inner.bytes_a_minute
            );
        }
    }

    /// What was dropped of each tenant that has written something within the last hour.
    pub fn dropped(&self) -> Vec<(Arc<str>, Dropped)> {
        let Some(inner) = &self.0 else { return Vec::new() };
        inner.accounts().iter().map(|(tenant, account)| (tenant.clone(), account.dropped)).collect()
    }
}

impl Inner {
    fn untold(&self, at_once: bool) -> Vec<(Arc<str>, Dropped)> {
        let mut accounts = self.accounts();
        accounts.retain(|_, account| account.untold.lines > 0 || account.since.elapsed() < KEPT);
        let due = accounts
            .iter_mut()
            .filter(|(_, account)| account.untold.lines > 0 && (at_once || account.untold_since.elapsed() >= WINDOW));
        due.map(|(tenant, account)| (tenant.clone(), std::mem::take(&mut account.untold))).collect()
    }

    fn accounts(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn new(since: Instant) -> Self {
        let nothing = Dropped::default();
        Self { since, written: 0, untold: nothing, untold_since: since, dropped: nothing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: usize = 40;

    #[tokio::test(start_paused = true)]
    async fn beyond_its_quota_a_tenants_lines_are_dropped_and_counted_and_nobody_elses() {
        let quota = LogQuota::new(100);
        let admitted = (0..10).filter(|_| quota.admit(Some("acme"), LINE)).count();
        assert_eq!(admitted, 2);
        assert!(quota.admit(Some("globex"), LINE) && quota.admit(None, 1_000_000));
        assert!(!quota.admit(Some("globex"), 61), "one long line counts with its bytes");
        let of_acme = Dropped { lines: 8, bytes: 320 };
        let of_globex = Dropped { lines: 1, bytes: 61 };
        assert_eq!(quota.dropped(), [("acme".into(), of_acme), ("globex".into(), of_globex)]);
        assert_eq!(quota.0.as_ref().unwrap().untold(false), [], "the minute is not over");
        tokio::time::advance(WINDOW).await;
        assert!(quota.admit(Some("acme"), LINE), "a new minute");
        let told = quota.0.as_ref().unwrap().untold(false);
        assert_eq!(told, [("acme".into(), of_acme), ("globex".into(), of_globex)]);
        assert_eq!(quota.0.as_ref().unwrap().untold(true), []);
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_tenant_that_is_silent_nothing_is_kept_once_it_was_told() {
        let quota = LogQuota::new(100);
        quota.admit(Some("acme"), 1_000);
        tokio::time::advance(KEPT).await;
        let inner = quota.0.as_ref().unwrap();
        assert_eq!(inner.untold(false).len(), 1);
        assert_eq!(inner.untold(false), []);
        assert!(quota.dropped().is_empty());
    }

    #[test]
    fn without_a_quota_everything_is_written() {
        assert!(LogQuota::default().admit(Some("acme"), usize::MAX));
    }
}
