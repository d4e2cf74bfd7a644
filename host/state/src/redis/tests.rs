//! What is kept in a redis-server of our own, through its restarts and beside others who write there.

mod connecting;
mod server;

use collector_model::TenantName;

use super::*;
use crate::find_original;
pub use server::Server;
use server::{DURABLE, Fault, IN_MEMORY, Network, open};

fn problem_of<T: std::fmt::Debug>(outcome: Result<T, StateError>) -> RedisProblem {
    match outcome {
        Err(StateError::Redis { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_that_comes_back_with_its_data_is_used_again() {
    let mut server = Server::start(&DURABLE);
    let bucket = server.store().bucket("a");
    bucket.set("state", b"one").unwrap();
    server.kill();
    let error = bucket.get("state").unwrap_err();
    assert!(error.may_pass(), "{error}");
    assert!(matches!(problem_of(Err::<(), _>(error)), RedisProblem::Unreachable(_)));
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
    let error = bucket.get("state").unwrap_err();
    assert!(!error.may_pass(), "{error}");
    assert!(matches!(problem_of(Err::<(), _>(error)), RedisProblem::Lost));
    assert!(matches!(problem_of(bucket.exists("state")), RedisProblem::Lost));
    assert!(matches!(problem_of(bucket.list()), RedisProblem::Lost));
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
fn a_write_whose_answer_is_lost_is_repeated() {
    let server = Server::start(&IN_MEMORY);
    let network = Network::before(&server);
    let bucket = network.store().bucket("a");
    assert_eq!(bucket.get("state").unwrap(), None);
    network.plan(&[Fault::Lost]);
    bucket.set("state", b"one").unwrap();
    assert_eq!(server.store().bucket("a").get("state").unwrap().unwrap(), b"one");
}

#[test]
fn a_write_of_which_nothing_is_known_is_not_taken_for_another_collectors() {
    let server = Server::start(&IN_MEMORY);
    let network = Network::before(&server);
    let (bucket, other) = (network.store().bucket("a"), server.store().bucket("a"));
    bucket.set("state", b"one").unwrap();
    network.plan(&[Fault::Lost, Fault::Lost]);
    assert!(matches!(problem_of(bucket.set("state", b"two")), RedisProblem::Unreachable(_)));
    bucket.set("state", b"three").unwrap();
    assert_eq!(other.get("state").unwrap().unwrap(), b"three");
    // Another's is still told from it.
    network.plan(&[Fault::Lost, Fault::Lost]);
    problem_of(bucket.set("state", b"four"));
    assert_eq!(other.get("state").unwrap().unwrap(), b"four");
    other.set("state", b"of the other").unwrap();
    assert!(matches!(problem_of(bucket.set("state", b"five")), RedisProblem::WrittenByAnother));
}

#[test]
fn a_removal_whose_answer_is_lost_is_no_loss_of_the_state() {
    let server = Server::start(&IN_MEMORY);
    let network = Network::before(&server);
    let bucket = network.store().bucket("a");
    bucket.set("state", b"one").unwrap();
    network.plan(&[Fault::Lost, Fault::Lost]);
    assert!(matches!(problem_of(bucket.delete("state")), RedisProblem::Unreachable(_)));
    assert_eq!(bucket.get("state").unwrap(), None);
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
fn a_value_with_a_bit_flipped_is_an_error_and_can_be_replaced() {
    let server = Server::start(&IN_MEMORY);
    let bucket = server.store().bucket("a");
    let flip = |at: usize| {
        let at = at.to_string();
        let flip = "local f = redis.call('HGET', KEYS[1], 'state')
            local at = tonumber(ARGV[1])
            local flipped = string.char(bit.bxor(string.byte(f, at), 128))
            return redis.call('HSET', KEYS[1], 'state', string.sub(f, 1, at - 1) .. flipped .. string.sub(f, at + 1))";
        server.tell(&["EVAL", flip, "1", "devo-collector:a", &at]);
    };
    let length = REVISION + envelope::header(b"one").len() + b"one".len();
    for at in REVISION + 1..=length {
        bucket.set("state", b"one").unwrap();
        // The revision too: it is compared as the bytes that it is.
        flip(1);
        flip(at);
        assert!(matches!(problem_of(bucket.get("state")), RedisProblem::Corrupt { .. }), "{at}");
    }
    bucket.set("state", b"two").unwrap();
    assert_eq!(bucket.get("state").unwrap().unwrap(), b"two");
}

#[test]
fn keys_that_no_collector_has_written_are_not_listed() {
    let server = Server::start(&IN_MEMORY);
    let bucket = server.store().bucket("a");
    bucket.set("state", b"one").unwrap();
    let odd = "return redis.call('HSET', KEYS[1], string.char(255), '')";
    server.tell(&["EVAL", odd, "1", "devo-collector:a"]);
    assert_eq!(bucket.list().unwrap(), ["state"]);
}

#[test]
fn opening_leaves_nothing_behind() {
    let server = Server::start(&IN_MEMORY);
    server.tell(&["SET", "of another program", "one"]);
    server.store();
    assert_eq!(server.ask(&["KEYS", "*"]), ["of another program"]);
}

#[test]
fn databases_are_kept_apart() {
    let server = Server::start(&IN_MEMORY);
    let open = |db| open(RedisSettings { db, ..server.settings() });
    let bucket = |db| crate::Store::redis(open(db).unwrap()).bucket("a");
    bucket(3).set("state", b"three").unwrap();
    assert_eq!(bucket(0).get("state").unwrap(), None);
    assert_eq!(bucket(3).get("state").unwrap().unwrap(), b"three");
    assert!(matches!(problem_of(open(99)), RedisProblem::NoSuchDatabase(99)));
    assert!(matches!(problem_of(open(-1)), RedisProblem::NoSuchDatabase(-1)));
}

#[test]
fn tenants_with_the_same_names_are_kept_apart_in_one_database() {
    let server = Server::start(&IN_MEMORY);
    let database = |tenant: Option<&str>| {
        let tenant = tenant.map(|name| TenantName::new(name).unwrap());
        crate::Store::redis(open(RedisSettings { tenant, ..server.settings() }).unwrap())
    };
    // No tenant can be called `a:b`, and no bucket of a collector by itself begins with a name and a colon.
    assert_eq!(TenantName::new("a:b"), None);
    let places = [
        (None, "a;1;alerts"),
        (None, "a;b:c;alerts"),
        (Some("a"), "a;1;alerts"),
        (Some("a"), "b:a;1;alerts"),
        (Some("a"), "b;a:1;alerts"),
        (Some("b"), "a;1;alerts"),
        (Some("a.b"), "a;1;alerts"),
        (Some("a-b"), "a;1;alerts"),
    ];
    for (tenant, bucket) in places {
        let bucket_of = database(tenant).bucket(bucket);
        assert_eq!(bucket_of.get("state").unwrap(), None, "{tenant:?} {bucket}");
        bucket_of.set("state", format!("{tenant:?} {bucket}").as_bytes()).unwrap();
    }
    for (tenant, bucket) in places {
        let value = database(tenant).bucket(bucket).get("state").unwrap().unwrap();
        assert_eq!(value, format!("{tenant:?} {bucket}").as_bytes());
        assert_eq!(database(tenant).bucket(bucket).list().unwrap(), ["state"]);
    }
    assert_eq!(server.ask(&["EXISTS", "devo-collector:a:a;1;alerts", "devo-collector:a;1;alerts"]), ["2"]);
    assert_eq!(server.ask(&["DBSIZE"]), [places.len().to_string()]);
}

#[test]
fn a_value_beyond_the_limit_is_not_read_and_can_be_replaced() {
    let server = Server::start(&IN_MEMORY);
    server.store().bucket("a").set("state", &[b'x'; 10_000]).unwrap();
    let bucket = server.store().bucket("a").at_most(1_000);
    let problem = problem_of(bucket.get("state"));
    let RedisProblem::Corrupt { damage: Damage::TooLarge { most: 1_000, .. }, .. } = problem else {
        panic!("{problem:?}")
    };
    bucket.set("state", b"one").unwrap();
    assert_eq!(bucket.get("state").unwrap().unwrap(), b"one");
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
fn a_large_value_is_kept_as_it_is() {
    let server = Server::start(&IN_MEMORY);
    let value: Vec<u8> = (0..16 * 1024 * 1024_u32).map(|number| (number % 251) as u8).collect();
    server.store().bucket("a").set("state", &value).unwrap();
    assert!(server.store().bucket("a").get("state").unwrap().unwrap() == value);
}

#[test]
fn the_originals_state_is_found_under_its_key_and_left_there() {
    let server = Server::start(&IN_MEMORY);
    let find = || find_original(&server.store(), "cloudsek", "cloudsek_1", "alerts");
    assert!(find().unwrap().is_none());
    let key = "cloudsek;cloudsek_1;alerts;None";
    let state = r#"{"last_event_time_in_utc":"2024-01-01T00:00:00Z","last_ids":["1a2b3c"],"@persistence_version":1}"#;
    server.tell(&["SET", key, state]);
    let found = String::from_utf8(find().unwrap().unwrap()).unwrap();
    assert!(found.contains("1a2b3c") && found.contains("2024-01-01T00:00:00Z"), "{found}");
    assert_eq!(server.ask(&["GET", key]), [state]);
    // Of a tenant it is not known whether it is its own.
    let tenant = TenantName::new("acme");
    let of_tenant = open(RedisSettings { tenant, ..server.settings() }).unwrap();
    assert!(find_original(&crate::Store::redis(of_tenant), "cloudsek", "cloudsek_1", "alerts").unwrap().is_none());
    server.tell(&["SET", key, "nonsense"]);
    let unusable = find().unwrap_err().to_string();
    assert!(unusable.contains(key) && unusable.contains("redis"), "{unusable}");
}
