//! The platform on which the collector runs in the tests: what it was asked for, and what is to go wrong.

use std::time::Duration;

use chrono::{DateTime, Utc};
use cloudsek_xvigil::platform::{
    DeadLetter, Event, Level, OutputError, Platform, Request, Response, SettingsError, StoreError, TransportError,
};

use super::world::World;

/// What the collector did, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Request(String),
    Send(usize),
    Flush,
    /// A value beside the state.
    StoreValue(String),
    Store,
}

/// What is to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The n-th request gets no answer, and none when repeated.
    Request(u64),
    /// The n-th request gets no answer, but the repeated one does.
    Hiccup(u64),
    Send(u64),
    Flush(u64),
    Store(u64),
    /// No value beside the state can be stored.
    StoreValues,
    /// Dead letters can't be kept.
    Letters,
    /// The state can't be read.
    Load,
    /// From the n-th operation on nothing works any more.
    Crash(u64),
}

/// An answer that is not the source's.
#[derive(Debug, Clone, Copy)]
pub struct Reply {
    pub status: u16,
    pub retry_after: Option<&'static str>,
    pub body: &'static str,
}

impl Platform for World {
    type Pending = Result<Response, TransportError>;

    fn begin(&self, request: &Request) -> Result<Self::Pending, TransportError> {
        let mut inner = self.inner();
        inner.works()?;
        inner.requests += 1;
        let number = inner.requests;
        inner.trace.push(Step::Request(request.path_with_query.clone()));
        inner.headers.clone_from(&request.headers);
        let page = super::world::page_of(&request.path_with_query);
        let reply = inner.replies.get(&number).or_else(|| inner.page_replies.get(&page)).copied();
        if let Some(Reply { status, retry_after, body }) = reply {
            let retry_after = retry_after.map(str::to_owned);
            return Ok(Ok(Response { status, retry_after, body: body.as_bytes().to_vec(), close_error: None }));
        }
        if inner.fails(Fault::Hiccup(number)) {
            return Err(TransportError::Broken("a hiccup".to_owned()));
        }
        inner.refusing |= inner.faults.contains(&Fault::Request(number));
        if inner.refusing || inner.silent_pages.contains(&page) {
            return Ok(Err(TransportError::TimedOut("no answer".to_owned())));
        }
        if let Some(mut between) = inner.between.take() {
            between(&mut inner.source, number);
            inner.between = Some(between);
        }
        let close_error = inner.close_error.clone();
        Ok(Ok(Response { close_error, ..inner.source.answer(request) }))
    }

    fn finish(&self, pending: Self::Pending) -> Result<Response, TransportError> {
        let mut inner = self.inner();
        inner.works()?;
        let takes = inner.answer_takes;
        inner.elapsed += takes;
        inner.now += takes;
        pending
    }

    fn now(&self) -> DateTime<Utc> {
        self.inner().now
    }

    fn elapsed(&self) -> Duration {
        self.inner().elapsed
    }

    fn wait(&self, duration: Duration) {
        let mut inner = self.inner();
        inner.elapsed += duration;
        inner.now += duration;
    }

    fn settings(&self) -> Result<Vec<(String, String)>, SettingsError> {
        Ok(self.inner().settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut inner = self.inner();
        inner.works()?;
        if inner.fails(Fault::Load) {
            return Err(StoreError::Other("no answer".to_owned()));
        }
        Ok(if key == "state" { inner.state.clone() } else { inner.values.get(key).cloned() })
    }

    fn store(&self, key: &str, state: &[u8]) -> Result<(), StoreError> {
        let mut inner = self.inner();
        inner.works()?;
        if key != "state" {
            assert!(
                inner.unconfirmed.is_empty(),
                "{key} stored before {} events were confirmed",
                inner.unconfirmed.len()
            );
            inner.trace.push(Step::StoreValue(key.to_owned()));
            if inner.fails(Fault::StoreValues) {
                return Err(StoreError::Other("no space".to_owned()));
            }
            inner.values.insert(key.to_owned(), state.to_vec());
            return Ok(());
        }
        inner.stores += 1;
        let number = inner.stores;
        inner.trace.push(Step::Store);
        inner.check(state);
        if inner.fails(Fault::Store(number)) {
            return Err(StoreError::Other("no space".to_owned()));
        }
        inner.state = Some(state.to_vec());
        Ok(())
    }

    fn send(&self, table: &str, events: &[Event<'_>]) -> Result<(), OutputError> {
        assert_eq!(table, "drp.cloudsek.xvigil.alerts");
        assert!(events.is_sorted_by_key(|event| event.time), "events not sorted by time");
        let mut inner = self.inner();
        inner.works()?;
        inner.sends += 1;
        let number = inner.sends;
        inner.trace.push(Step::Send(events.len()));
        if inner.fails(Fault::Send(number)) {
            return Err(OutputError::Unconfirmed("the queue is closed".to_owned()));
        }
        inner.unconfirmed.extend(events.iter().map(|event| event.body.to_vec()));
        Ok(())
    }

    fn add_dead_letters(&self, table: &str, letters: &[DeadLetter<'_>]) -> Result<(), OutputError> {
        assert_eq!(table, "drp.cloudsek.xvigil.alerts");
        let mut inner = self.inner();
        inner.works()?;
        if inner.fails(Fault::Letters) {
            return Err(OutputError::Unconfirmed("no space".to_owned()));
        }
        for letter in letters {
            assert!(!letter.reason.contains(['\n', '\r']), "a reason on more than one line");
            *inner.letters.entry(letter.content.to_vec()).or_default() += 1;
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), OutputError> {
        let mut inner = self.inner();
        inner.works()?;
        inner.flushes += 1;
        let number = inner.flushes;
        inner.trace.push(Step::Flush);
        if inner.fails(Fault::Flush(number)) {
            return Err(OutputError::Unconfirmed("not confirmed".to_owned()));
        }
        let events = std::mem::take(&mut inner.unconfirmed);
        inner.confirm(events);
        Ok(())
    }

    /// As a platform without `debug`.
    fn log(&self, level: Level, message: &str) {
        if level == Level::Debug {
            return;
        }
        self.inner().log.push(format!("{level:?} {message}").replace("Warning ", "WARNING ").replace("Info ", "INFO "));
    }
}
