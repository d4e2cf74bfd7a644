//! Runs many seeds on all cores, and reports what they found.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::check::{Check, Failure};
use super::history::History;
use super::{host, shrink, simulate};
use crate::planted::Planted;

/// Seeds that a thread takes at once.
const CHUNK: u64 = 64;

/// How long a history that breaks a promise is made smaller.
const SHRINK: Duration = Duration::from_secs(20);

/// Whether this thread's panics are told by the simulation, and not printed.
mod silence {
    use std::cell::Cell;
    use std::sync::Once;

    thread_local!(static SILENT: Cell<bool> = const { Cell::new(false) });
    static HOOK: Once = Once::new();

    /// Runs with panics of this thread unprinted.
    pub fn silently<T>(run: impl FnOnce() -> T) -> T {
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                if !SILENT.get() {
                    before(panic);
                }
            }));
        });
        SILENT.set(true);
        let result = run();
        SILENT.set(false);
        result
    }
}

pub use silence::silently;

/// The first seed of those from `first` on that breaks a promise, within this time.
pub fn search(first: u64, count: u64, planted: Option<Planted>, time: Duration, shows: bool) -> Option<(u64, Failure)> {
    let next = AtomicU64::new(first);
    let stop = AtomicBool::new(false);
    let found = Mutex::new(None::<(u64, Failure)>);
    let began = Instant::now();
    let end = first.saturating_add(count);
    let work = || {
        silently(|| {
            while !stop.load(Ordering::Relaxed) && began.elapsed() < time {
                let from = next.fetch_add(CHUNK, Ordering::Relaxed);
                if from >= end {
                    break;
                }
                for seed in from..(from + CHUNK).min(end) {
                    if let Err(failure) = simulate(seed, planted) {
                        stop.store(true, Ordering::Relaxed);
                        let mut found = found.lock().expect("no thread panics");
                        if found.as_ref().is_none_or(|(other, _)| seed < *other) {
                            *found = Some((seed, failure));
                        }
                        break;
                    }
                }
            }
        });
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        while shows && !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(500));
            progress(next.load(Ordering::Relaxed).min(end) - first, count, began.elapsed());
        }
    });
    if shows {
        progress((next.into_inner().min(end) - first).min(count), count, began.elapsed());
        eprintln!();
    }
    found.into_inner().expect("no thread panics")
}

/// How many of these seeds break which promise, and the first seeds that do.
pub fn survey(first: u64, count: u64, planted: Option<Planted>) -> BTreeMap<Check, Vec<u64>> {
    let next = AtomicU64::new(first);
    let found = Mutex::new(BTreeMap::<Check, Vec<u64>>::new());
    let work = || {
        silently(|| {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + count {
                    break;
                }
                if let Err(failure) = simulate(seed, planted) {
                    found.lock().expect("no thread panics").entry(failure.check).or_default().push(seed);
                }
            }
        });
    };
    std::thread::scope(|scope| {
        (0..std::thread::available_parallelism().map_or(1, usize::from)).for_each(|_| drop(scope.spawn(work)));
    });
    let mut found = found.into_inner().expect("no thread panics");
    found.values_mut().for_each(|seeds| seeds.sort_unstable());
    found
}

fn progress(done: u64, count: u64, time: Duration) {
    let rate = done as f64 / time.as_secs_f64().max(0.001);
    let left = (count - done) as f64 / rate.max(1.0);
    let line = if std::io::stderr().is_terminal() { "\r" } else { "\n" };
    eprint!("{line}{done} of {count} seeds, {rate:.0} a second, {left:.0} s left   ");
    let _ = std::io::stderr().flush();
}

/// What a seed has broken: how to run it again, and the smallest history that still does.
pub fn report(seed: u64, failure: &Failure, planted: Option<Planted>) -> String {
    let smallest = silently(|| shrink::shrink(&History::of(seed), planted, failure.check, SHRINK));
    let outcome = silently(|| host::run(&smallest, planted, true));
    let mut text = String::new();
    let _ = writeln!(text, "seed {seed} breaks a promise: {failure}");
    let _ = writeln!(
        text,
        "run it again: SEED={seed} cargo test --release -p cloudsek-xvigil --lib simulation::tests::one_seed -- --nocapture"
    );
    let _ = writeln!(text, "made smaller: {smallest}\n{}", outcome.trace.join("\n"));
    text
}
