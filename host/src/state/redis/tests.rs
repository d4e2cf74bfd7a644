//! Against a redis-server of our own, which can be killed, emptied and filled up.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Instant;

use super::*;
use crate::state::folder::scratch::Scratch;
use crate::state::{Damage, Store, find_original};

/// A redis-server on a free port of the loopback interface, ended with the test.
pub struct Server {
    process: Child,
    port: u16,
    folder: Scratch,
    arguments: Vec<&'static str>,
}

impl Server {
    pub fn start(arguments: &[&'static str]) -> Self {
        let folder = Scratch::new();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = run(&folder, port, arguments);
        Self { process, port, folder, arguments: arguments.to_vec() }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.process = run(&self.folder, self.port, &self.arguments);
    }

    fn settings(&self) -> RedisSettings {
        settings(self.port)
    }

    pub fn store(&self) -> Store {
        Store::redis(RedisDatabase::open(self.settings()).unwrap())
    }

    fn tell(&self, words: &[&str]) {
        let client = Client::open(("127.0.0.1", self.port)).unwrap();
        let mut command = cmd(words[0]);
        command.arg(&words[1..]);
        command.exec(&mut client.get_connection().unwrap()).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(folder: &Scratch, port: u16, arguments: &[&str]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir", &folder.path().to_string_lossy()]);
    command.args(arguments).stdout(Stdio::null());
    let mut process = command.spawn().expect("redis-server can't be started: run ./setup.sh");
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

fn settings(port: u16) -> RedisSettings {
    RedisSettings { host: "127.0.0.1".to_owned(), port, password: None, db: 0 }
}

fn problem_of<T: std::fmt::Debug>(outcome: Result<T, StateError>) -> RedisProblem {
    match outcome {
        Err(StateError::Redis { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

fn text(password: &str) -> Secret {
    Secret::Text(password.into())
}

/// Nothing is written to the disk.
const IN_MEMORY: [&str; 4] = ["--save", "", "--appendonly", "no"];

/// Every write is on the disk before it is confirmed.
const DURABLE: [&str; 6] = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"];

#[test]
fn a_server_that_comes_back_with_its_data_is_used_again() {
    let mut server = Server::start(&DURABLE);
    let bucket = server.store().bucket("a");
    bucket.set("state", b"one").unwrap();
    server.kill();
    assert!(matches!(problem_of(bucket.get("state")), RedisProblem::Unreachable(_)));
    assert!(matches!(problem_of(bucket.set("state", b"two")), RedisProblem::Unreachable(_)));
    server.start_again();
    assert_eq!(bucket.get("state").unwrap().unwrap(), b"one");
    bucket.set("state", b"two").unwrap();
    assert_eq!(server.store().bucket("a").get("state").unwrap().unwrap(), b"two");
}

#[test]
fn a_server_that_comes_back_empty_is_an_error_and_not_a_new_start() {
    let mut server = Server::start(&IN_MEMORY);
    let bucket = server.store().bucket("a");
    bucket.set("state", b"one").unwrap();
    server.kill();
    server.start_again();
    assert!(matches!(problem_of(bucket.get("state")), RedisProblem::Lost));
    assert!(matches!(problem_of(bucket.exists("state")), RedisProblem::Lost));
    assert!(matches!(problem_of(bucket.set("state", b"two")), RedisProblem::Lost));
    // The operator has read it, and starts anew.
    assert_eq!(server.store().bucket("a").get("state").unwrap(), None);
}

#[test]
fn two_collectors_do_not_overwrite_each_others_state() {
    let server = Server::start(&IN_MEMORY);
    let (one, other) = (server.store().bucket("a"), server.store().bucket("a"));
    assert_eq!((one.get("state").unwrap(), other.get("state").unwrap()), (None, None));
    one.set("state", b"of one").unwrap();
    assert!(matches!(problem_of(other.set("state", b"of the other")), RedisProblem::WrittenByAnother));
    assert_eq!(one.get("state").unwrap().unwrap(), b"of one");
    // Who has read it goes on from it.
    assert_eq!(other.get("state").unwrap().unwrap(), b"of one");
    other.set("state", b"of the other").unwrap();
    assert!(matches!(problem_of(one.set("state", b"of one")), RedisProblem::WrittenByAnother));
}

#[test]
fn a_write_that_is_repeated_is_no_conflict() {
    let server = Server::start(&IN_MEMORY);
    let database = RedisDatabase::open(server.settings()).unwrap();
    let revision = "0".repeat(REVISION);
    let set = |value: &str| {
        let mut set = cmd("EVAL");
        set.arg(SET).arg(1).arg(hash("a")).arg("state").arg("").arg(&revision).arg(value);
        database.ask::<bool>(&set).unwrap()
    };
    assert!(set("one") && set("one"));
    assert_eq!(database.revision("a", "state").unwrap(), revision);
}

#[test]
fn what_somebody_else_put_there_is_an_error_and_not_a_new_start() {
    let server = Server::start(&IN_MEMORY);
    let bucket = server.store().bucket("a");
    bucket.set("state", b"one").unwrap();
    for content in ["", "short", &format!("{}garbage", "0".repeat(REVISION))] {
        server.tell(&["HSET", "devo-collector:a", "state", content]);
        let problem = problem_of(bucket.get("state"));
        assert!(matches!(problem, RedisProblem::Corrupt { damage: Damage::Header, .. }), "{content:?}: {problem:?}");
    }
    server.tell(&["SET", "devo-collector:b", "of another program"]);
    let foreign = server.store().bucket("b").get("state").unwrap_err().to_string();
    assert!(foreign.contains("WRONGTYPE") && foreign.contains("use another db"), "{foreign}");
    bucket.delete("state").unwrap();
    assert_eq!(bucket.get("state").unwrap(), None);
}

#[test]
fn a_password_is_given_where_it_is_asked_for_and_shown_nowhere() {
    let server = Server::start(&["--save", "", "--requirepass", "correct horse"]);
    let open = |password: Option<&str>| {
        RedisDatabase::open(RedisSettings { password: password.map(text), ..server.settings() })
    };
    let database = open(Some("correct horse")).unwrap();
    assert!(!format!("{database:?}").contains("horse"));
    Store::redis(database).bucket("a").set("state", b"one").unwrap();
    assert!(matches!(problem_of(open(None)), RedisProblem::PasswordMissing));
    let wrong = open(Some("battery staple")).unwrap_err();
    assert!(matches!(problem_of(Err::<(), _>(wrong)), RedisProblem::PasswordRefused));
    let wrong = format!("{0:?} {0}", open(Some("battery staple")).unwrap_err());
    assert!(wrong.contains(&server.port.to_string()) && !wrong.contains("staple"), "{wrong}");
}

#[test]
fn a_password_is_not_shown_by_a_server_that_repeats_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 1000];
        let count = stream.read(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..count]).replace(['\r', '\n'], " ");
        stream.write_all(format!("-ERR unknown command, args beginning with: {text}\r\n").as_bytes()).unwrap();
    });
    let password = Some(text("hunter2"));
    let error = RedisDatabase::open(RedisSettings { password, ..settings(port) }).unwrap_err();
    answering.join().unwrap();
    assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
}

#[test]
fn databases_are_kept_apart() {
    let server = Server::start(&IN_MEMORY);
    let in_database = |db| Store::redis(RedisDatabase::open(RedisSettings { db, ..server.settings() }).unwrap());
    in_database(3).bucket("a").set("state", b"three").unwrap();
    assert_eq!(in_database(0).bucket("a").get("state").unwrap(), None);
    assert_eq!(in_database(3).bucket("a").get("state").unwrap().unwrap(), b"three");
    let none = RedisDatabase::open(RedisSettings { db: 99, ..server.settings() });
    assert!(matches!(problem_of(none), RedisProblem::NoSuchDatabase(99)));
}

#[test]
fn a_full_server_keeps_the_old_value_and_says_so() {
    let server = Server::start(&IN_MEMORY);
    let bucket = server.store().bucket("a");
    bucket.set("state", b"one").unwrap();
    server.tell(&["CONFIG", "SET", "maxmemory", "1"]);
    let full = bucket.set("state", b"two").unwrap_err().to_string();
    assert!(full.contains("OOM") && full.contains("maxmemory"), "{full}");
    assert_eq!(bucket.get("state").unwrap().unwrap(), b"one");
    server.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    bucket.set("state", b"two").unwrap();
}

#[test]
fn what_is_no_redis_server_is_named() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = RedisDatabase::open(settings(port)).unwrap_err();
    assert!(refused.to_string().contains(&format!("127.0.0.1:{port}")), "{refused}");
    assert!(matches!(problem_of(Err::<(), _>(refused)), RedisProblem::Unreachable(_)));

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = stream.read(&mut [0; 100]);
    });
    assert!(matches!(problem_of(RedisDatabase::open(settings(port))), RedisProblem::NotRedis));
    answering.join().unwrap();
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = RedisDatabase::open(settings(listener.local_addr().unwrap().port()));
    assert!(matches!(problem_of(silent), RedisProblem::TimedOut(PATIENCE)));
}

#[test]
fn the_originals_state_is_found_under_its_key() {
    let server = Server::start(&IN_MEMORY);
    let find = || find_original(&server.store(), "cloudsek", "cloudsek_1", "alerts");
    assert!(find().unwrap().is_none());
    let key = "cloudsek;cloudsek_1;alerts;None";
    let state = r#"{"last_event_time_in_utc":"2024-01-01T00:00:00Z","last_ids":["1a2b3c"],"@persistence_version":1}"#;
    server.tell(&["SET", key, state]);
    let found = String::from_utf8(find().unwrap().unwrap()).unwrap();
    assert!(found.contains("1a2b3c") && found.contains("2024-01-01T00:00:00Z"), "{found}");
    server.tell(&["SET", key, "nonsense"]);
    let unusable = find().unwrap_err().to_string();
    assert!(unusable.contains(key) && unusable.contains("redis"), "{unusable}");
}
