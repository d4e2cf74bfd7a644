//! Reaching a server, or something in its place: what is wrong with it, in time, and without showing the
//! password.

use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use collector_files::{RootedPath, Threads};
use collector_model::Secret;
use collector_net::AddressPolicy;

use super::super::connection::PATIENCE;
use super::server::{answering, breaking_off, endless, free_port, open, settings};
use super::*;
use crate::Store;
use crate::folder::scratch::Scratch;

/// This machine, however its address is written.
const DENIED: [&str; 2] = ["127.0.0.0/8", "::1"];

const PROBLEM_IN_A_SCRIPT_BEFORE_REDIS_7: &str = "-ERR Error running script (call to f_5ab): @user_script:2: \
    @user_script: 2: -OOM command not allowed when used memory > 'maxmemory'.\r\n";

fn with_password(settings: RedisSettings, password: &str) -> RedisSettings {
    RedisSettings { password: Some(Secret::Text(password.into())), ..settings }
}

fn open_problem(settings: RedisSettings) -> RedisProblem {
    problem_of(open(settings))
}

#[test]
fn a_password_is_given_where_it_is_asked_for_and_shown_nowhere() {
    let server = Server::start(&["--save", "", "--requirepass", "correct horse"]);
    let database = open(with_password(server.settings(), "correct horse")).unwrap();
    assert!(!format!("{database:?}").contains("horse"));
    Store::redis(database).bucket("a").set("state", b"one").unwrap();
    assert!(matches!(open_problem(server.settings()), RedisProblem::PasswordMissing));
    let wrong = open(with_password(server.settings(), "battery staple")).unwrap_err();
    let text = format!("{wrong:?} {wrong}");
    assert!(text.contains(&server.port().to_string()) && !text.contains("staple"), "{text}");
    assert!(matches!(problem_of(Err::<(), _>(wrong)), RedisProblem::PasswordRefused));
    let unasked = Server::start(&IN_MEMORY);
    assert!(matches!(open_problem(with_password(unasked.settings(), "a")), RedisProblem::PasswordRefused));
}

#[test]
fn a_password_is_not_shown_by_a_server_that_repeats_it() {
    let repeating: [&'static [&'static str]; 6] = [
        &["-ERR unknown command, args beginning with: QUESTION\r\n"],
        &["-HUNTER You said it\r\n"],
        &["HUNTER\r\n"],
        &["+HUNTER\r\n", "+HUNTER\r\n", "+HUNTER\r\n"],
        &["+OK\r\n", "-HUNTER You said it\r\n"],
        &["+OK\r\n", "+PONG\r\n", "-ERR HUNTER @user_script: 1: -HUNTER\r\n"],
    ];
    for answers in repeating {
        let settings = with_password(settings(answering(answers)), "HUNTER");
        let error = open(settings).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("HUNTER"), "{error:?}");
    }
}

#[test]
fn a_user_may_be_named_and_needs_its_permissions_from_the_start() {
    let server = Server::start(&IN_MEMORY);
    let rules = ["+ping", "+hget", "+hset", "+hdel", "+hexists", "+hkeys", "+get", "+eval"];
    let acl = |name: &str, rules: &[&str]| {
        let setuser = ["ACL", "SETUSER", name, "on", ">correct", "~devo-collector:*"];
        server.tell(&[&setuser[..], rules].concat());
    };
    acl("collector", &rules);
    acl("reader", &rules[..2]);
    acl("scriptless", &["+@all", "-eval"]);
    let user =
        |name: &str| RedisSettings { username: Some(name.to_owned()), ..with_password(server.settings(), "correct") };
    let bucket = Store::redis(open(user("collector")).unwrap()).bucket("a");
    bucket.set("state", b"one").unwrap();
    assert_eq!(bucket.get("state").unwrap().unwrap(), b"one");
    assert_eq!(bucket.list().unwrap(), ["state"]);
    for name in ["reader", "scriptless"] {
        assert!(matches!(open_problem(user(name)), RedisProblem::Server { code: "NOPERM" }), "{name}");
    }
    assert!(matches!(open_problem(user("nobody")), RedisProblem::PasswordRefused));
}

