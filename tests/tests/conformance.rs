//! One component file on three platforms: every case of the list holds on each of them.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Failed, Trial, run};
use sandbox::collector::binary;
use sandbox::conformance::{CASES, Platform, Scene, component};
use sandbox::stage::Plan;
use sha2::{Digest, Sha256};

/// At once, where the command line says nothing else. Much of a case is waiting.
const THREADS: usize = 4;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(THREADS));
    let mut trials = Vec::new();
    for platform in Platform::ALL {
        for case in CASES {
            trials.push(trial(format!("{}: {}", platform.name(), case.what), move || (case.holds)(platform)));
        }
        trials.push(trial(format!("{}: it is the very file", platform.name()), move || is_the_staged_file(platform)));
    }
    run(&arguments, trials).exit_code()
}

fn trial(name: String, holds: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    Trial::test(name, || holds().map_err(|error| Failed::from(format!("{error:#}"))))
}

/// The bytes that are staged are inside the host's binary, and the others run a file with their checksum.
fn is_the_staged_file(platform: Platform) -> Result<()> {
    let staged = std::fs::read(component()).context("there is no component: run `just guest`")?;
    if platform == Platform::Host {
        let binary = std::fs::read(binary()?)?;
        ensure!(
            memchr::memmem::find(&binary, &staged).is_some(),
            "the host embeds another component: run `just build`"
        );
        return Ok(());
    }
    let mut scene = Scene::set(platform, &Plan::new(1))?;
    scene.delivers(1)?;
    let checksum = Sha256::digest(&staged).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    ensure!(scene.sha256() == Some(&checksum), "it runs another component than {checksum}");
    Ok(())
}
