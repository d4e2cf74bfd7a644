//! The host: calls the collector cycle by cycle, has events happen, and lets a day of rest follow.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::check::{Check, Failure};
use super::history::{History, Host, Promise};
use super::hooks;
use super::platform::Simulated;
use super::source::FOR_EVER;
use super::verdict;
use super::world::World;
use crate::failure;
use crate::planted::Planted;
use crate::progress::{Budget, Progress, Summary};
use crate::pull;

/// Requests of a pass beyond its pages: the ends and the first page's number, and pages that were promised
/// and aren't there.
pub const BESIDE_A_PASS: u64 = 3 + 12;

/// The promises need a day, and so many passes where each takes longer than that.
const PASSES: u32 = 3;

/// Retries of one page, and the seconds that they may take: those of the answer are counted by the source.
const RETRIES_IN_SECONDS: u64 = 10;
const ATTEMPTS: u32 = 4;

/// Whom the host calls.
#[derive(Clone, Copy)]
pub struct Collector {
    pub pre_pull: fn(&Simulated) -> Result<(), failure::Failure>,
    pub pull: fn(&Simulated, Budget) -> Result<Summary, failure::Failure>,
    pub backfill: fn(&Simulated, Budget) -> Result<Summary, failure::Failure>,
}

/// The one that this crate is about.
pub const COLLECTOR: Collector = Collector { pre_pull: pull::pre_pull, pull: pull::pull, backfill: pull::backfill };

/// How a history ended.
pub struct Outcome {
    pub result: Result<(), Failure>,
    pub trace: Vec<String>,
    /// How things stood at the end.
    pub progress: Progress,
    pub warnings: Vec<String>,
    /// Simulated calls.
    pub calls: usize,
}

/// Lives through a history.
pub fn run(history: &History, planted: Option<Planted>, traced: bool) -> Outcome {
    hooks::set(history, planted, traced);
    let outcome = run_with(history, COLLECTOR, traced);
    hooks::unset();
    outcome
}

/// Lives through a history with this collector.
pub fn run_with(history: &History, collector: Collector, traced: bool) -> Outcome {
    let mut driver = Driver::new(history, collector, traced);
    let lived = catch_unwind(AssertUnwindSafe(|| driver.live()));
    let broken = match lived {
        Ok(result) => result.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(Failure::new(Check::Panic, text.unwrap_or_default()))
        }
    };
    let mut world = driver.platform.0.into_inner();
    let failure = world.failure.take().or(broken);
    if let Some(failure) = &failure {
        world.note(|| format!("BROKEN {failure}"));
    }
    Outcome {
        result: failure.map_or(Ok(()), Err),
        calls: world.hits.len(),
        trace: world.trace.unwrap_or_default(),
        progress: driver.progress,
        warnings: world.warnings,
    }
}

/// What a cycle took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Took {
    pub requests: u32,
    /// Of the first call.
    pub by_live: u32,
    pub up_to_date: bool,
    pub failed: bool,
}

pub struct Driver<'a> {
    pub history: &'a History,
    collector: Collector,
    pub platform: Simulated,
    pub cycles: u32,
    /// Whether nothing more happens.
    pub rests: bool,
    pub up_to_date: bool,
    pub progress: Progress,
    /// Records that were received since the state began, and whether the collector was up to date at some
    /// time.
    pub received: u64,
    pub was_up_to_date: bool,
    /// Whether more has come before that than the first pass had read: what it finds next is as new as what
    /// live finds.
    pub overtaken: bool,
    /// Whether something was in the way of the last look of live.
    pub disturbed: bool,
}

