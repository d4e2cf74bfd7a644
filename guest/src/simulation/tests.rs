//! Runs seeds as tests. `SEEDS=n` sets how many, `SEED=n` runs one and shows all that happens.

use std::time::Duration;

use super::check::Check;
use super::history::{History, Stored};
use super::random::scatter;
use super::source::Kind;
use super::{host, reader, runner, simulate};
use crate::planted::Planted;

/// Seeds without `SEEDS`: with `THOROUGH`, as in `just test`, and for somebody who edits a file.
const SEEDS: [u64; 2] = [20_000, 500];

/// Time in which a planted fault has to be found.
const SEARCH: Duration = Duration::from_secs(60);

/// Whether everything is to be tried, as in `just test`.
fn is_thorough() -> bool {
    std::env::var_os("THOROUGH").is_some()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.replace('_', "").parse().unwrap())
}

#[test]
fn no_history_breaks_a_promise() {
    let seeds = number("SEEDS");
    let usual = SEEDS[usize::from(!is_thorough())];
    let first = number("FIRST").unwrap_or(0);
    let found = runner::search(first, seeds.unwrap_or(usual), None, Duration::MAX, seeds.is_some());
    if let Some((seed, failure)) = found {
        panic!("{}", runner::report(seed, &failure, None));
    }
}

#[test]
fn one_seed() {
    let Some(seed) = number("SEED") else { return };
    let history = History::of(seed);
    println!("{history}");
    let outcome = runner::silently(|| host::run(&history, None, true));
    println!("{}", outcome.trace.join("\n"));
    if let Err(failure) = outcome.result {
        panic!("{}", runner::report(seed, &failure, None));
    }
}

/// Seeds beyond those of every run that have broken a promise once.
const FOUND: [u64; 46] = [
    32_160, 53_626, 100_764, 158_712, 161_526, 174_322, 174_412, 180_660, 184_996, 188_362, 208_282, 210_940, 261_996,
    264_235, 269_006, 343_949, 359_881, 380_647, 384_693, 396_722, 396_731, 520_141, 565_602, 1_009_710, 1_012_138,
    1_026_954, 1_065_494, 1_084_964, 1_095_061, 1_098_326, 1_112_886, 1_114_696, 1_129_095, 1_145_971, 1_166_617,
    1_210_997, 1_214_431, 1_242_206, 1_245_305, 1_268_531, 1_532_491, 1_577_144, 1_596_142, 1_732_053, 1_737_904,
    1_791_086,
];

#[test]
fn seeds_that_broke_a_promise_once_keep_it() {
    for seed in FOUND {
        if let Err(failure) = runner::silently(|| host::run(&History::of(seed), None, false).result) {
            panic!("{}", runner::report(seed, &failure, None));
        }
    }
}

/// With `SURVEY=n`: how many of so many seeds break which promise.
#[test]
fn survey() {
    let Some(count) = number("SURVEY") else { return };
    let began = std::time::Instant::now();
    for (check, seeds) in runner::survey(number("FIRST").unwrap_or(0), count, None) {
        println!("{check:?}: {} of {count}, first {:?}", seeds.len(), &seeds[..seeds.len().min(12)]);
    }
    let calls: usize = (0..200).map(|seed| runner::silently(|| host::run(&History::of(seed), None, false).calls)).sum();
    println!("{} calls a seed", calls / 200);
    println!("{:.0} seeds a second", count as f64 / began.elapsed().as_secs_f64());
}

/// With `TRACE=n`: a number that stands for all that happens in so many seeds, but for the size of what is
/// stored. A step that is to change nothing leaves it as it was.
#[test]
fn trace() {
    let Some(count) = number("TRACE") else { return };
    let first = number("FIRST").unwrap_or(0);
    let mut sum = 0;
    for seed in first..first + count {
        let outcome = runner::silently(|| host::run(&History::of(seed), None, true));
        let lines =
            outcome.trace.iter().filter(|line| !line.contains(" bytes")).flat_map(|line| line.bytes().chain([b'\n']));
        sum = lines.fold(sum, |sum, byte| scatter(sum, byte.into()));
    }
    println!("{sum:016x}");
}

#[test]
fn a_seed_is_one_history() {
    for seed in 0..50 {
        let run = || runner::silently(|| host::run(&History::of(seed), None, true).trace);
        assert_eq!(run(), run(), "seed {seed}");
    }
}

/// In a trace all that is stored is written out and read again; otherwise seldom.
#[test]
fn the_texts_of_states_make_no_difference() {
    for seed in 0..200 {
        let run = |traced| {
            let outcome = runner::silently(|| host::run(&History::of(seed), None, traced));
            (outcome.result, outcome.calls, outcome.progress, outcome.warnings)
        };
        assert_eq!(run(true), run(false), "seed {seed}");
    }
}

/// A check that a collector can't pass however hard it tries would be wrong. This one has no limits: it reads
/// everything in every cycle, so what it asks for isn't looked at.
#[test]
fn the_promises_can_be_kept() {
    let reader = host::Collector { pre_pull: reader::pre_pull, pull: reader::pull, backfill: reader::pull };
    let first = number("FIRST").unwrap_or(0);
    for seed in first..first + number("READS").unwrap_or(if is_thorough() { 500 } else { 100 }) {
        let mut history = History::of(seed);
        let is_broken = history.records.iter().any(|record| record.kind == Kind::Broken);
        if history.stored != Stored::Nothing || history.deliver_changes || is_broken {
            continue;
        }
        history.host.requests = None;
        let run = |traced| runner::silently(|| host::run_with(&history, reader, traced));
        match run(false).result {
            Err(failure) if !matches!(failure.check, Check::Requests | Check::Budget | Check::Endless) => {
                panic!("seed {seed}: {failure}\n{history}\n{}", run(true).trace.join("\n"));
            }
            _ => {}
        }
    }
}

/// Some history shows the fault, and nothing but the fault.
#[track_caller]
fn is_found(fault: Planted) {
    let found = runner::search(0, u64::MAX, Some(fault), SEARCH, false);
    let (seed, shown) = found.unwrap_or_else(|| panic!("no history has shown {fault:?}"));
    if let Err(failure) = runner::silently(|| simulate(seed, None)) {
        panic!("seed {seed} breaks a promise without {fault:?} too: {failure} (with it: {shown})");
    }
}

#[test]
fn a_pass_that_ends_at_an_empty_page_is_found() {
    is_found(Planted::EndsAtEmptyPage);
}

#[test]
fn a_pass_that_ends_at_a_short_page_is_found() {
    is_found(Planted::EndsAtShortPage);
}

#[test]
fn belief_in_the_number_that_an_answer_gives_itself_is_found() {
    is_found(Planted::BelievesEcho);
}

#[test]
fn belief_in_the_count_is_found() {
    is_found(Planted::BelievesCount);
}

#[test]
fn a_page_that_blocks_all_others_is_found() {
    is_found(Planted::BlocksOnGap);
}

#[test]
fn a_history_that_is_read_only_once_is_found() {
    is_found(Planted::NoSecondPass);
}

#[test]
fn a_run_of_live_that_is_forgotten_is_found() {
    is_found(Planted::NoOpen);
}

#[test]
fn a_state_that_is_stored_early_is_found() {
    is_found(Planted::CommitsEarly);
}

#[test]
fn pages_that_are_always_counted_from_1_are_found() {
    is_found(Planted::NumbersFromOne);
}

#[test]
fn a_backfill_that_goes_first_is_found() {
    is_found(Planted::StarvesLive);
}
