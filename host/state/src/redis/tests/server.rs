//! A redis-server of our own, which can be killed, emptied and filled up, and what can stand in its way or
//! its place.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::runtime::{Builder, Runtime};

use super::super::protocol::{Answer, Command as Question, read_answer};
use super::super::{RedisDatabase, RedisSettings};
use crate::folder::scratch::Scratch;
use crate::{StateError, Store};

/// Lasts as long as the tests.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());

/// Nothing is written to the disk.
pub const IN_MEMORY: [&str; 4] = ["--save", "", "--appendonly", "no"];

/// Every write is on the disk before it is confirmed.
pub const DURABLE: [&str; 6] = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"];

/// A redis-server on a free port of the loopback interface, ended with the test.
pub struct Server {
    process: Child,
    port: u16,
    folder: Scratch,
    arguments: Vec<String>,
}

impl Server {
    pub fn start<A: AsRef<str>>(arguments: &[A]) -> Self {
        let folder = Scratch::new();
        let port = free_port();
        let arguments: Vec<_> = arguments.iter().map(|argument| argument.as_ref().to_owned()).collect();
        let process = run(folder.path(), port, &arguments);
        Self { process, port, folder, arguments }
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub fn start_again(&mut self) {
        self.process = run(self.folder.path(), self.port, &self.arguments);
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn settings(&self) -> RedisSettings {
        settings(self.port)
    }

    pub fn store(&self) -> Store {
        Store::redis(open(self.settings()).unwrap())
    }

    pub fn tell(&self, words: &[&str]) {
        self.ask(words);
    }

    /// What it answers, as texts.
    pub fn ask(&self, words: &[&str]) -> Vec<String> {
        let words: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
        let answer = RUNTIME.block_on(async {
            let stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
            let mut stream = BufReader::new(stream);
            stream.write_all(Question::new(&words).bytes()).await.unwrap();
            read_answer(&mut stream, 1 << 30).await.unwrap()
        });
        let values = match answer {
            Answer::Refusal(text) => panic!("{text}"),
            Answer::Nothing => Vec::new(),
            Answer::Number(number) => vec![number.to_string().into_bytes()],
            Answer::Status(value) | Answer::Value(value) => vec![value],
            Answer::Values(values) => values,
        };
        values.into_iter().map(|value| String::from_utf8(value).unwrap()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// As a collector opens it.
pub fn open(settings: RedisSettings) -> Result<RedisDatabase, StateError> {
    RedisDatabase::open(settings, RUNTIME.handle().clone())
}

pub fn settings(port: u16) -> RedisSettings {
    RedisSettings {
        host: "127.0.0.1".to_owned(),
        port,
        addresses: true.into(),
        username: None,
        password: None,
        db: 0,
        tls: false,
        ca_file: None,
        tenant: None,
        threads: collector_files::Threads::of_operator(),
    }
}

/// One that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn run(folder: &Path, port: u16, arguments: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir", &folder.to_string_lossy()]);
    command.args(arguments).stdout(Stdio::null());
    let mut process =
        command.spawn().expect("redis-server can't be started: run ./setup.sh, or apt-get install redis-server");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !answers(port).unwrap_or(false) {
        assert!(process.try_wait().unwrap().is_none() && Instant::now() < deadline, "redis-server does not listen");
        sleep(Duration::from_millis(5));
    }
    process
}

/// Whether it is done with loading; that it asks for a password is an answer too.
fn answers(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    Ok(!answer.starts_with(b"-LOAD"))
}

/// Something in a server's place that gives one client these answers and no others. Ends with the client.
pub fn answering(answers: &'static [&'static str]) -> u16 {
    answering_until(answers, |mut client| drop(client.read(&mut [0])))
}

/// As [`answering`], and then it closes the connection.
pub fn breaking_off(answers: &'static [&'static str]) -> u16 {
    answering_until(answers, drop)
}

fn answering_until(answers: &'static [&'static str], end: fn(TcpStream)) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 10_000];
        for answer in answers {
            let count = stream.read(&mut buffer).unwrap();
            let question = String::from_utf8_lossy(&buffer[..count]).replace(['\r', '\n'], " ");
            stream.write_all(answer.replace("QUESTION", &question).as_bytes()).unwrap();
        }
        end(stream);
    });
    port
}

/// Something in a server's place that answers every client with this, and goes on for as long as it is
/// listened to: after a pause each time, or with zeros at once.
pub fn endless(answer: &'static str, pause: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            spawn(move || {
                let _ = client.read(&mut [0; 10_000]);
                let mut is_listened_to = client.write_all(answer.as_bytes()).is_ok();
                while is_listened_to {
                    sleep(pause);
                    let more = if pause.is_zero() { &[b'0'; 65536][..] } else { answer.as_bytes() };
                    is_listened_to = client.write_all(more).is_ok();
                }
            });
        }
    });
    port
}

/// What happens to the answer to one question.
#[derive(Clone, Copy)]
pub enum Fault {
    /// It is lost, and the connection with it.
    Lost,
    /// Something else comes before it.
    Garbled,
    /// It never comes.
    Withheld,
}

/// A network between a collector and a server.
pub struct Network {
    port: u16,
    server: Arc<AtomicU16>,
    faults: Arc<Mutex<VecDeque<Fault>>>,
}

impl Network {
    pub fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let network = Self { port, server: Arc::new(server.port.into()), faults: Arc::default() };
        let (server, faults) = (network.server.clone(), network.faults.clone());
        // It stays until the end of the process, like the listener's port: nobody waits for it.
        spawn(move || {
            for client in listener.incoming() {
                let server = TcpStream::connect(("127.0.0.1", server.load(Ordering::Relaxed)));
                let faults = faults.clone();
                spawn(move || carry(&client.unwrap(), &server.unwrap(), &faults));
            }
        });
        network
    }

    pub fn settings(&self) -> RedisSettings {
        settings(self.port)
    }

    pub fn store(&self) -> Store {
        Store::redis(open(self.settings()).unwrap())
    }

    /// What befalls the next answers.
    pub fn plan(&self, faults: &[Fault]) {
        self.faults.lock().unwrap().extend(faults);
    }

    /// Where new connections lead from now on.
    pub fn lead_to(&self, server: &Server) {
        self.server.store(server.port, Ordering::Relaxed);
    }
}

/// Carries short questions and answers, each of which comes as a whole.
fn carry(mut client: &TcpStream, mut server: &TcpStream, faults: &Mutex<VecDeque<Fault>>) {
    let mut buffer = [0; 10_000];
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        server.write_all(&buffer[..count]).unwrap();
        let Ok(count @ 1..) = server.read(&mut buffer) else { break };
        let fault = faults.lock().unwrap().pop_front();
        match fault {
            Some(Fault::Lost) => break,
            Some(Fault::Withheld) => continue,
            Some(Fault::Garbled) => client.write_all(b"?\r\n").unwrap(),
            None => {}
        }
        if client.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}
