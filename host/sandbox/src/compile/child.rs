//! The process that compiles: this program under another name. It gives up what it could do and bounds what
//! it can take, reads a component, and answers with its code or with why there is none.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

use crate::engine;

/// Its name, under which this program is started for nothing else.
pub(super) const NAME: &str = "devo-collector-compile";

/// How it ends where it was the component that could not be compiled, and says why on standard output.
pub(super) const REFUSED: u8 = 3;

/// How it ends where it got no more memory.
pub(super) const OUT_OF_MEMORY: u8 = 4;

/// As that of the threads for calls that compute for long: whoever delivers comes first.
const NICENESS: i32 = 10;

/// Standard input, output and error, of which the first two are its work.
const OPEN_FILES: u64 = 3;

/// Compiles a component and gives the exit status, if this process was started for that. To be called before
/// anything else is done.
pub fn compile_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    if arguments.next()? != NAME {
        return None;
    }
    Some(match compile(arguments) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

fn compile(mut arguments: impl Iterator<Item = OsString>) -> io::Result<ExitCode> {
    let mut number = || -> Option<u64> { arguments.next()?.to_str()?.parse().ok() };
    let (Some(memory_in_bytes), Some(cpu_in_seconds), Some(parent)) = (number(), number(), number()) else {
        return Err(io::Error::other("it is started by devo-collector alone"));
    };
    confine(memory_in_bytes, cpu_in_seconds, parent)?;
    let mut component = Vec::new();
    io::stdin().lock().read_to_end(&mut component)?;
    let mut settings = engine::shared_settings();
    // Its threads would only take turns, each with a stack and a heap of its own.
    settings.parallel_compilation(false);
    let engine = wasmtime::Engine::new(&settings).map_err(told)?;
    match engine.precompile_component(&component) {
        Ok(code) => {
            io::stdout().lock().write_all(&code)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) if error.is::<wasmtime::OutOfMemory>() => Ok(ExitCode::from(OUT_OF_MEMORY)),
        Err(error) => {
            io::stdout().lock().write_all(format!("{error:#}").as_bytes())?;
            Ok(ExitCode::from(REFUSED))
        }
    }
}

fn told(error: impl Display) -> io::Error {
    io::Error::other(format!("{error:#}"))
}

/// What is not given up here it never had: its environment is empty, and it was started with nothing but
/// three pipes.
fn confine(memory_in_bytes: u64, cpu_in_seconds: u64, parent: u64) -> io::Result<()> {
    // It ends with the process that wants the code, however that ends, even just now.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if i32::try_from(parent).ok().map(Pid::from_raw) != Some(getppid()) {
        return Err(io::Error::other("the process that wanted the code has ended"));
    }
    prctl::set_no_new_privs()?;
    // SAFETY: neither takes a pointer. Where they fail, it is as urgent as others, and open is what whoever
    // started the collector left open.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS);
        libc::syscall(libc::SYS_close_range, OPEN_FILES, u64::from(u32::MAX), 0);
    }
    // Where memory is short, the system is to take this process first. It may not be there to be told.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    for (resource, most) in [
        (Resource::RLIMIT_AS, memory_in_bytes),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_NOFILE, OPEN_FILES),
        (Resource::RLIMIT_NPROC, 0),
    ] {
        limit(resource, most, most)?;
    }
    // At the first of these it is ended by a signal of its own, by which it is known why.
    limit(Resource::RLIMIT_CPU, cpu_in_seconds, cpu_in_seconds.saturating_add(1))
}

/// Lowers a limit. One that is lower already, as the collector's own was set from outside, can't be raised.
fn limit(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let hard = hard.min(getrlimit(resource)?.1);
    Ok(setrlimit(resource, soft.min(hard), hard)?)
}
