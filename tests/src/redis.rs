//! A redis-server of our own, for collectors that keep their state in one.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::PATIENCE;
use crate::process::Process;
use crate::stage::Stage;
use crate::waiting::poll;

/// A running server, with what it saves in a folder. It never outlives its owner.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    port: u16,
}

impl Redis {
    /// Starts one on a free port of the loopback interface. What it confirms is on the disk.
    pub fn start(folder: &Path) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        std::fs::create_dir_all(folder)?;
        Ok(Self { process: run(folder, port)?, port })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Writes a configuration with which the stage's collector keeps its state here, in database 2.
    pub fn keeps_the_state_of(&self, stage: &Stage) -> Result<()> {
        let yaml = stage.settings.yaml();
        let files = "    type: filesystem\n    config:\n      directory_name: state\n";
        ensure!(yaml.contains(files), "the state is kept elsewhere");
        let port = self.port;
        let here = format!("    type: redis\n    config: {{host: 127.0.0.1, port: {port}, db: 2}}\n");
        stage.installation.write_config(&yaml.replace(files, &here))
    }

    /// Ends it with SIGKILL.
    pub fn kill(&self) -> Result<()> {
        self.process.kill()
    }

    /// Starts it again after its end, on the same port with what is in the folder.
    pub fn start_again(&mut self, folder: &Path) -> Result<()> {
        self.process = run(folder, self.port)?;
        Ok(())
    }

    /// The answer to a command, as it comes.
    pub fn ask(&self, command: &str) -> Result<String> {
        ask(self.port, command)
    }
}

fn run(folder: &Path, port: u16) -> Result<Process> {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "yes"]);
    command.args(["--appendfsync", "always", "--dir"]).arg(folder);
    let process = Process::start("redis-server", command, &folder.join("redis.log"))
        .context("redis-server can't be started: run ./setup.sh")?;
    poll("redis-server to be ready", PATIENCE, || {
        ensure!(process.is_running(), "redis-server ended{}", process.tail());
        Ok(ask(port, "PING").ok().filter(|answer| answer.starts_with("+PONG")))
    })?;
    Ok(process)
}

fn ask(port: u16, command: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
