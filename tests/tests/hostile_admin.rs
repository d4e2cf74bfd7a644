//! The admin address against those who have no business there: pages of others in the operator's browser,
//! clients that never ask, and whoever does not know the token.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use sandbox::PATIENCE;
use sandbox::admin::Admin;
use sandbox::collector::{Collector, binary};
use sandbox::hosting::Hosting;
use sandbox::stage::Stage;

/// Asks for a page with these headers alone; the whole answer.
fn ask(mut stream: impl Read + Write, path: &str, headers: &[&str]) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    write!(stream, "GET {path} HTTP/1.1\r\n{headers}connection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap()
}

fn serving(stage: &Stage, more: &[&str]) -> Collector {
    let arguments = [&["--config", "config.yaml", "--admin", "127.0.0.1:0"], more].concat();
    Collector::start_with(&stage.installation, &arguments).unwrap()
}

#[test]
fn a_page_of_others_in_the_operators_browser_reads_nothing() {
    let stage = Stage::new("admin-browser", 1).unwrap();
    let collector = serving(&stage, &["--admin-name", "collector.internal"]);
    let address = Admin::of(&collector).unwrap().address();
    let port = address.port();
    let asked = |path: &str, headers: &[&str]| ask(TcpStream::connect(address).unwrap(), path, headers);
    for path in ["/", "/metrics", "/health", "/style.css", "/nowhere"] {
        let found = if path == "/nowhere" { "404" } else { "200" };
        for own in ["localhost", "127.0.0.1", "[::1]", "collector.internal"] {
            let answer = asked(path, &[&format!("Host: {own}:{port}"), "Sec-Fetch-Site: none"]);
            assert_eq!(status(&answer), found, "{path} {own}: {answer}");
        }
        // A name of somebody else's that leads to this address, and a page elsewhere that asks from within a
        // browser.
        let own = format!("Host: localhost:{port}");
        for (headers, refused) in [
            (&["Host: evil.example"][..], "421"),
            (&[], "421"),
            (&[&own, "Sec-Fetch-Site: cross-site"], "403"),
            (&[&own, "Sec-Fetch-Site: same-site"], "403"),
            (&[&own, "Origin: https://evil.example"], "403"),
            (&[&own, "Origin: null"], "403"),
        ] {
            let answer = asked(path, headers);
            assert_eq!(status(&answer), refused, "{path} {headers:?}: {answer}");
            assert!(!answer.contains("cloudsek") && !answer.contains("devo_collector"), "{answer}");
        }
        for answer in [asked(path, &[&own]), asked(path, &["Host: evil.example"])] {
            let answer = answer.to_ascii_lowercase();
            assert!(answer.contains("\r\nx-content-type-options: nosniff\r\n"), "{answer}");
            assert!(answer.contains("\r\ncontent-security-policy: default-src 'none'; style-src 'self';"), "{answer}");
        }
    }
    let page = asked("/", &[&format!("Host: localhost:{port}")]);
    assert!(!page.contains("<style") && !page.contains("style=") && !page.contains("<script"), "{page}");
}

#[test]
fn hundreds_of_idle_connections_to_the_admin_address_stop_no_delivery() {
    let hosting = Hosting::new("admin-idle").unwrap();
    let host = "egress: {allow_private_addresses: true}\nadmin: 127.0.0.1:0\n";
    hosting.decide(host).unwrap();
    let mut acme = hosting.add("acme", 10).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 300; exec \"$0\" --tenants tenants"]).arg(binary().unwrap());
    let collector = Collector::start_by(hosting.tenants().parent().unwrap(), command).unwrap();
    acme.wait_for_all(&collector).unwrap();
    let admin = Admin::of(&collector).unwrap();
    let idle: Vec<TcpStream> = (0..400).map(|_| TcpStream::connect(admin.address()).unwrap()).collect();
    acme.add_newer(10);
    acme.wait_for_all(&collector).unwrap();
    // Whoever comes after them is served all the same.
    let metrics = admin.metrics(None).unwrap();
    assert!(metrics.value("process_open_fds", &[]) < Some(100.0), "{}", metrics.text());
    drop(idle);
    acme.compare().exactly_once().unwrap();
}

#[test]
fn whoever_has_no_token_sees_nothing_where_there_is_one() {
    let stage = Stage::new("admin-token", 1).unwrap();
    std::fs::write(stage.installation.product().join("admin-token"), "s3cret-of-the-operator\n").unwrap();
    let collector = serving(&stage, &["--admin-token-file", "admin-token"]);
    let address = Admin::of(&collector).unwrap().address();
    for path in ["/", "/metrics", "/health", "/style.css", "/nowhere"] {
        let asked =
            |more: &[&str]| ask(TcpStream::connect(address).unwrap(), path, &[&["Host: localhost"], more].concat());
        for more in [&[][..], &["Authorization: Bearer s3cret"], &["Authorization: Basic s3cret-of-the-operator"]] {
            let answer = asked(more);
            assert_eq!(status(&answer), "401", "{path} {more:?}: {answer}");
            assert!(!answer.contains("cloudsek") && answer.contains("www-authenticate: Bearer"), "{answer}");
        }
        let answer = asked(&["Authorization: Bearer s3cret-of-the-operator"]);
        assert_ne!(status(&answer), "401", "{answer}");
    }
    collector.stop(PATIENCE).unwrap();
    assert!(collector.lines_with(&["s3cret-of-the-operator"]).is_empty());
    let without = serving(&stage, &["--admin-token-file", "nowhere"]);
    assert_eq!(without.wait_for_exit(PATIENCE).unwrap().code(), Some(1));
    without.wait_for_line(&["nowhere", "nothing was started"], PATIENCE).unwrap();
}

#[test]
fn a_socket_in_the_file_system_is_an_address() {
    let stage = Stage::new("admin-socket", 1).unwrap();
    // Its path has to be short, and what a process that was killed leaves behind is no hindrance.
    let start =
        || Collector::start_with(&stage.installation, &["--config", "config.yaml", "--admin", "unix:admin.sock"]);
    let socket = stage.installation.product().join("admin.sock");
    for end in ["kill", "stop"] {
        let collector = start().unwrap();
        collector.wait_for_line(&["Metrics, health and status are served at unix:admin.sock"], PATIENCE).unwrap();
        let asked = |headers: &[&str]| ask(connect(&socket), "/health", headers);
        assert_eq!(status(&asked(&["Host: localhost"])), "200");
        assert_eq!(status(&asked(&["Host: evil.example"])), "421");
        match end {
            "kill" => collector.kill().unwrap(),
            _ => drop(collector.stop(PATIENCE).unwrap()),
        }
        assert_eq!(socket.exists(), end == "kill");
    }
}

/// The paths of sockets have 107 characters at most, and that of a test's folder may be longer.
fn connect(socket: &Path) -> UnixStream {
    let folder = std::fs::File::open(socket.parent().unwrap()).unwrap();
    let short = format!("/proc/self/fd/{}/admin.sock", std::os::fd::AsRawFd::as_raw_fd(&folder));
    UnixStream::connect(short).unwrap()
}
