//! What every platform is held against.

use anyhow::Result;
use chrono::TimeDelta;

use super::{Platform, Scene};
use crate::simulator::{self, Envelope, Fault, Order};
use crate::stage::Plan;

/// One thing that holds wherever the component runs.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// As a statement.
    pub what: &'static str,
    /// Shows it.
    pub holds: fn(Platform) -> Result<()>,
}

/// All cases.
pub const CASES: &[Case] = &[
    Case {
        what: "the newest come first, on several pages",
        holds: |on| walks(on, Order::NewestFirst, Envelope::Documented),
    },
    Case { what: "the oldest come first", holds: |on| walks(on, Order::OldestFirst, Envelope::Documented) },
    Case { what: "they come in no order", holds: |on| walks(on, Order::Shuffled, Envelope::Documented) },
    Case {
        what: "no answer tells how many pages there are",
        holds: |on| walks(on, Order::NewestFirst, Envelope::NoTotals),
    },
    Case { what: "an answer is a bare array", holds: |on| walks(on, Order::OldestFirst, Envelope::BareArray) },
    Case { what: "numbers are written as text", holds: |on| walks(on, Order::NewestFirst, Envelope::TextNumbers) },
    Case { what: "an empty source is up to date", holds: nothing },
    Case { what: "a later cycle delivers what is new, and that alone", holds: later },
    Case { what: "an alert that appears late is found", holds: late },
    Case { what: "alerts of the newest second are neither lost nor repeated", holds: same_second },
    Case { what: "a restart goes on from the state", holds: restart },
    Case { what: "what was not confirmed is sent again", holds: unconfirmed },
    Case { what: "a busy API is asked again", holds: |on| gets_over(on, Fault::Status(429)) },
    Case { what: "an answer that breaks off is asked for again", holds: |on| gets_over(on, Fault::Truncated) },
    Case { what: "a connection that breaks is made again", holds: |on| gets_over(on, Fault::Reset) },
    Case { what: "an unreadable answer is error 495", holds: |on| reports(on, 495, Fault::Html) },
    Case { what: "an error in a good answer is error 495", holds: |on| reports(on, 495, Fault::ErrorInside200) },
    Case { what: "a storm of server errors is error 498", holds: |on| reports(on, 498, Fault::Status(503)) },
    Case { what: "a token that is not known is error 401", holds: unknown_token },
    Case { what: "a token without rights is error 403", holds: forbidden_token },
    Case { what: "an address that is gone is error 404", holds: gone },
    Case { what: "a refused connection is error 497", holds: refused },
    Case { what: "a wrong token is error 401 from the start", holds: wrong_token },
    Case { what: "a start time that is none is error 1", holds: start_time },
];

fn scene(on: Platform, alerts: usize) -> Result<Scene> {
    Scene::set(on, &Plan::new(alerts))
}

/// A source of which everything is delivered.
fn delivered(on: Platform) -> Result<Scene> {
    let mut scene = scene(on, 120)?;
    scene.delivers(120)?;
    Ok(scene)
}

/// The cause of a failure is gone, and the same instance of the platform goes on.
fn goes_on(mut scene: Scene) -> Result<()> {
    scene.stage.add_newer(10);
    scene.delivers(10)
}

fn walks(on: Platform, order: Order, envelope: Envelope) -> Result<()> {
    let simulator = simulator::Settings { order, envelope, ..simulator::Settings::default() };
    let mut scene = Scene::set(on, &Plan { simulator, ..Plan::new(350) })?;
    scene.delivers(350)?;
    goes_on(scene)
}

fn nothing(on: Platform) -> Result<()> {
    let mut scene = scene(on, 0)?;
    scene.delivers(0)?;
    goes_on(scene)
}

fn later(on: Platform) -> Result<()> {
    let mut scene = delivered(on)?;
    scene.delivers(0)?;
    scene.stage.add_newer(150);
    scene.delivers(150)?;
    scene.delivers(0)
}

fn late(on: Platform) -> Result<()> {
    let mut scene = delivered(on)?;
    scene.stage.add_late(7, TimeDelta::hours(6));
    scene.delivers(7)
}

fn same_second(on: Platform) -> Result<()> {
    let mut scene = delivered(on)?;
    scene.stage.add_late(3, TimeDelta::zero());
    scene.delivers(3)
}

fn restart(on: Platform) -> Result<()> {
    let mut scene = delivered(on)?;
    scene.restart();
    scene.delivers(0)?;
    scene.restart();
    scene.stage.add_newer(20);
    scene.delivers(20)
}

fn unconfirmed(on: Platform) -> Result<()> {
    let mut scene = delivered(on)?;
    scene.refuse_delivery()?;
    scene.stage.add_newer(20);
    scene.fails("PullError", 300)?;
    scene.accept_delivery()?;
    scene.delivers(20)
}

/// A fault that passes by itself is nothing that the operator hears of as an error.
fn gets_over(on: Platform, fault: Fault) -> Result<()> {
    let scene = delivered(on)?;
    scene.stage.simulator.fail(1, fault);
    goes_on(scene)
}

fn reports(on: Platform, code: u16, fault: Fault) -> Result<()> {
    let mut scene = delivered(on)?;
    scene.stage.simulator.fail(1000, fault);
    scene.fails("ApiError", code)?;
    scene.stage.simulator.heal();
    settles(scene)
}

fn unknown_token(on: Platform) -> Result<()> {
    let mut scene = delivered(on)?;
    let token = scene.stage.simulator.token();
    scene.stage.simulator.change(|settings| settings.token = "the-one-of-next-month".into());
    scene.fails("ApiError", 401)?;
    scene.stage.simulator.change(|settings| settings.token = token);
    settles(scene)
}

fn forbidden_token(on: Platform) -> Result<()> {
    let mut scene = delivered(on)?;
    scene.stage.simulator.change(|settings| settings.forbidden_token = settings.token.clone());
    scene.fails("ApiError", 403)?;
    scene.stage.simulator.change(|settings| settings.forbidden_token = "another".into());
    settles(scene)
}

fn gone(on: Platform) -> Result<()> {
    let mut scene = delivered(on)?;
    scene.stage.simulator.change(|settings| settings.prefix = "/moved".into());
    scene.fails("ApiError", 404)?;
    scene.stage.simulator.change(|settings| settings.prefix.clear());
    settles(scene)
}

fn refused(on: Platform) -> Result<()> {
    let mut scene = delivered(on)?;
    scene.stage.simulator.stop();
    scene.fails("ApiError", 497)?;
    scene.stage.simulator.resume()?;
    settles(scene)
}

fn wrong_token(on: Platform) -> Result<()> {
    let mut scene = scene(on, 20)?;
    scene.stage.settings.token = "not-the-token-of-the-simulator".into();
    scene.fails("ApiError", 401)?;
    scene.restart();
    scene.stage.settings.token = scene.stage.simulator.token();
    scene.delivers(20)
}

fn start_time(on: Platform) -> Result<()> {
    let mut scene = scene(on, 20)?;
    scene.setting("initial_start_time_in_utc", "soon");
    scene.fails("InitVariablesError", 1)
}

/// The host may have begun another cycle before the cause was gone: that one may fail as well, and no more.
fn settles(mut scene: Scene) -> Result<()> {
    scene.cycle()?;
    goes_on(scene)
}
