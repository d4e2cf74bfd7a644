//! The fault matrix, on the scale of a test: each of its trials is a test of its own, named after its fault.
//! What is lost must be nothing.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use libtest_mimic::{Arguments, Trial as Test, run};
use sandbox::collector::workspace;
use sandbox::faults::{MATRIX, Scale, Trial, table};

/// At once, where the command line says nothing else. Most of a trial is waiting.
const THREADS: usize = 6;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(THREADS));
    let trials = MATRIX.into_iter().flat_map(|(what, trials)| {
        let name = move |trial: &Trial| format!("{what}: {}", trial.fault);
        trials.iter().map(move |&trial| {
            Test::test(name(&trial), move || match trial.hold(Scale::Test) {
                Ok(_) => Ok(()),
                Err(error) => Err(format!("{error:#}").into()),
            })
        })
    });
    let document =
        Test::test("the table of docs/reliability.md", || document().map_err(|error| format!("{error:#}").into()));
    run(&arguments, trials.chain([document]).collect()).exit_code()
}

fn document() -> Result<()> {
    let faults = table::faults_of(&std::fs::read_to_string(workspace().join("docs/reliability.md"))?)?;
    ensure!(faults.is_empty(), "run `just reliability`, for the table is not what it should be: {faults:#?}");
    Ok(())
}
