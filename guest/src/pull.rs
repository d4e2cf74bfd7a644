//! The three things the host asks for: checking the set-up, making the state ready, and pulling.
//!
//! A pull does a bounded piece of a walk: it collects what is new, sends it in batches sorted by time, has it confirmed, and
//! only then stores the state. A walk that is longer goes on at the next call from the page where it stood, so that memory,
//! time and what a crash repeats are bounded by one piece, whatever the history's length.

use std::time::Duration;

use alert_records::bytes::equal;
use alert_records::key::Key;
use alert_records::keys::Latest;
use alert_records::page::{self, Page, Unreadable};
use alert_records::record::{Places, Record};
use chrono::{DateTime, Utc};

use crate::alert::{Alert, Tail};
use crate::api::{self, Api};
use crate::batch::Batch;
use crate::failure::Failure;
use crate::ledger::Ledger;
use crate::platform::{Level, Platform};
use crate::settings::Settings;
use crate::state::{Cycle, State};
use crate::statistics::Statistics;
use crate::walk::{Observation, Plan, Walk};

/// Event bytes after which a piece ends: it bounds what a crash repeats and what the sender holds.
const PIECE_IN_BYTES: usize = 4 * 1024 * 1024;

/// Event bytes after which what was collected is sent: it bounds what the sandbox holds.
const BATCH_IN_BYTES: usize = 1024 * 1024;

/// Time after which a piece ends, so that a slow or rate-limited source stays far from the host's limit for a call.
const PIECE_IN_TIME: Duration = Duration::from_secs(30);

/// Warnings about odd records in one piece; the rest are counted only.
const WARNINGS: u64 = 5;

/// What one call of [`pull`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    pub statistics: Statistics,
    /// Whether everything that the source has is delivered now.
    pub up_to_date: bool,
}

/// Checks settings and credentials against the API.
pub fn set_up<P: Platform>(platform: &P) -> Result<(), Failure> {
    let settings = read_settings(platform)?;
    let api = Api::new(platform, &settings);
    let body = api.receive(api.ask(1, 1, None))?;
    page::read(&body, settings.records.as_ref()).map(|_| ()).map_err(|error| api::unreadable(&body, &error))
}

/// Makes the persisted state ready: creates it, upgrades it, resets it if the operator asked for it.
pub fn pre_pull<P: Platform>(platform: &P) -> Result<(), Failure> {
    let settings = read_settings(platform)?;
    let info = |message: &str| platform.log(Level::Info, message);
    info("Reading persisted data");
    let stored = load(platform)?;
    let before = read_state(stored.as_deref())?;
    let shown = before.as_ref().map_or("None".to_owned(), State::as_python);
    info(&format!("Data retrieved from the persistence: {shown}"));
    info("Running the persistence upgrade steps");
    info("Running the persistence corrections steps");
    info("Running the persistence corrections steps");
    let state = match before.map(|state| state.upgraded(&settings)) {
        None => {
            platform.log(Level::Warning, "Persistence will be overridden due to the retrieved state is empty");
            State::new(&settings)
        }
        Some(state) if state.reset_persistence_auth != settings.reset_persistence_auth => {
            platform.log(Level::Warning, "Persistence will be restarted: reset_persistence_auth has changed");
            State::new(&settings)
        }
        Some(state) => state,
    };
    let text = state.write()?;
    if stored.as_ref() == Some(&text) {
        info("No changes were detected in the persistence");
        return Ok(());
    }
    let new = state.as_python();
    platform.log(
        Level::Warning,
        &format!("Some changes have been detected and the persistence needs to be updated. Previous content: {shown}. New content: {new}"),
    );
    info("Updating the persistence");
    store(platform, &text)?;
    platform.log(Level::Warning, "Persistence has been updated successfully");
    Ok(())
}

/// Delivers a piece of what is new at the source, and records it as delivered.
pub fn pull<P: Platform>(platform: &P) -> Result<Summary, Failure> {
    let settings = read_settings(platform)?;
    // It was there when the service started: what is wrong now may pass, such as a server that is away.
    let text = load(platform).map_err(|failure| Failure::pull(302, failure.reason, &failure.cure))?;
    let stored = read_state(text.as_deref())?;
    // To compare with what comes of it; a walk that goes on moves in any case.
    let before = text.filter(|_| stored.as_ref().is_some_and(|state| state.cycle.is_none()));
    let mut state = match stored {
        Some(state) => state.upgraded(&settings),
        None => State::new(&settings),
    };
    let cycle = match state.cycle.take() {
        Some(cycle) => cycle,
        None => begin(platform, &settings, &state),
    };
    let mut piece = Piece::new(platform, &settings, state, cycle);
    // What was collected before a failure is delivered all the same: a source that fails now and then still gets ahead.
    let collected = piece.collect()?;
    piece.deliver()?;
    let summary = piece.commit(before.as_deref())?;
    collected.map(|()| summary)
}

