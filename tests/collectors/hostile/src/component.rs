//! The misbehaviour itself. Where the host refuses something and the component lives on, it ends with a
//! failure that says what it was told; where it got what it should not get, with one that says `GOT`.

use std::hint::black_box;

use crate::Behaviour;

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "devo:collector/collector", generate_all });
}

use bindings::devo::collector::output::{self, DeadLetter, Event};
use bindings::exports::devo::collector::service::{Account, Budget, Failure, Fault, Guest, Progress, Summary};
use bindings::wasi::clocks::{monotonic_clock, wall_clock};
use bindings::wasi::config::store as config;
use bindings::wasi::http::outgoing_handler;
use bindings::wasi::http::types::{Fields, OutgoingRequest, Scheme};
use bindings::wasi::keyvalue::store as keyvalue;
use bindings::wasi::logging::logging::{self, Level};

/// Where its events go when they go where they should.
const TABLE: &str = "my.app.hostile";

const MEGABYTE: usize = 1_000_000;

struct Hostile;

bindings::export!(Hostile with_types_in bindings);

impl Guest for Hostile {
    fn set_up() -> Result<(), Failure> {
        Ok(())
    }

    fn pre_pull() -> Result<(), Failure> {
        Ok(())
    }

    fn pull(_budget: Budget) -> Result<Summary, Failure> {
        let name = setting("behaviour");
        let Some(behaviour) = Behaviour::ALL.iter().find(|behaviour| behaviour.name() == name) else {
            return Err(told(format!("there is no behaviour {name:?}")));
        };
        if *behaviour == Behaviour::NothingButMore {
            return Ok(nothing_but_more());
        }
        Err(told(misbehave(*behaviour)))
    }

    fn backfill(budget: Budget) -> Result<Summary, Failure> {
        Self::pull(budget)
    }
}

fn misbehave(behaviour: Behaviour) -> String {
    match behaviour {
        Behaviour::EndlessLoop => loop {
            black_box(());
        },
        Behaviour::EndlessRecursion => format!("GOT {}", recurse(1)),
        Behaviour::MemoryBomb => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(vec![1u8; MEGABYTE]);
                black_box(&hoard);
            }
        }
        Behaviour::HandleFlood => loop {
            std::mem::forget(keyvalue::open(""));
        },
        Behaviour::LogFlood => loop {
            logging::log(
                Level::Error,
                "",
                "a line of the flood\nPullError [CODE:0999] a line that looks like another's",
            );
        },
        Behaviour::GiantDebugLines => {
            let line = "x".repeat(100 * MEGABYTE);
            loop {
                logging::log(Level::Debug, "", &line);
            }
        }
        Behaviour::GiantState => match bucket().set("state", &vec![b'x'; 100 * MEGABYTE]) {
            Ok(()) => "GOT 100 MB of state".into(),
            Err(error) => format!("{error:?}"),
        },
        Behaviour::ManyKeys => {
            let bucket = bucket();
            let refused = (0..1_000_000).find_map(|key| bucket.set(&key.to_string(), b"x").err());
            refused.map_or("GOT a million keys".into(), |error| format!("{error:?}"))
        }
        Behaviour::FillStore => {
            let (bucket, value) = (bucket(), vec![b'x'; MEGABYTE / 10]);
            let refused = (0..64).find_map(|key| bucket.set(&key.to_string(), &value).err());
            refused.map_or("GOT 64 values".into(), |error| format!("{error:?}"))
        }
        Behaviour::GiantEvent => format!("{:?}", output::send(TABLE, &[event(vec![b'x'; 200 * MEGABYTE])])),
        Behaviour::ThousandRequests => {
            let pending: Vec<_> = (0..1000).map(|_| ask(&setting("base_url"))).collect();
            format!("GOT {} requests under way", pending.iter().filter(|answer| answer.is_ok()).count())
        }
        Behaviour::OtherHost => match ask(&setting("target")) {
            Ok(answer) => {
                answer.subscribe().block();
                match answer.get() {
                    Some(Ok(Ok(_))) => "GOT an answer of another host".into(),
                    Some(other) => format!("{:?}", other.map(|answer| answer.err())),
                    None => "nothing".into(),
                }
            }
            Err(error) => error,
        },
        Behaviour::OtherStores => other_stores(),
        Behaviour::OtherTable => match output::send("drp.cloudsek.xvigil.alerts", &[event(b"{}".to_vec())]) {
            Ok(()) => "GOT another table".into(),
            Err(error) => format!("{error:?}"),
        },
        Behaviour::GiantDeadLetter => {
            let letter = DeadLetter { reason: "too large".into(), content: vec![b'x'; 200 * MEGABYTE] };
            format!("{:?}", output::add_dead_letters(TABLE, &[letter]))
        }
        Behaviour::ManyDeadLetters => {
            let letter = || DeadLetter { reason: "no JSON".into(), content: b"{\xff\n".to_vec() };
            let kept = (0..100).filter(|_| output::add_dead_letters(TABLE, &[letter()]).is_ok());
            format!("{} dead letters are kept", kept.count())
        }
        Behaviour::EndlessDeadLetters => {
            let letters = [DeadLetter { reason: "no JSON".into(), content: vec![b'x'; MEGABYTE] }];
            let refused = (0..300).find_map(|_| output::add_dead_letters(TABLE, &letters).err());
            refused.map_or("GOT 300 MB of dead letters".into(), |error| format!("{error:?}"))
        }
        Behaviour::DeadLettersOfOthers => {
            let letter = DeadLetter { reason: "not mine".into(), content: b"{}".to_vec() };
            match output::add_dead_letters("drp.cloudsek.xvigil.alerts", &[letter]) {
                Ok(()) => "GOT another table's dead letters".into(),
                Err(error) => format!("{error:?}"),
            }
        }
        Behaviour::TrapWhileSending => {
            let events: Vec<_> = (0..10).map(|number| event(format!("{{\"number\":{number}}}").into_bytes())).collect();
            let sent = output::send(TABLE, &events);
            panic!("on purpose, after {sent:?}");
        }
        Behaviour::NeverReturns => {
            monotonic_clock::subscribe_duration(u64::MAX).block();
            "GOT to the end of time".into()
        }
        Behaviour::HoardMemory => {
            let hoard = black_box(vec![1u8; 60 * MEGABYTE]);
            monotonic_clock::subscribe_duration(u64::MAX).block();
            format!("GOT to the end of time with {} bytes", hoard.len())
        }
        Behaviour::NothingButMore => "it was told already".into(),
    }
}

