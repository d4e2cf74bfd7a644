//! The platform on which the collector runs here: every operation may fail or be the last one.

use std::cell::RefCell;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::answer::Answer;
use super::check::Check;
use super::source::Kind;
use super::world::World;
use crate::platform::{
    DeadLetter, Event, Level, OutputError, Platform, Request, Response, SettingsError, StoreError, TransportError,
};

/// The most that a stored value may have.
const VALUE_IN_BYTES: usize = 4 * 1024 * 1024;

/// The most values.
const VALUES: usize = 25;

/// What every event ends with, before the id of its pull.
const TAIL: &[u8] = b",\"@devo_pulling_id\":\"";

pub struct Simulated(pub RefCell<World>);

impl Platform for Simulated {
    type Pending = Answer;

    fn begin(&self, request: &Request) -> Result<Answer, TransportError> {
        let mut world = self.0.borrow_mut();
        let fate = world.operate(false);
        if !fate.takes_effect && !fate.succeeds && world.call.dead {
            return Err(TransportError::Refused("the call was ended".to_owned()));
        }
        world.call.requests += 1;
        world.requests += 1;
        let number = world.requests;
        world.happen(number);
        let (page, limit) = asked(&request.path_with_query);
        let call = world.call;
        if call.budget.is_some_and(|budget| call.requests > budget) {
            world
                .fail(Check::Budget, || format!("request {} of a call that may make {:?}", call.requests, call.budget));
        }
        if call.requests > call.most {
            world.fail(Check::Endless, || format!("request {} of a call", call.requests));
        }
        if world.failure.is_some() {
            return Err(TransportError::Refused("a promise is broken".to_owned()));
        }
        let answer = world.source.answer(page, limit);
        world.note(|| format!("    page {page} of {limit}: {}", shown(&answer)));
        if !fate.succeeds {
            return Err(TransportError::Broken("a reset".to_owned()));
        }
        world.call.troubled |= !matches!(answer, Answer::Page { status: 200, .. });
        match answer {
            Answer::Refused => Err(TransportError::Broken("connection refused".to_owned())),
            answer => Ok(answer),
        }
    }

    fn finish(&self, answer: Answer) -> Result<Response, TransportError> {
        let mut world = self.0.borrow_mut();
        let fate = world.operate(false);
        if world.call.dead {
            return Err(TransportError::Refused("the call was ended".to_owned()));
        }
        let takes = if answer == Answer::TimedOut { world.time_out } else { world.latency };
        world.elapsed += takes;
        match answer {
            _ if !fate.succeeds => Err(TransportError::TimedOut("no answer".to_owned())),
            Answer::Page { status, body } => Ok(Response { status, retry_after: None, body, close_error: None }),
            Answer::TimedOut => Err(TransportError::TimedOut("no answer".to_owned())),
            Answer::Reset | Answer::Refused => Err(TransportError::Broken("connection reset".to_owned())),
        }
    }

    fn now(&self) -> DateTime<Utc> {
        self.0.borrow().now()
    }

    fn elapsed(&self) -> Duration {
        self.0.borrow().elapsed
    }

    fn wait(&self, duration: Duration) {
        let mut world = self.0.borrow_mut();
        world.call.operations += 1;
        world.elapsed += duration;
        world.note(|| format!("    waits {} ms", duration.as_millis()));
    }

