//! A collector that reads the whole source in every cycle and remembers every key. It is of no use outside,
//! for it asks without an end; here it shows that the promises can be kept: where it breaks one, the check is
//! wrong.

use std::collections::BTreeSet;

use alert_records::json::Pointer;
use alert_records::page;
use alert_records::record::Places;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::platform::Simulated;
use crate::alert::{Alert, Tail};
use crate::failure::Failure;
use crate::platform::{Event, Platform, Request, Response};
use crate::progress::{Account, Budget, Progress, Summary, Uncheckable};
use crate::settings::Settings;
use crate::statistics::Statistics;

/// Pages in a row with nothing new after which there is no more.
const BARREN: u64 = 14;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    word: Option<String>,
    start_time: Option<DateTime<Utc>>,
    known: BTreeSet<String>,
    account: Account,
}

/// Where settings or stored values can't be had, or an operation fails.
fn failure(why: &impl ToString) -> Failure {
    Failure::pull(300, why.to_string(), "")
}

fn settings(platform: &Simulated) -> Result<Settings, Failure> {
    Settings::read(platform.settings().map_err(|why| failure(&why))?, platform.now())
}

fn load(platform: &Simulated) -> Result<Option<Memory>, Failure> {
    let value = platform.load("state").map_err(|why| failure(&why))?;
    Ok(value.map(|value| serde_json::from_slice(&value).expect("its own text")))
}

fn store(platform: &Simulated, memory: &Memory) -> Result<(), Failure> {
    let text = serde_json::to_vec(memory).expect("it can be written");
    platform.store("state", &text).map_err(|why| failure(&why))
}

pub fn pre_pull(platform: &Simulated) -> Result<(), Failure> {
    let settings = settings(platform)?;
    let memory = load(platform)?;
    if memory.is_some_and(|memory| memory.word == settings.reset_persistence_auth) {
        return Ok(());
    }
    let (word, start_time) = (settings.reset_persistence_auth, settings.initial_start_time);
    store(platform, &Memory { word, start_time, ..Memory::default() })
}

pub fn pull(platform: &Simulated, _: Budget) -> Result<Summary, Failure> {
    let settings = settings(platform)?;
    let mut memory = load(platform)?.ok_or_else(|| failure(&"pre_pull comes first"))?;
    let before = memory.clone();
    let mut pass = Pass::default();
    let mut page = 0;
    while pass.barren < BARREN || page < 2 + BARREN {
        pass.read(platform, &settings, page);
        page += 1;
    }
    let tail = Tail::new(&settings, "1");
    let mut events = Vec::new();
    for text in &pass.texts {
        let alert = Alert::read(text, &settings.id, &settings.time);
        let is_wanted = alert.time.is_none_or(|time| memory.start_time.is_none_or(|start| time >= start));
        if is_wanted && memory.known.insert(alert.key.as_str().to_owned()) {
            let mut event = Vec::new();
            alert.append(&settings, &tail, &mut event);
            events.push((alert.time.unwrap_or_else(|| platform.now()), event));
        }
    }
    events.sort();
    if !events.is_empty() {
        let events: Vec<_> = events.iter().map(|(time, body)| Event { time: *time, body }).collect();
        platform.send(&settings.table, &events).map_err(|why| failure(&why))?;
        platform.flush().map_err(|why| failure(&why))?;
    }
    pass.account(&mut memory.account);
    if memory != before {
        store(platform, &memory)?;
    }
    let statistics = Statistics { requests: page, received: pass.texts.len() as u64, ..Statistics::default() };
    let progress = Progress { account: memory.account, ..Progress::default() };
    Ok(Summary { statistics, up_to_date: true, progress })
}

#[derive(Default)]
struct Pass {
    seen: BTreeSet<String>,
    texts: Vec<Vec<u8>>,
    /// Pages in a row with nothing new.
    barren: u64,
    /// What the source said of its count, each once.
    totals: BTreeSet<Option<u64>>,
}

impl Pass {
    fn read(&mut self, platform: &Simulated, settings: &Settings, page: u64) {
        self.barren += 1;
        let Some(body) = ask(platform, settings, page) else { return };
        let (id, time) = (Pointer::parse("/id").expect("a place"), Pointer::parse("/incident_time").expect("a place"));
        let Ok(page) = page::read_records(&body, None, &Places { id: &id, time: &time }) else { return };
        // An envelope with an error says nothing.
        if page.records.is_empty() && page.paging == page::Paging::default() {
            return;
        }
        self.totals.insert(page.paging.total_count);
        for record in &page.records {
            let alert = Alert::of(record);
            if self.seen.insert(alert.key.as_str().to_owned()) {
                self.texts.push(alert.text.to_vec());
                self.barren = 0;
            }
        }
    }

    fn account(&self, account: &mut Account) {
        let seen = self.seen.len() as u64;
        let totals: Vec<_> = self.totals.iter().copied().collect();
        match totals[..] {
            [Some(0) | None] => *account = Account::Unchecked(Uncheckable::NoTotal),
            [Some(total)] => {
                let missing = total.checked_sub(seen);
                *account = missing.map_or(Account::Unchecked(Uncheckable::Refuted), Account::Missing);
            }
            _ => {}
        }
    }
}

/// The body of a page, asked for three times at the most.
fn ask(platform: &Simulated, settings: &Settings, page: u64) -> Option<Vec<u8>> {
    let path_with_query = format!("/?limit={}&page={page}", settings.endpoint.limit);
    let authority = settings.endpoint.authority.clone();
    let request = Request { secure: true, authority, path_with_query, headers: Vec::new() };
    (0..3).find_map(|_| match platform.begin(&request).and_then(|pending| platform.finish(pending)) {
        Ok(Response { status: 200, body, .. }) => Some(Some(body)),
        Ok(Response { status: 500.., .. }) | Err(_) => None,
        Ok(_) => Some(None),
    })?
}