fn begin<P: Platform>(platform: &P, settings: &Settings, state: &State) -> Cycle {
    let now = platform.now();
    let window_start = state.window_start(settings);
    platform.log(Level::Info, "Pull Started");
    // Without a start, all there is: for those who look for this line, that is since 1970.
    let days = api::days_since(window_start.unwrap_or(DateTime::UNIX_EPOCH), now);
    platform.log(Level::Info, &format!("Retrieving/sending alerts events since last {days} day(s)"));
    let plan = Plan {
        window_start,
        start: state.source.start,
        expected_total: state.expected_total(now),
        limit: settings.endpoint.limit,
    };
    Cycle {
        pulling_id: now.timestamp_millis(),
        walk: Walk::new(plan),
        newest: None,
        ledger: Ledger::default(),
        latest: Latest::default(),
        statistics: Statistics::default(),
    }
}

/// The part of a cycle that one call does.
struct Piece<'a, P: Platform> {
    platform: &'a P,
    settings: &'a Settings,
    api: Api<'a, P>,
    state: State,
    cycle: Cycle,
    pulling_id: String,
    tail: Tail,
    batch: Batch,
    bytes: usize,
    statistics: Statistics,
    odd: u64,
}

impl<'a, P: Platform> Piece<'a, P> {
    fn new(platform: &'a P, settings: &'a Settings, state: State, cycle: Cycle) -> Self {
        let pulling_id = cycle.pulling_id.to_string();
        Self {
            platform,
            settings,
            api: Api::new(platform, settings),
            tail: Tail::new(settings, &pulling_id),
            pulling_id,
            state,
            cycle,
            batch: Batch::default(),
            bytes: 0,
            statistics: Statistics::default(),
            odd: 0,
        }
    }

    /// Walks until the walk or the piece is over, or the source fails: that is the inner result. The outer one is that of
    /// what was sent meanwhile.
    fn collect(&mut self) -> Result<Result<(), Failure>, Failure> {
        let started = self.platform.elapsed();
        let limit = self.cycle.walk.limit();
        let since = self.cycle.walk.window_start();
        let mut asked = self.cycle.walk.next_page().map(|page| self.api.ask(page, limit, since));
        while let Some(pending) = asked {
            let body = match self.api.receive(pending) {
                Ok(body) => Some(body),
                Err(failure) if self.cycle.walk.takes_for_empty(failure.code) => None,
                Err(failure) => return Ok(Err(failure)),
            };
            let page = match &body {
                None => Page::default(),
                Some(body) => match self.read(body) {
                    Ok(page) => page,
                    Err(error) => return Ok(Err(api::unreadable(body, &error))),
                },
            };
            let alerts = self.admit(&page);
            let full = self.bytes >= PIECE_IN_BYTES || self.platform.elapsed() - started >= PIECE_IN_TIME;
            // The next page is under way while this one is written out.
            let next = self.cycle.walk.next_page().filter(|_| !full);
            asked = next.map(|page| self.api.ask(page, limit, since));
            self.format(&alerts);
            if self.batch.bytes() >= BATCH_IN_BYTES {
                self.send()?;
            }
        }
        Ok(Ok(()))
    }