    fn settings(&self) -> Result<Vec<(String, String)>, SettingsError> {
        let mut world = self.0.borrow_mut();
        if !world.operate(false).succeeds {
            return Err(SettingsError::Io("no answer".to_owned()));
        }
        let setting = |name: &str, value: String| (name.to_owned(), value);
        let mut settings = vec![
            setting("base_url", "https://api.example.com".to_owned()),
            setting("request.limit", world.limit.to_string()),
            setting("overlap_in_seconds", world.overlap.to_string()),
        ];
        if let Some(time) = world.start_time {
            let time = alert_records::timestamp::format(super::source::moment(time));
            settings.push(setting("initial_start_time_in_utc", time));
        }
        if world.source.by_content {
            settings.push(setting("deliver_changes", "true".to_owned()));
        }
        if world.resets > 0 {
            settings.push(setting("reset_persistence_auth", world.resets.to_string()));
        }
        Ok(settings)
    }

    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut world = self.0.borrow_mut();
        if !world.operate(false).succeeds {
            return Err(StoreError::Other("no answer".to_owned()));
        }
        Ok(world.values.get(key).cloned())
    }

    fn store(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let mut world = self.0.borrow_mut();
        let unconfirmed = world.unconfirmed.len();
        let fate = world.operate(true);
        world.note(|| format!("    stores {key}, {} bytes{}", value.len(), outcome(fate.succeeds)));
        if unconfirmed > 0 && !world.call.dead {
            world.fail(Check::CommitOrder, || format!("{key} is stored before {unconfirmed} events are confirmed"));
        }
        if value.len() > VALUE_IN_BYTES {
            world.fail(Check::State, || format!("{key} has {} bytes", value.len()));
        }
        if fate.takes_effect {
            world.values.insert(key.to_owned(), value.to_vec());
        }
        if world.values.len() > VALUES {
            world.fail(Check::State, || format!("{} values are stored", VALUES + 1));
        }
        if fate.succeeds { Ok(()) } else { Err(StoreError::Other("no space".to_owned())) }
    }

    fn send(&self, table: &str, events: &[Event<'_>]) -> Result<(), OutputError> {
        let mut world = self.0.borrow_mut();
        let keys: Vec<_> = events.iter().map(|event| told(&world, event.body)).collect();
        if table != crate::settings::DEFAULT_TABLE || !events.is_sorted_by_key(|event| event.time) {
            world.fail(Check::Faithful, || format!("events for {table}, or not sorted by time"));
        }
        if let Some(at) = keys.iter().position(Option::is_none) {
            let text = String::from_utf8_lossy(events[at].body).into_owned();
            world.fail(Check::Faithful, || format!("an event that is no record: {text}"));
        }
        let keys: Vec<_> = keys.into_iter().flatten().collect();
        let unwanted = keys.iter().find(|key| !is_wanted(&world, key.0)).copied();
        if let Some((number, _)) = unwanted {
            world.fail(Check::Unwanted, || format!("record {number} lies before the start time"));
        }
        // What is handed over before an operation fails may arrive.
        let taken = world.unconfirmed.len();
        world.unconfirmed.extend(&keys);
        let fate = world.operate(true);
        world.note(|| {
            format!("    sends {:?}{}", keys.iter().map(|key| key.0).collect::<Vec<_>>(), outcome(fate.succeeds))
        });
        if !fate.takes_effect {
            world.unconfirmed.truncate(taken);
        }
        if fate.succeeds { Ok(()) } else { Err(OutputError::Unconfirmed("the queue is closed".to_owned())) }
    }

    fn add_dead_letters(&self, _: &str, letters: &[DeadLetter<'_>]) -> Result<(), OutputError> {
        let mut world = self.0.borrow_mut();
        let keys: Vec<_> = letters.iter().map(|letter| told_by_letter(&world, letter.content)).collect();
        if let Some(at) = keys.iter().position(Option::is_none) {
            let text = String::from_utf8_lossy(letters[at].content).into_owned();
            world.fail(Check::Faithful, || format!("a dead letter that can be an event: {text}"));
        }
        let keys: Vec<_> = keys.into_iter().flatten().collect();
        let fate = world.operate(true);
        world.note(|| {
            format!("    keeps {:?}{}", keys.iter().map(|key| key.0).collect::<Vec<_>>(), outcome(fate.succeeds))
        });
        if fate.takes_effect {
            world.arrive(&keys, fate.succeeds);
        }
        if fate.succeeds { Ok(()) } else { Err(OutputError::Unconfirmed("no space".to_owned())) }
    }

    fn flush(&self) -> Result<(), OutputError> {
        let mut world = self.0.borrow_mut();
        let fate = world.operate(true);
        world.note(|| format!("    flushes{}", outcome(fate.succeeds)));
        let keys = std::mem::take(&mut world.unconfirmed);
        if fate.takes_effect {
            world.arrive(&keys, fate.succeeds);
        }
        if fate.succeeds { Ok(()) } else { Err(OutputError::Unconfirmed("not confirmed".to_owned())) }
    }

    fn log(&self, level: Level, message: &str) {
        let mut world = self.0.borrow_mut();
        world.call.operations += 1;
        if level == Level::Debug {
            return;
        }
        world.note(|| format!("    {level:?}: {message}"));
        if level == Level::Warning && !world.call.dead {
            world.warnings.push(message.to_owned());
        }
    }
}

fn outcome(succeeds: bool) -> &'static str {
    if succeeds { "" } else { ", which fails" }
}

/// Page and page size of a request.
fn asked(target: &str) -> (u64, u64) {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let value = |name: &str| {
        let pair = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(known, _)| *known == name);
        pair.and_then(|(_, value)| value.parse().ok())
    };
    (value("page").expect("a page is asked for"), value("limit").expect("a page size is asked for"))
}

/// Number and change of the record that an event is made of, if it is one.
fn told(world: &World, body: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(body).ok()?;
    let (number, rest) = text.strip_prefix("{\"n\":")?.split_once(",\"v\":")?;
    let number: u64 = number.parse().ok()?;
    let change: u64 = rest[..rest.find([',', '}'])?].parse().ok()?;
    let record = world.texts.get(number as usize)?.get(change as usize)?;
    let end = record.len() - 1;
    let tail = body.get(end..)?.strip_prefix(TAIL)?.strip_suffix(b"\"}")?;
    let is_same = body[..end] == record[..end] && !tail.is_empty() && tail.iter().all(u8::is_ascii_digit);
    is_same.then(|| key(world, number, change)).flatten()
}

/// The record that a dead letter is made of, if it is one that no event can be made of.
fn told_by_letter(world: &World, content: &[u8]) -> Option<(u64, u64)> {
    let is_same = |record: &std::rc::Rc<[u8]>| **record == *content;
    let (number, change) = world
        .texts
        .iter()
        .enumerate()
        .find_map(|(number, texts)| texts.iter().position(is_same).map(|change| (number as u64, change as u64)))?;
    let is_broken = world.records.get(number as usize)?.kind == Kind::Broken;
    is_broken.then(|| key(world, number, change)).flatten()
}

/// What a record is known by.
fn key(world: &World, number: u64, change: u64) -> Option<(u64, u64)> {
    let by_content = world.source.by_content || world.records.get(number as usize)?.kind.is_known_by_content();
    Some((number, if by_content { change } else { 0 }))
}

fn is_wanted(world: &World, number: u64) -> bool {
    let record = world.records[number as usize];
    !record.kind.has_time() || world.unwanted.is_none_or(|earliest| record.time >= earliest)
}

fn shown(answer: &Answer) -> String {
    match answer {
        Answer::Page { status, body } => {
            let text = String::from_utf8_lossy(body);
            let numbers: Vec<_> = text.split("\"n\":").skip(1).filter_map(|rest| rest.split(',').next()).collect();
            let rest = text.rfind(']').map_or(&*text, |end| &text[end + 1..]);
            format!("{status} [{}] {rest}", numbers.join(" "))
        }
        other => format!("{other:?}"),
    }
}
