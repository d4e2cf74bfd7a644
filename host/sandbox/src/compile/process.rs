//! Starting the process that compiles, and what its end means.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use collector_model::CompilationLimits;
use nix::libc;
use nix::sys::signal::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;

use super::child::{NAME, OUT_OF_MEMORY, REFUSED};
use crate::error::{Compilation, ComponentError, one_line};

/// This program, as it was when it was started: whatever has taken its place on the disk since.
const PROGRAM: &str = "/proc/self/exe";

/// The most code that a component may become. It is three times as large as the component, as a rule.
const MAX_CODE_IN_BYTES: usize = 64 * 1024 * 1024;

/// What is read of what it says about its failure.
const MAX_TEXT_IN_BYTES: usize = 4 * 1024;

/// What Rust says before it ends for want of memory.
const NO_MEMORY: &str = "memory allocation of ";

/// The code of a component, compiled within these limits.
pub(super) async fn compile(component: &[u8], limits: &CompilationLimits) -> Result<Vec<u8>, ComponentError> {
    let compiled = timeout(limits.wall, run(component, limits)).await;
    compiled.unwrap_or(Err(ComponentError::Compilation(Compilation::Wall(limits.wall))))
}

async fn run(component: &[u8], limits: &CompilationLimits) -> Result<Vec<u8>, ComponentError> {
    // Nothing is done between fork and exec, so that the system need not copy what this process has.
    let mut child = Command::new(PROGRAM)
        .arg0(NAME)
        .args([limits.memory_in_bytes, limits.cpu.as_secs(), std::process::id().into()].map(|n| n.to_string()))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Whoever presses Ctrl-C means the collector.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("{PROGRAM} can't be started: {error}")))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let give = async {
        // One that ends early says why by its status.
        if let Some(mut stdin) = stdin {
            let _ = stdin.write_all(component).await;
        }
    };
    let ((), output, errors) = tokio::join!(give, read(stdout, MAX_CODE_IN_BYTES), read(stderr, MAX_TEXT_IN_BYTES));
    let Some(output) = output else {
        return Err(ComponentError::Compilation(Compilation::Code(MAX_CODE_IN_BYTES)));
    };
    let status = child.wait().await.map_err(|error| failed(error.to_string()))?;
    let errors = String::from_utf8_lossy(&errors.unwrap_or_default()).into_owned();
    outcome(status, output, &errors, limits)
}

/// What comes, to its end. None if that is more than `most`.
async fn read(from: Option<impl AsyncRead + Unpin>, most: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What can't be read is missed where it is needed.
        let _ = from.take(most as u64 + 1).read_to_end(&mut bytes).await;
    }
    (bytes.len() <= most).then_some(bytes)
}

fn outcome(
    status: ExitStatus,
    output: Vec<u8>,
    errors: &str,
    limits: &CompilationLimits,
) -> Result<Vec<u8>, ComponentError> {
    let exceeded = |what| Err(ComponentError::Compilation(what));
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(output),
        (Some(code), _) if code == i32::from(REFUSED) => {
            let text = &output[..output.len().min(MAX_TEXT_IN_BYTES)];
            Err(ComponentError::Invalid(one_line(&String::from_utf8_lossy(text))))
        }
        (Some(code), _) if code == i32::from(OUT_OF_MEMORY) => exceeded(Compilation::Memory(limits.memory_in_bytes)),
        (_, Some(libc::SIGXCPU)) => exceeded(Compilation::Cpu(limits.cpu)),
        (_, Some(libc::SIGABRT)) if errors.contains(NO_MEMORY) => exceeded(Compilation::Memory(limits.memory_in_bytes)),
        (_, Some(number)) => {
            let name = Signal::try_from(number).map_or("a signal", Signal::as_str);
            Err(failed(format!("its process was ended by {name}: {}", one_line(errors))))
        }
        (code, None) => {
            Err(failed(format!("its process ended with status {}: {}", code.unwrap_or(-1), one_line(errors))))
        }
    }
}

fn failed(reason: String) -> ComponentError {
    ComponentError::Compilation(Compilation::Failed(reason.trim_end_matches([':', ' ']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(status: i32, output: &[u8], errors: &str) -> Result<Vec<u8>, String> {
        let status = ExitStatus::from_raw(status);
        outcome(status, output.to_vec(), errors, &CompilationLimits::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_end_of_the_process_says_what_was_too_much() {
        let exit = |code: i32| code << 8;
        assert_eq!(ended(0, b"code", "").unwrap(), b"code");
        assert_eq!(ended(exit(3), b"no\n  end", "").unwrap_err(), "the component can't be used: no end");
        let memory = "compiling it takes more than 536870912 bytes (compilation.memory_in_bytes)";
        assert_eq!(ended(exit(4), b"", "").unwrap_err(), memory);
        assert_eq!(ended(libc::SIGABRT, b"", "memory allocation of 16 bytes failed\n").unwrap_err(), memory);
        let cpu = "compiling it takes more than 30s of computing (compilation.cpu_in_seconds)";
        assert_eq!(ended(libc::SIGXCPU, b"half", "").unwrap_err(), cpu);
        let killed = "compiling it has failed: its process was ended by SIGKILL";
        assert_eq!(ended(libc::SIGKILL, b"half", "").unwrap_err(), killed);
        let panicked = "compiling it has failed: its process ended with status 101: thread main panicked: at";
        assert_eq!(ended(exit(101), b"", "thread main panicked:\n at\n").unwrap_err(), panicked);
    }

    #[tokio::test]
    async fn no_more_is_read_than_is_allowed() {
        assert_eq!(read(Some(&b"12345"[..]), 5).await.unwrap(), b"12345");
        assert_eq!(read(Some(&b"123456"[..]), 5).await, None);
        assert_eq!(read(Some(tokio::io::repeat(b'x')), 1_000).await, None);
    }
}