impl<'a> Driver<'a> {
    pub fn new(history: &'a History, collector: Collector, traced: bool) -> Self {
        Self {
            history,
            collector,
            platform: Simulated(RefCell::new(World::new(history, traced))),
            cycles: 0,
            rests: false,
            up_to_date: false,
            progress: Progress::default(),
            received: 0,
            was_up_to_date: false,
            overtaken: false,
            disturbed: false,
        }
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.platform.0.borrow_mut())
    }

    fn live(&mut self) -> Result<(), Failure> {
        while self.cycles < self.history.cycles {
            self.cycle()?;
        }
        self.rest()
    }

    /// One cycle: its events, `pre_pull` where the service starts, `pull`, and `backfill` as long as there is
    /// something to do.
    pub fn cycle(&mut self) -> Result<Took, Failure> {
        let cycle = self.cycles;
        let began = self.with(|world| {
            let events = if self.rests { Vec::new() } else { self.history.events_of(cycle) };
            (world.upsets, world.events) = events.into_iter().partition(|event| event.what.is_upset());
            (world.requests, world.operations) = (0, 0);
            let seconds = world.seconds();
            world.note(|| format!("cycle {cycle} at {seconds} s"));
            world.happen(0);
            world.elapsed
        });
        let took = self.calls(began)?;
        self.with(|world| {
            world.happen(u32::MAX);
            let next = began + Duration::from_secs(self.history.host.period);
            world.elapsed = world.elapsed.max(next);
        });
        self.cycles += 1;
        Ok(took)
    }

    fn calls(&mut self, began: Duration) -> Result<Took, Failure> {
        let mut took = Took::default();
        let Collector { pre_pull, pull, backfill } = self.collector;
        if self.with(|world| world.restarts) {
            let prepared =
                self.call("pre_pull", Budget { requests: 0, time: Duration::MAX }, |platform, _| pre_pull(platform))?;
            if prepared.is_err() {
                took.failed = true;
                return Ok(took);
            }
            self.with(|world| world.restarts = false);
            // What the collector has learned may be gone.
            (self.received, self.was_up_to_date, self.overtaken) = (0, false, false);
        }
        let period = Duration::from_secs(self.history.host.period);
        let all = self.history.host.requests.unwrap_or(u32::MAX);
        let pending = !self.up_to_date && self.history.host.requests.is_some();
        let budget = if pending { all - Host::reserve(all).min(all - 1) } else { all };
        let due = verdict::due(self, budget);
        let made = self.with(|world| world.source.made);
        let summary = self.call("pull", Budget { requests: budget, time: period }, pull)?;
        took.by_live = self.with(|world| world.call.requests);
        // What comes while it reads moves pages under its hands.
        self.disturbed |= took.by_live > 1 && self.with(|world| world.source.made) > made;
        took.requests = took.by_live;
        verdict::fresh(self, &due)?;
        took.failed = summary.is_err();
        if let Ok(summary) = summary {
            self.note(summary);
        }
        // A call that has failed says nothing about whether there is more to do: the host comes back in the
        // next cycle.
        while !took.failed && !self.up_to_date && took.requests < all {
            let spent = self.with(|world| world.elapsed) - began;
            let Some(left) = period.checked_sub(spent).filter(|left| !left.is_zero()) else { break };
            let budget = Budget { requests: all - took.requests, time: left };
            let summary = self.call("backfill", budget, backfill)?;
            let requests = self.with(|world| world.call.requests);
            took.requests += requests;
            match summary {
                Ok(summary) => {
                    self.note(summary);
                    if requests == 0 && !self.up_to_date {
                        break;
                    }
                }
                Err(_) => took.failed = true,
            }
        }
        took.up_to_date = self.up_to_date && !took.failed;
        Ok(took)
    }

    fn note(&mut self, summary: Summary) {
        self.up_to_date = summary.up_to_date;
        self.was_up_to_date |= summary.up_to_date;
        self.received += summary.statistics.received;
        self.progress = summary.progress;
    }

    fn call<T: std::fmt::Debug>(
        &mut self,
        name: &str,
        budget: Budget,
        call: impl FnOnce(&Simulated, Budget) -> Result<T, failure::Failure>,
    ) -> Result<Result<T, failure::Failure>, Failure> {
        let limit = self.history.host.requests.map(|_| budget.requests);
        let began = self.with(|world| {
            let size = world.source.shape.page_size(world.limit);
            let pages = world.source.shape.pages(size, world.source.standing.len() as u64);
            world.begin_call(limit, 12 * (pages as u32 + 30) + 200);
            world.pulls += u64::from(name == "pull");
            let number = world.hits.len() - 1;
            world.note(|| {
                format!("  call {number}: {name} with {} requests, {} s", budget.requests, budget.time.as_secs())
            });
            world.elapsed
        });
        let result = call(&self.platform, budget);
        self.with(|world| {
            let took = world.elapsed - began;
            let page = (world.latency.max(world.time_out)) * ATTEMPTS + Duration::from_secs(RETRIES_IN_SECONDS);
            if took > budget.time.saturating_add(page) {
                world.fail(Check::Budget, || format!("a call took {took:?} and had {:?}", budget.time));
            }
            if let (Err(failure), false) = (&result, world.call.troubled) {
                let failure = failure.to_string();
                let has_reason = !self.rests || self.history.has_lasting_holes();
                if !has_reason {
                    world.fail(Check::Fails, || format!("{name} fails with nothing in its way: {failure}"));
                }
            }
            world.end_call();
            match &result {
                Ok(done) => world.note(|| format!("  = {done:?}")),
                Err(failure) => world.note(|| format!("  = {failure}")),
            }
            world.failure.take().map_or(Ok(()), Err)
        })?;
        Ok(result)
    }

    /// Nothing more happens: the source stands still, and pages that failed for a while answer.
    fn rest(&mut self) -> Result<(), Failure> {
        self.rests = true;
        self.with(|world| {
            world.note(|| "REST".to_owned());
            let shape = &mut world.source.shape;
            shape.order = shape.order.at_rest();
            shape.holes.retain(|hole| hole.times == FOR_EVER);
            world.source.outage = None;
            if let Some(most) = world.source.shape.refuses_above.filter(|most| *most < world.limit) {
                (world.limit, world.restarts) = (most, true);
            }
            world.source.stir();
        });
        let hours = match self.history.promise {
            Promise::Day => 32,
            Promise::SecondPass | Promise::Growth | Promise::NewestEnd => 5,
        };
        self.until_hours(hours)?;
        verdict::lost(self)?;
        verdict::quiet(self)
    }

    /// Cycles until so many hours have passed: a few minutes of them, then some in ten minutes and later in
    /// an hour and a half, as if the machine slept. A pass that is begun is brought to its end each time.
    fn until_hours(&mut self, hours: u64) -> Result<(), Failure> {
        let began = self.with(|world| world.elapsed);
        let end = began + Duration::from_secs(hours * 3600);
        for step in 0.. {
            self.cycle()?;
            self.settle()?;
            let pause = match step {
                0..6 => 0,
                6..14 => 600,
                _ => 5_400,
            };
            let now = self.with(|world| {
                world.elapsed += Duration::from_secs(pause);
                world.elapsed
            });
            if now >= end && step >= PASSES {
                break;
            }
        }
        self.settle()
    }

    /// Cycles until nothing is left to be done, but not many more than a pass takes: some sources need one in
    /// every cycle.
    fn settle(&mut self) -> Result<(), Failure> {
        let pages = self.with(|world| {
            let size = world.source.shape.page_size(world.limit);
            world.source.shape.pages(size, world.source.standing.len() as u64)
        });
        let each = self.history.host.requests.map_or(1_000, |all| u64::from(Host::reserve(all)));
        for _ in 0..2 * (pages + BESIDE_A_PASS) / each + 4 {
            if self.up_to_date {
                break;
            }
            self.cycle()?;
        }
        Ok(())
    }
}
