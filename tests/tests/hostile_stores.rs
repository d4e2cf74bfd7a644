//! Tenants that keep their state in redis beside others who do, and redis servers that mean harm.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use sandbox::PATIENCE;
use sandbox::folder::Folder;
use sandbox::hosting::{Hosting, begins, wait_for_more_cycles};
use sandbox::redis::Redis;
use sandbox::stage::Stage;

/// Has tenants use servers of their own choice on this machine.
const ANY_SERVER: &str = "allow_redis: true\negress: {allow_private_addresses: true}\n";

/// As often as it is sent, until nobody takes it.
fn flood(client: &mut TcpStream, piece: &[u8]) {
    while client.write_all(piece).is_ok() {}
}

/// A server that answers whatever it is asked like this. It stays until the end of the process.
fn server(answer: impl Fn(&mut TcpStream) + Send + Sync + Copy + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            thread::spawn(move || {
                let mut client = client.unwrap();
                if matches!(client.read(&mut [0; 4096]), Ok(1..)) {
                    answer(&mut client);
                }
            });
        }
    });
    port
}

/// Has a tenant keep its state at this port of this machine, in this database.
fn keeps_state_at(stage: &Stage, config: &str) -> anyhow::Result<()> {
    let files = "    type: filesystem\n    config:\n      directory_name: state\n";
    let redis = format!("    type: redis\n    config: {{{config}}}\n");
    stage.installation.write_config(&stage.settings.yaml().replace(files, &redis))
}

#[test]
fn tenants_with_the_same_names_in_one_database_share_nothing() {
    let hosting = Hosting::new("redis-shared").unwrap();
    hosting.decide(ANY_SERVER).unwrap();
    let folder = Folder::new("redis-shared-data").unwrap();
    let redis = Redis::start(&folder.path().join("redis")).unwrap();
    let names = ["acme", "globex", "globex.eu", "globex-eu"];
    let mut stages =
        names.map(|name| hosting.add_prepared(name, 100, |stage| redis.keeps_the_state_of(stage)).unwrap());
    for round in 0..2 {
        let collector = hosting.start().unwrap();
        for (name, stage) in names.iter().zip(&stages) {
            stage.wait_for_all(&collector).unwrap();
            wait_for_more_cycles(&collector, name, 1).unwrap();
        }
        assert_eq!(collector.stop(PATIENCE).unwrap().code(), Some(0));
        if round == 0 {
            stages.iter_mut().for_each(|stage| stage.add_newer(20));
        }
    }
    for stage in &stages {
        stage.compare().exactly_once().unwrap();
    }
    let keys = redis.ask("SELECT 2\r\nKEYS *").unwrap();
    for name in names {
        let key = format!("\r\ndevo-collector:{name}:cloudsek;cloudsek_1;alerts\r\n");
        assert!(keys.contains(&key), "{keys}");
    }
    assert!(keys.contains("*4\r\n"), "{keys}");
}

#[test]
fn a_tenant_reaches_no_other_redis_server_or_database_than_the_operators() {
    let hosting = Hosting::new("redis-servers").unwrap();
    let folder = Folder::new("redis-servers-data").unwrap();
    let redis = Redis::start(&folder.path().join("redis")).unwrap();
    let port = redis.port();
    let listed = format!("redis_servers: [{{host: 127.0.0.1, port: {port}, dbs: [2]}}]\n");
    hosting.decide(&format!("{listed}egress: {{allow_private_addresses: true}}\n")).unwrap();
    let good = hosting.add_prepared("good", 10, |stage| redis.keeps_the_state_of(stage)).unwrap();
    let other = server(|client| drop(client.write_all(b"+OK\r\n")));
    let at = |name: &str, config: &str| hosting.add_prepared(name, 1, |stage| keeps_state_at(stage, config)).unwrap();
    let refused = [
        ("database", at("database", &format!("host: 127.0.0.1, port: {port}, db: 3")), "config.db"),
        ("negative", at("negative", &format!("host: 127.0.0.1, port: {port}, db: -1")), "config.db"),
        ("port", at("port", &format!("host: 127.0.0.1, port: {other}, db: 2")), "config.host"),
        ("name", at("name", &format!("host: localhost, port: {port}, db: 2")), "config.host"),
        ("mapped", at("mapped", &format!("host: '::ffff:127.0.0.1', port: {port}, db: 0")), "config.db"),
    ];
    let collector = hosting.start().unwrap();
    good.wait_for_all(&collector).unwrap();
    for (name, stage, key) in &refused {
        collector.wait_for_complaint(&[&format!("The tenant {name}: "), "[CODE:0008]", key]).unwrap();
        assert_eq!(stage.simulator.request_count(), 0);
    }
    let connections = |redis: &Redis| redis.ask("INFO clients").unwrap().contains("connected_clients:2\r\n");
    assert!(connections(&redis), "the good tenant, and whoever asks this");
}

