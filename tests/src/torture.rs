//! Kills the collector again and again while alerts keep arriving, and counts what was lost and what came
//! twice.
//!
//! A kill comes at a random time after the start, or a random moment after a random number of events have
//! arrived: the first meets start-up, the look at the credentials and the reading of pages, the second the
//! sending, the confirmation and the writing of the state.

use std::collections::HashSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::TimeDelta;

use crate::alerts::Dice;
use crate::check::{self, Report};
use crate::collector::Collector;
use crate::receiver::Frame;
use crate::stage::{Plan, Stage};
use crate::{ALERTS_TABLE, PATIENCE};

/// The most that may come again after a crash: what is sent between two commits, which is a chunk of 4 MiB
/// and the rest of the page that fills it.
pub const CHUNK_IN_BYTES: usize = 4 * 1024 * 1024 + 100 * 2048;

/// In this time after its start a process is killed that is not to send.
const START: Duration = Duration::from_millis(900);

/// So long a process is given to send something.
const LULL: Duration = Duration::from_millis(1500);

/// In this time after the events waited for a process is killed: confirming and committing take a few
/// milliseconds.
const MOMENT: Duration = Duration::from_millis(40);

/// How it is to be done.
#[derive(Debug, Clone, Copy)]
pub struct Torture {
    /// How often the collector is killed.
    pub kills: usize,
    /// Alerts at the source in the end. A fifth is there at the start.
    pub alerts: usize,
    /// Other seeds give other moments.
    pub seed: u64,
}

/// What it came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How often the collector was killed.
    pub kills: usize,
    /// What was counted on the way.
    pub tally: Tally,
    /// What arrived, next to what the source has.
    pub report: Report,
    /// How long it took.
    pub took: Duration,
}

impl Torture {
    /// Does it. `progress` hears after each kill how many there have been.
    pub fn run(&self, mut progress: impl FnMut(usize)) -> Result<Outcome> {
        let started = Instant::now();
        let mut stage = Stage::set("torture", &Plan { age: self.age(), ..Plan::new(self.at_source(0.0)) })?;
        stage.settings.period = 1;
        // They have a connection of their own, and nothing to do with what is counted here.
        stage.settings.output = "internal_messages: false\n".into();
        stage.configure()?;
        let mut dice = Dice(self.seed);
        let mut tally = Tally::default();
        for kill in 0..self.kills {
            // Half of what comes is there when the process starts, half comes under its hands.
            self.fill(&mut stage, &mut dice, kill as f64 + 0.5);
            let collector = stage.start()?;
            let known = stage.receiver.count(ALERTS_TABLE);
            self.fill(&mut stage, &mut dice, kill as f64 + 1.0);
            if dice.below(3) == 0 {
                sleep(dice.upto(START));
            } else {
                let new = stage.source.len() - tally.seen.len().min(stage.source.len());
                let wanted = known + 1 + dice.below(new as u64 + 1) as usize;
                // Not all of it need come: what is new may have been sent by the process before.
                let _ = stage.receiver.wait_for(ALERTS_TABLE, wanted, LULL);
                sleep(dice.upto(MOMENT));
            }
            collector.kill()?;
            tally.take(&stage, &collector)?;
            progress(kill + 1);
        }
        let collector = stage.start()?;
        stage.wait_for_all(&collector)?;
        let cycles = collector.statistics()?.len();
        collector.wait_for_cycles(cycles + 2)?;
        collector.stop(PATIENCE)?;
        tally.take(&stage, &collector)?;
        Ok(Outcome { kills: self.kills, tally, report: stage.compare(), took: started.elapsed() })
    }

    /// Alerts are added a second apart, and none may lie in the future.
    fn age(&self) -> TimeDelta {
        TimeDelta::seconds(self.alerts as i64) + TimeDelta::hours(1)
    }

    /// How many alerts the source has after so many kills.
    fn at_source(&self, kills: f64) -> usize {
        let first = self.alerts / 5;
        first + ((self.alerts - first) as f64 * kills / self.kills as f64) as usize
    }

    fn fill(&self, stage: &mut Stage, dice: &mut Dice, kills: f64) {
        let new = self.at_source(kills).saturating_sub(stage.source.len());
        // A late one now and then, with a time that has long been passed by.
        let late = if dice.below(4) == 0 { new / 3 } else { 0 };
        stage.add_newer(new - late);
        stage.add_late(late, TimeDelta::hours(1 + dice.below(6) as i64));
    }
}

/// What is counted as it goes on.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Processes that had sent something before they were killed.
    pub killed_while_sending: usize,
    /// Events that had arrived before.
    pub repeated: usize,
    /// The most bytes of them that one process sent.
    pub most_repeated_in_bytes: usize,
    /// Lines that say that a state can't be used.
    pub unusable_states: Vec<String>,
    seen: HashSet<String>,
    frames: usize,
}

impl Tally {
    /// Counts what a process sent, after its end.
    fn take(&mut self, stage: &Stage, collector: &Collector) -> Result<()> {
        // What the kernel still has of a killed process arrives as well.
        stage.receiver.wait_for_connections("the end of all connections", PATIENCE, |connections| {
            connections.iter().all(|connection| connection.end.is_some()).then_some(())
        })?;
        let new = stage.receiver.frames_from(self.frames);
        self.frames += new.len();
        let mut repeated_in_bytes = 0;
        for frame in &new {
            if !self.seen.insert(frame_id(frame)?) {
                self.repeated += 1;
                repeated_in_bytes += frame.line.len();
            }
        }
        self.killed_while_sending += usize::from(!new.is_empty());
        self.most_repeated_in_bytes = self.most_repeated_in_bytes.max(repeated_in_bytes);
        self.unusable_states.extend(collector.lines_with(&["PrePullError"]));
        Ok(())
    }
}

fn frame_id(frame: &Frame) -> Result<String> {
    let id = frame.parts().and_then(|parts| check::id(parts.message));
    Ok(id.context("an event without an id")?.to_owned())
}

impl Outcome {
    /// Nothing was lost or changed, repeats are within the bound, and no state was unusable.
    pub fn is_as_promised(&self) -> Result<()> {
        self.report.at_least_once()?;
        let Tally { most_repeated_in_bytes, unusable_states, .. } = &self.tally;
        ensure!(unusable_states.is_empty(), "states that could not be used: {unusable_states:#?}");
        ensure!(
            *most_repeated_in_bytes <= CHUNK_IN_BYTES,
            "a process repeated {most_repeated_in_bytes} bytes, {CHUNK_IN_BYTES} is the bound"
        );
        Ok(())
    }
}