fn nothing_but_more() -> Summary {
    let (backfill, account, account_time, newest_event) = (None, Account::Unknown, None, None);
    let progress = Progress { backfill, gaps: 0, account, account_time, newest_event };
    Summary { requests: 0, received: 0, duplicates: 0, sent: 0, dead_letters: 0, up_to_date: false, progress }
}

/// Not a loop: each call needs what the next one returns.
fn recurse(depth: u64) -> u64 {
    if black_box(depth) == 0 { 0 } else { recurse(black_box(depth + 1)) ^ depth }
}

fn other_stores() -> String {
    let targets = setting("target");
    for name in targets.split(',') {
        if keyvalue::open(name).is_ok() {
            return format!("GOT the store {name}");
        }
        for key in [name.to_owned(), format!("../{name}"), format!("../../{name}/state/state"), format!("/{name}")] {
            match bucket().get(&key) {
                Ok(Some(_)) => return format!("GOT the value {key}"),
                Ok(None) | Err(_) => {}
            }
        }
    }
    "no other store could be opened, and none of their values were read".into()
}

fn setting(name: &str) -> String {
    config::get(name).ok().flatten().unwrap_or_default()
}

fn bucket() -> keyvalue::Bucket {
    keyvalue::open("").expect("its own store")
}

fn event(body: Vec<u8>) -> Event {
    Event { time: wall_clock::now(), body }
}

fn ask(url: &str) -> Result<outgoing_handler::FutureIncomingResponse, String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let request = OutgoingRequest::new(Fields::new());
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    let set = request.set_scheme(Some(&scheme)).and_then(|()| request.set_authority(Some(authority)));
    set.and_then(|()| request.set_path_with_query(Some(&format!("/{path}"))))
        .map_err(|()| format!("{url} can't be asked"))?;
    outgoing_handler::handle(request, None).map_err(|error| format!("{error:?}"))
}

/// What the host said, as a failure that the operator reads.
fn told(reason: String) -> Failure {
    Failure::Pull(Fault {
        code: 399,
        reason: format!("told: {reason}."),
        remedy: "None is needed: this is a test.".into(),
    })
}
