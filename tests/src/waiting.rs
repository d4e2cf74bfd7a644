//! Waiting with a bound: for a value that another thread changes, or for something outside this process.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// A value that one thread changes and others wait for.
#[derive(Debug, Default)]
pub struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watched<T> {
    /// Starts with `value`.
    pub fn new(value: T) -> Self {
        Self { value: Mutex::new(value), changed: Condvar::new() }
    }

    /// Looks at the value.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock())
    }

    /// Changes the value and wakes whoever waits for it.
    pub fn change<R>(&self, edit: impl FnOnce(&mut T) -> R) -> R {
        let result = edit(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Waits until `look` finds what it looks for. `None` when `timeout` passes first.
    pub fn wait<R>(&self, timeout: Duration, mut look: impl FnMut(&T) -> Option<R>) -> Option<R> {
        let deadline = Instant::now() + timeout;
        let mut value = self.lock();
        loop {
            if let Some(found) = look(&value) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            value = self.changed.wait_timeout(value, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    // A panic of a thread that held the lock is that thread's failure; what it counted so far still stands.
    fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until `look` finds what it looks for outside this process, where nothing tells of a change (a file
/// of another program, for example). An error of `look` counts as "not yet" and is shown if the time runs
/// out.
pub fn poll<R>(what: &str, timeout: Duration, mut look: impl FnMut() -> Result<Option<R>>) -> Result<R> {
    let deadline = Instant::now() + timeout;
    loop {
        let last = match look() {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => String::new(),
            Err(error) => format!(" (last error: {error:#})"),
        };
        if Instant::now() >= deadline {
            bail!("waited {timeout:?} in vain for {what}{last}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_when_the_value_is_there() {
        let count = Watched::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| (0..3).for_each(|_| count.change(|n| *n += 1)));
            assert_eq!(count.wait(Duration::from_secs(10), |n| (*n == 3).then_some("three")), Some("three"));
        });
    }

    #[test]
    fn a_wait_in_vain_ends_too() {
        assert_eq!(Watched::new(0).wait(Duration::from_millis(1), |n| (*n == 1).then_some(())), None);
        let error = poll("a miracle", Duration::from_millis(1), || Ok(None::<()>)).unwrap_err().to_string();
        assert!(error.contains("a miracle"), "{error}");
    }
}