#[test]
fn a_redis_server_of_a_tenants_choice_is_in_no_private_network() {
    let hosting = Hosting::new("redis-private").unwrap();
    hosting.decide("allow_redis: true\n").unwrap();
    let folder = Folder::new("redis-private-data").unwrap();
    let redis = Redis::start(&folder.path().join("redis")).unwrap();
    let add = |name: &str, host: &str| {
        let prepare = |stage: &mut Stage| {
            keeps_state_at(stage, &format!("host: '{host}', port: {}", redis.port()))?;
            let yaml = std::fs::read_to_string(stage.installation.config())?;
            stage.installation.write_config(&yaml.replace("allow_private_addresses: true", ""))
        };
        hosting.add_prepared(name, 1, prepare).unwrap()
    };
    let hosts =
        [("address", "127.0.0.1"), ("mapped", "::ffff:127.0.0.1"), ("name", "localhost"), ("dotted", "localhost.")];
    let stages = hosts.map(|(name, host)| add(name, host));
    let collector = hosting.start().unwrap();
    for (name, code, reason) in [
        ("address", "[CODE:0008]", "an address of the host's own network"),
        ("mapped", "[CODE:0008]", "an address of the host's own network"),
        ("name", "[CODE:0007]", "a loopback address, which is not permitted"),
        ("dotted", "[CODE:0007]", "a loopback address, which is not permitted"),
    ] {
        collector.wait_for_complaint(&[&format!("The tenant {name}"), code, reason]).unwrap();
    }
    assert!(redis.ask("INFO clients").unwrap().contains("connected_clients:1\r\n"), "whoever asks this");
    assert!(stages.iter().all(|stage| stage.simulator.request_count() == 0));
}

#[test]
fn servers_that_never_finish_hold_up_nobody() {
    let hosting = Hosting::new("redis-endless").unwrap();
    hosting.decide(ANY_SERVER).unwrap();
    let servers = [
        ("silent", server(|client| drop(client.read(&mut [0])))),
        (
            "dripping",
            server(|client| {
                while client.write_all(b"$").is_ok() {
                    thread::sleep(Duration::from_millis(200));
                }
            }),
        ),
        (
            "large",
            server(|client| {
                let _ = client.write_all(b"$3000000000\r\n");
                flood(client, &[b'x'; 65536]);
            }),
        ),
        (
            "many",
            server(|client| {
                let _ = client.write_all(b"*1000000000\r\n");
                flood(client, &b":1\r\n".repeat(16384));
            }),
        ),
        ("deep", server(|client| flood(client, &b"*1\r\n".repeat(16384)))),
        ("line", server(|client| flood(client, &[b'+'; 65536]))),
        ("cut", server(|client| drop(client.write_all(b"$7\r\n+PO")))),
    ];
    let mut attackers = Vec::new();
    for (kind, port) in &servers {
        for number in 0..4 {
            let name = format!("{kind}-{number}");
            let prepare = |stage: &mut Stage| keeps_state_at(stage, &format!("host: 127.0.0.1, port: {port}"));
            attackers.push((name.clone(), hosting.add_prepared(&name, 1, prepare).unwrap()));
        }
    }
    let folder = Folder::new("redis-beside-data").unwrap();
    let redis = Redis::start(&folder.path().join("redis")).unwrap();
    let on_disk = hosting.add("on-disk", 20).unwrap();
    let in_redis = hosting.add_prepared("in-redis", 20, |stage| redis.keeps_the_state_of(stage)).unwrap();
    let collector = hosting.start().unwrap();
    for stage in [&on_disk, &in_redis] {
        stage.wait_for_all(&collector).unwrap();
    }
    for (name, stage) in &attackers {
        let told = [&*format!("The tenant {name} has failed: "), "[CODE:0007]", "127.0.0.1"];
        collector.wait_for_complaint(&told).unwrap();
        assert_eq!(stage.simulator.request_count(), 0);
    }
    for name in ["on-disk", "in-redis"] {
        wait_for_more_cycles(&collector, name, 2).unwrap();
        assert_eq!(begins(&collector, name), 1);
    }
    let peak = collector.memory().unwrap().peak;
    assert!(peak < 400_000, "{peak} KiB");
    assert_eq!(collector.stop(PATIENCE).unwrap().code(), Some(0));
    assert_eq!(collector.lines_with(&["All tenants have stopped"]).len(), 1, "a stop waits for none of them");
}