#[test]
fn a_server_that_cannot_be_written_to_is_named_before_anything_is_sent() {
    let server = Server::start(&IN_MEMORY);
    server.tell(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(matches!(open_problem(server.settings()), RedisProblem::Server { code: "OOM" }));
    server.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    server.tell(&["REPLICAOF", "127.0.0.1", "1"]);
    assert!(matches!(open_problem(server.settings()), RedisProblem::Server { code: "READONLY" }));
}

#[test]
fn a_refusal_is_called_by_its_name_whatever_the_version() {
    for (answers, expected) in [
        (&["-LOADING Redis is loading the dataset in memory\r\n"][..], "LOADING"),
        (&["-DENIED Redis is running in protected mode because\r\n"], "DENIED"),
        (&["+PONG\r\n", "-MISCONF Errors writing to the AOF file\r\n"], "MISCONF"),
        (&["+PONG\r\n", PROBLEM_IN_A_SCRIPT_BEFORE_REDIS_7], "OOM"),
    ] {
        let problem = open_problem(settings(answering(answers)));
        assert!(matches!(problem, RedisProblem::Server { code } if code == expected), "{problem:?}");
        assert!(!problem.to_string().contains("see the server's log"));
    }
}

#[test]
fn a_server_with_enough_clients_is_not_taken_for_one_that_refuses_the_password() {
    let server = Server::start(&["--save", "", "--maxclients", "1", "--requirepass", "correct"]);
    // The client that waited for the server to start may not be gone yet.
    let open = || open(with_password(server.settings(), "correct"));
    let _first = (0..100).find_map(|_| open().ok()).unwrap();
    let problem = problem_of(open());
    // It may be closed before the answer is read.
    assert!(matches!(problem, RedisProblem::TooManyClients | RedisProblem::Unreachable(_)), "{problem:?}");
}

#[test]
fn what_is_no_redis_server_is_named() {
    let port = free_port();
    let refused = open(settings(port)).unwrap_err();
    assert!(refused.to_string().contains(&format!("127.0.0.1:{port}")), "{refused}");
    assert!(matches!(problem_of(Err::<(), _>(refused)), RedisProblem::Unreachable(_)));
    let http = answering(&["HTTP/1.1 400 Bad Request\r\n\r\n"]);
    assert!(matches!(open_problem(settings(http)), RedisProblem::NotRedis));
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = open_problem(settings(listener.local_addr().unwrap().port()));
    assert!(matches!(silent, RedisProblem::TimedOut(PATIENCE)));
}

#[test]
fn a_server_that_goes_on_and_on_has_no_more_time_and_no_more_memory() {
    // A byte now and then, which is no answer ever.
    let dripping = open_problem(settings(endless("$", Duration::from_millis(100))));
    assert!(matches!(dripping, RedisProblem::TimedOut(PATIENCE)), "{dripping:?}");
    for (answer, expected) in [
        ("$3000000000\r\n", "3000000000 bytes"),
        ("*1000000000\r\n$1\r\nx\r\n", "no redis server"),
        ("*1\r\n*1\r\n", "no redis server"),
        ("+ABCDEFGH", "no redis server"),
        ("$9223372036854775807\r\n", "9223372036854775807 bytes"),
        ("$-9\r\n", "no redis server"),
    ] {
        let problem = open_problem(settings(endless(answer, Duration::ZERO))).to_string();
        assert!(problem.contains(expected), "{answer:?}: {problem}");
    }
}

#[test]
fn a_server_that_breaks_off_or_sends_elsewhere_is_named_and_not_followed() {
    for answers in [&["+PONG\r\n", "$7\r\nabc"][..], &["+PO"], &[""], &["+PONG\r\n", "*1\r\n$3\r\n"]] {
        let problem = open_problem(settings(breaking_off(answers)));
        assert!(matches!(problem, RedisProblem::Unreachable(_)), "{answers:?}: {problem:?}");
    }
    for (answers, expected) in [
        (&["+PONG\r\n", "-MOVED 3999 127.0.0.1:6381\r\n"][..], "MOVED"),
        (&["-ASK 3999 127.0.0.1:6381\r\n"], "an error of its own"),
        (&["-NOAUTH Authentication required.\r\n"], "asks for a password"),
        (&["+PONG\r\n", "-OOM command not allowed when used memory > 'maxmemory'.\r\n"], "OOM"),
        (&[":1\r\n"], "no redis server"),
    ] {
        let problem = open_problem(settings(answering(answers))).to_string();
        assert!(problem.contains(expected), "{answers:?}: {problem}");
    }
    let refused = with_password(settings(answering(&["-WRONGPASS invalid username-password pair\r\n"])), "HUNTER");
    assert!(matches!(open_problem(refused), RedisProblem::PasswordRefused));
}

#[test]
fn where_a_server_may_be_is_decided_after_the_look_up() {
    let server = Server::start(&IN_MEMORY);
    for host in ["127.0.0.1", "localhost", "::ffff:127.0.0.1", "::1"] {
        for addresses in
            [false.into(), AddressPolicy { denied: DENIED.map(|n| n.parse().unwrap()).into(), allow_private: true }]
        {
            for threads in [Threads::of_tenant(), Threads::of_operator()] {
                let (addresses, host) = (AddressPolicy::clone(&addresses), host.to_owned());
                let problem = open_problem(RedisSettings { host, addresses, threads, ..server.settings() });
                assert!(matches!(problem, RedisProblem::AddressRefused { .. }), "{problem:?}");
            }
        }
    }
    // One is that of whoever asks, one of whoever waited for the start.
    let connections = server.ask(&["INFO", "stats"]).concat();
    assert!(connections.contains("total_connections_received:2\r\n"), "{connections}");
    open(RedisSettings { threads: Threads::of_tenant(), host: "localhost".to_owned(), ..server.settings() }).unwrap();
}

#[test]
fn services_do_not_queue_for_a_server_that_does_not_answer() {
    let server = Server::start(&IN_MEMORY);
    let network = Network::before(&server);
    let store = network.store();
    network.plan(&[Fault::Withheld; 2]);
    let began = Instant::now();
    thread::scope(|scope| {
        for name in ["a", "b", "c", "d"] {
            let bucket = store.bucket(name);
            scope.spawn(move || assert!(matches!(problem_of(bucket.get("state")), RedisProblem::TimedOut(PATIENCE))));
        }
    });
    // One has waited, on the old connection and on a new one.
    assert!(began.elapsed() < PATIENCE * 3, "{:?}", began.elapsed());
    thread::sleep(Duration::from_secs(1));
    assert_eq!(store.bucket("a").get("state").unwrap(), None, "it is tried again");
}

#[test]
fn a_late_or_garbled_answer_is_never_taken_for_that_to_another_question() {
    let server = Server::start(&IN_MEMORY);
    let network = Network::before(&server);
    let store = network.store();
    for name in ["a", "b"] {
        store.bucket(name).set("state", name.as_bytes()).unwrap();
    }
    for faults in [&[Fault::Garbled][..], &[Fault::Garbled, Fault::Garbled], &[Fault::Withheld]] {
        network.plan(faults);
        let _ = store.bucket("a").get("state");
        assert_eq!(store.bucket("b").get("state").unwrap().unwrap(), b"b");
        assert_eq!(store.bucket("a").get("state").unwrap().unwrap(), b"a");
    }
}

#[test]
fn a_server_that_became_a_replica_is_left_for_the_new_primary() {
    let at_once = [&IN_MEMORY[..], &["--repl-diskless-sync-delay", "0"]].concat();
    let (old, new) = (Server::start(&at_once), Server::start(&IN_MEMORY));
    let network = Network::before(&old);
    let bucket = network.store().bucket("a");
    bucket.set("state", b"one").unwrap();
    new.tell(&["REPLICAOF", "127.0.0.1", &old.port().to_string()]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while new.ask(&["EXISTS", "devo-collector:a"]) != ["1"] {
        assert!(Instant::now() < deadline, "the replica has not caught up");
        thread::sleep(Duration::from_millis(50));
    }
    new.tell(&["REPLICAOF", "NO", "ONE"]);
    old.tell(&["REPLICAOF", "127.0.0.1", &new.port().to_string()]);
    network.lead_to(&new);
    bucket.set("state", b"two").unwrap();
    assert_eq!(new.store().bucket("a").get("state").unwrap().unwrap(), b"two");
}

#[test]
fn tls_is_spoken_with_a_server_whose_certificate_is_trusted() {
    let scratch = Scratch::new();
    let file = |name: &str, content: String| -> PathBuf {
        std::fs::write(scratch.join(name), content).unwrap();
        scratch.join(name)
    };
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (file("redis.crt", own.cert.pem()), file("redis.key", own.signing_key.serialize_pem()));
    let port = free_port();
    let arguments = ["--tls-port", &port.to_string(), "--tls-auth-clients", "no", "--tls-cert-file"].map(str::to_owned);
    let files = [certificate.display().to_string(), "--tls-key-file".to_owned(), key.display().to_string()];
    let server = Server::start(&[&arguments[..], &files].concat());
    let tls = |port, ca_file: Option<PathBuf>| {
        let (host, ca_file) = ("localhost".to_owned(), ca_file.map(RootedPath::of_operator));
        RedisSettings { host, tls: true, ca_file, ..with_password(settings(port), "a") }
    };
    let trusted = RedisSettings { password: None, ..tls(port, Some(certificate.clone())) };
    Store::redis(open(trusted.clone()).unwrap()).bucket("a").set("state", b"one").unwrap();
    assert_eq!(server.store().bucket("a").get("state").unwrap().unwrap(), b"one");

    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let unknown = open_problem(tls(port, Some(file("other.crt", other.cert.pem())))).to_string();
    assert!(unknown.contains("certificate"), "{unknown}");
    let misnamed = open_problem(RedisSettings { host: "127.0.0.1".to_owned(), ..trusted }).to_string();
    assert!(misnamed.contains("certificate"), "{misnamed}");
    for unusable in [scratch.join("none.crt"), key] {
        assert!(matches!(open_problem(tls(port, Some(unusable))), RedisProblem::CaFile { .. }));
    }
    // One side speaks TLS, and the other does not.
    for settings in [tls(server.port(), Some(certificate)), settings(port)] {
        let problem = open_problem(settings).to_string();
        assert!(problem.contains("tls of persistence.config"), "{problem}");
    }
}