    fn read<'b>(&self, body: &'b [u8]) -> Result<Page<Record<'b>>, Unreadable> {
        let Settings { records, id, time, .. } = self.settings;
        page::read_records(body, records.as_ref(), &Places { id, time })
    }

    /// The alerts of a page that are wanted and were not delivered yet; they count as delivered from here on.
    fn admit<'b>(&mut self, page: &Page<Record<'b>>) -> Vec<Alert<'b>> {
        let mut digest = 0u64;
        let mut times = Vec::with_capacity(page.records.len());
        let mut wanted = Vec::new();
        let now = self.platform.now();
        for record in &page.records {
            let alert = Alert::of(record);
            // A page's records are summed up in any order: a server that has only one page may give it in another order
            // each time.
            digest = digest.wrapping_add(alert.key.digest());
            times.extend(alert.time);
            if alert.time.is_none_or(|time| self.cycle.walk.wants(time)) && !self.is_delivered(&alert.key) {
                self.note(&alert, now);
                wanted.push(alert);
            }
        }
        let (records, new) = (page.records.len() as u64, wanted.len() as u64);
        self.platform.log(Level::Debug, &format!("A page of {records} records, {new} of which are new"));
        self.statistics.received += records;
        self.statistics.duplicates += records - new;
        self.bytes += wanted.iter().map(|alert| alert.text.len()).sum::<usize>();
        self.cycle.walk.observe(&Observation { paging: page.paging, times, records, new, digest });
        wanted
    }

    fn is_delivered(&mut self, key: &Key<'_>) -> bool {
        self.state.ledger.contains(key) || self.cycle.ledger.contains(key) || self.cycle.latest.contains(key)
    }

    fn note(&mut self, alert: &Alert<'_>, now: DateTime<Utc>) {
        // A date in the future must not move the window, or it would hide everything until that day.
        let moves = alert.time.filter(|time| *time <= now);
        self.cycle.newest = self.cycle.newest.max(moves);
        self.cycle.ledger.insert(&alert.key, alert.time);
        if alert.key.is_content() {
            self.warn("An alert without an id is delivered; it is known by its content from now on");
        }
        if alert.time.is_none() {
            self.warn(&format!(
                "The alert {} has no time that can be read; it is delivered with the time of the pull",
                alert.key.as_str()
            ));
        }
    }

    fn warn(&mut self, message: &str) {
        self.odd += 1;
        if self.odd <= WARNINGS {
            self.platform.log(Level::Warning, message);
        }
    }

    fn format(&mut self, alerts: &[Alert<'_>]) {
        let now = self.platform.now();
        self.batch.begin_page(alerts.iter().map(|alert| alert.text.len() + self.tail.room()).sum());
        for alert in alerts {
            let time = alert.time.unwrap_or(now);
            self.batch.add(time, |out| alert.append(self.settings, &self.tail, out));
        }
    }

    /// Hands over what is collected, sorted by time.
    fn send(&mut self) -> Result<(), Failure> {
        let mut batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        let events = batch.sorted();
        self.statistics.sent += events.len() as u64;
        self.platform.send(&self.settings.table, &events).map_err(|why| self.undelivered(&why))
    }

    /// Sends the rest and waits until all of the piece is confirmed.
    fn deliver(&mut self) -> Result<(), Failure> {
        if self.odd > WARNINGS {
            let more = self.odd - WARNINGS;
            self.platform.log(
                Level::Warning,
                &format!("{more} more warnings about records without an id or a time were left out"),
            );
        }
        self.send()?;
        if self.statistics.sent == 0 {
            return Ok(());
        }
        self.platform.flush().map_err(|why| self.undelivered(&why))
    }

    fn undelivered(&self, why: &str) -> Failure {
        Failure::pull(
            300,
            format!("{} events could not be delivered: {why}", self.statistics.sent),
            "Nothing is lost: they are pulled and sent again. Check the output's address and certificates.",
        )
    }

    /// Records what was delivered since `before` was stored, says so in the log, and tells whether the walk is
    /// over.
    fn commit(mut self, before: Option<&[u8]>) -> Result<Summary, Failure> {
        self.statistics.requests = u64::from(self.api.requests());
        self.cycle.statistics = self.cycle.statistics.plus(self.statistics);
        let up_to_date = self.cycle.walk.next_page().is_none();
        let now = self.platform.now();
        let report = self.report(now);
        if up_to_date {
            self.state.finish(self.cycle, self.settings, now);
        } else {
            self.state.interrupt(self.cycle, self.settings);
        }
        let text = self.state.write()?;
        if !before.is_some_and(|before| equal(before, &text)) {
            store(self.platform, &text)?;
        }
        self.platform.log(Level::Info, &format!("(Partial) {report}"));
        if up_to_date {
            self.platform.log(Level::Info, &report);
            self.platform.log(Level::Info, "The data is up to date!");
        }
        Ok(Summary { statistics: self.statistics, up_to_date })
    }

    fn report(&self, now: DateTime<Utc>) -> String {
        let milliseconds = now.timestamp_millis().saturating_sub(self.cycle.pulling_id);
        self.cycle.statistics.line(&self.pulling_id, u64::try_from(milliseconds).unwrap_or(0))
    }
}

fn read_state(stored: Option<&[u8]>) -> Result<Option<State>, Failure> {
    stored.map(State::read).transpose()
}

fn read_settings<P: Platform>(platform: &P) -> Result<Settings, Failure> {
    let values = platform.settings().map_err(|error| {
        Failure::setting(
            4,
            format!("The settings can't be read: {error}."),
            "Check the platform's configuration store.",
        )
    })?;
    Settings::read(values, platform.now())
}

fn load<P: Platform>(platform: &P) -> Result<Option<Vec<u8>>, Failure> {
    platform.load().map_err(|error| {
        Failure::state(
            203,
            format!("The persisted state can't be loaded: {error}"),
            "Nothing is pulled until it can be.",
        )
    })
}

fn store<P: Platform>(platform: &P, text: &[u8]) -> Result<(), Failure> {
    platform.store(text).map_err(|error| {
        Failure::pull(
            301,
            format!("The state can't be stored: {error}"),
            "What was sent since the last success is sent again. Check space and permissions of the state folder.",
        )
    })
}
