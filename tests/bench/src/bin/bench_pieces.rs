//! Measures the hot pieces of the work one by one: in time, or in instructions, which valgrind counts.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use bench::figures::count;
use bench::pieces::{EVENTS, Piece};
use divan::Bencher;
use divan::counter::ItemsCount;

/// Repetitions of a counted piece after the first one, which is not counted: it fills caches.
const REPETITIONS: u64 = 4;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        [] => {
            divan::Divan::default().run_benches();
            Ok(())
        }
        ["--count"] => table(),
        ["--repeat", piece, times] => repeat(piece, times),
        _ => Err(anyhow::anyhow!("the only argument is --count, which counts instructions instead of time")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("The pieces were not measured: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Nanoseconds and more, for 100 events.
#[divan::bench(args = Piece::ALL)]
fn events(bencher: Bencher, piece: Piece) {
    match piece.prepare() {
        Ok(mut repetition) => bencher.counter(ItemsCount::new(EVENTS)).bench_local(&mut repetition),
        Err(error) => panic!("{piece} can't be measured: {error:#}"),
    }
}

/// Prints the instructions that each piece takes for an event.
fn table() -> Result<()> {
    println!("| piece | instructions an event |\n|---|--:|");
    for piece in Piece::ALL {
        let several = instructions(piece, 1 + REPETITIONS)?.saturating_sub(instructions(piece, 1)?);
        println!("| {piece} | {} |", count(several as f64 / (REPETITIONS * EVENTS as u64) as f64));
    }
    Ok(())
}

/// The instructions of a process that repeats a piece so often.
fn instructions(piece: Piece, times: u64) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["--repeat", &piece.to_string(), &times.to_string()])
        .stdin(Stdio::null())
        .output()
        .context("valgrind does not run: run ./setup.sh, which installs it")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind ended with {}:\n{told}", output.status);
    let collected = told.lines().find_map(|line| line.split_once("Collected :")).context("valgrind counts nothing")?;
    Ok(collected.1.trim().parse()?)
}

fn repeat(piece: &str, times: &str) -> Result<()> {
    let piece = Piece::ALL.into_iter().find(|known| known.to_string() == piece).context("no such piece")?;
    let mut repetition = piece.prepare()?;
    (0..times.parse::<u64>()?).for_each(|_| repetition());
    Ok(())
}
