//! The four things that the host asks for: checking the set-up, making the state ready, looking for what is
//! new, and backfill.

use alert_records::page;
use chrono::DateTime;

use crate::api::{self, Answer, Api, RETRIES};
use crate::call::{Call, STATE_KEY, Wanted};
use crate::failure::Failure;
use crate::memory::Memory;
use crate::planted::{self, Planted};
use crate::platform::{Level, Platform};
use crate::progress::{Budget, Summary};
use crate::settings::Settings;
use crate::state::{self, Cycle, State};
use crate::statistics::Statistics;
use crate::walk::Walk;
use crate::walk::live::Cut;
use crate::walk::reading::Reading;

/// Checks settings and credentials against the API.
pub fn set_up<P: Platform>(platform: &P) -> Result<(), Failure> {
    let settings = read_settings(platform)?;
    let api = Api::new(platform, &settings);
    let mut asked = api.ask(1, 1, None, RETRIES);
    match api.receive(&mut asked)? {
        Answer::Page(body) => {
            page::read(&body, settings.records.as_ref()).map(|_| ()).map_err(|error| api::unreadable(&body, &error))
        }
        Answer::Empty | Answer::NotModified => Ok(()),
    }
}

/// Makes the persisted state ready: creates it, upgrades it, resets it if the operator asked for it.
pub fn pre_pull<P: Platform>(platform: &P) -> Result<(), Failure> {
    let settings = read_settings(platform)?;
    let info = |message: &str| platform.log(Level::Info, message);
    info("Reading persisted data");
    let stored = load(platform)?;
    let before = stored.as_deref().map(|text| State::open(text, &settings, &seed(platform, &settings))).transpose()?;
    let version = stored.as_deref().and_then(state::version).unwrap_or_default();
    let shown = before.as_ref().map_or("None".to_owned(), |(state, _)| state.as_python_of(version));
    info(&format!("Data retrieved from the persistence: {shown}"));
    info("Running the persistence upgrade steps");
    info("Running the persistence corrections steps");
    info("Running the persistence corrections steps");
    let new = || State::new(&settings, &seed(platform, &settings)).with_memory(&settings);
    let (mut state, mut memory) = match before {
        None => {
            platform.log(Level::Warning, "Persistence will be overridden due to the retrieved state is empty");
            new()
        }
        Some((state, _)) if state.reset_persistence_auth != settings.reset_persistence_auth => {
            platform.log(Level::Warning, "Persistence will be restarted: reset_persistence_auth has changed");
            new()
        }
        Some(before) => before,
    };
    memory.store(platform).map_err(|error| {
        Failure::pull(
            301,
            format!("The memory of delivered alerts can't be stored: {error}"),
            "It is retried by itself.",
        )
    })?;
    state.take_back(memory);
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
    platform.store(STATE_KEY, &text).map_err(|error| {
        Failure::pull(
            301,
            format!("The state can't be stored: {error}"),
            "Check space and permissions of the state folder.",
        )
    })?;
    platform.log(Level::Warning, "Persistence has been updated successfully");
    Ok(())
}

/// Delivers what is new at the source, and records it as delivered.
pub fn pull<P: Platform>(platform: &P, budget: Budget) -> Result<Summary, Failure> {
    let settings = read_settings(platform)?;
    let (text, mut opened) = open(platform, &settings)?;
    if planted::is(Planted::StarvesLive) && opened.0.walk.pass.is_some() {
        return backfill(platform, budget);
    }
    let now = platform.now();
    let window = opened.0.window(&settings);
    if let Some(cycle) = opened.0.cycle.take() {
        // It ended because this one is due.
        platform.log(Level::Info, &cycle.line(now));
    }
    platform.log(Level::Info, "Pull Started");
    // Without a start, all there is: for those who look for this line, that is since 1970.
    let days = api::days_since(window.since().unwrap_or(DateTime::UNIX_EPOCH), now);
    platform.log(Level::Info, &format!("Retrieving/sending alerts events since last {days} day(s)"));
    let cycle = Cycle { pulling_id: now.timestamp_millis(), statistics: Statistics::default() };
    let mut walk = std::mem::take(&mut opened.0.walk);
    let mut call = Call::new(platform, &settings, budget, opened, cycle);
    let first = walk.source.first();
    let known_sums = [walk.source.first_sum, walk.source.last_sum];
    let wanted = Wanted { floor: window.floor, known_sums };
    let is_under_way = walk.pass.is_some();
    let gaps = walk.gaps.pages();
    let mut failure = None;
    let prefix = {
        let mut live = walk.live(window.floor, now);
        let known_gaps = live.gaps.clone();
        // A look that is cut off leaves what it has to leave in the walk; a failure is told once all of that
        // is recorded.
        let looked = live.run(&mut |page| {
            if !call.has_room() {
                return Err(Cut);
            }
            let retries = if known_gaps.contains(page) || call.has_failed() { 0 } else { RETRIES };
            let asked = call.ask(page, window.since(), retries);
            match call.take(asked, page == first, wanted, |_, _| None) {
                Ok((reading, _)) => Ok(reading),
                Err(error) => {
                    failure = Some(error);
                    Err(Cut)
                }
            }
        });
        // Where the budget ends before anything tells whether it is the API, the pass that is under way will.
        if live.all_failed() && (looked.is_ok() || !is_under_way) {
            failure = failure.or(call.page_failure());
        }
        std::mem::take(&mut live.prefix)
    };
    if walk.gaps.pages() > gaps && failure.is_none() {
        call.warn_of_gaps(&walk.gaps);
    }
    // A run that was cut off then, and delivered what it had read, is not known to be open.
    walk.schedule.open |= call.is_behind_its_memory();
    if failure.is_none() {
        walk.begin_due(window, Some(prefix), now);
    }
    finish(call, walk, text, failure)
}

/// Delivers more of what the source has, and records it as delivered.
pub fn backfill<P: Platform>(platform: &P, budget: Budget) -> Result<Summary, Failure> {
    let settings = read_settings(platform)?;
    let (text, mut opened) = open(platform, &settings)?;
    let now = platform.now();
    let cycle = opened.0.cycle.take();
    let cycle = cycle.unwrap_or(Cycle { pulling_id: now.timestamp_millis(), statistics: Statistics::default() });
    let window = opened.0.window(&settings);
    let mut walk = std::mem::take(&mut opened.0.walk);
    let mut call = Call::new(platform, &settings, budget, opened, cycle);
    call.load_memory()?;
    let mut failure = None;
    for (page, floor) in walk.gaps_to_try(now) {
        if !call.has_room() {
            break;
        }
        let wanted = Wanted { floor, ..Wanted::default() };
        let asked = call.ask(page, floor, 0);
        match call.take(asked, false, wanted, |_, _| None) {
            Ok((reading, _)) => walk.tried(page, &reading, now),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    walk.begin_due(window, None, now);
    while let (None, Some(pass), true) = (&failure, &walk.pass, call.has_room()) {
        let wanted = Wanted { floor: pass.floor, ..Wanted::default() };
        let first = walk.source.first();
        let since = pass.window();
        let mut asked = pass.next_page().map(|page| (page, call.ask(page, since, RETRIES)));
        while let Some((page, pending)) = asked.take() {
            let gaps = walk.gaps.pages();
            let mut next_page = None;
            let taken = call.take(pending, page == first, wanted, |call, reading| {
                if let Reading::Failed(_) = reading {
                    return None;
                }
                next_page = walk.go_on(page, reading, now).filter(|_| call.has_room());
                let retries = next_page.map_or(0, |page| if walk.gaps.contains(page) { 0 } else { RETRIES });
                next_page.map(|page| call.ask(page, since, retries))
            });
            let (reading, next) = match taken {
                Ok(taken) => taken,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            };
            asked = next_page.zip(next);
            if let Reading::Failed(_) = reading {
                match call.is_of_the_api(page, first, &mut walk, wanted) {
                    Ok(false) => {}
                    Ok(true) => break,
                    Err(error) => {
                        failure = Some(error);
                        break;
                    }
                }
                let next_page = walk.go_on(page, &reading, now).filter(|_| call.has_room());
                asked = next_page.map(|page| (page, call.ask(page, since, 0)));
            }
            if let (Reading::Failed(words) | Reading::Refused(words) | Reading::NotFound(words), true) =
                (&reading, walk.gaps.pages() > gaps)
            {
                call.warn_of_gap(page, words);
            }
        }
        if let Some(ended) = walk.end_pass(now) {
            call.settle();
            call.tell(ended, &walk.gaps);
            walk.begin_due(call.window(), None, now);
        }
    }
    finish(call, walk, text, failure)
}

/// Delivers what the call has taken and records it, and only then tells what has failed meanwhile.
fn finish<P: Platform>(
    mut call: Call<'_, P>,
    walk: Walk,
    before: Option<Vec<u8>>,
    failure: Option<Failure>,
) -> Result<Summary, Failure> {
    call.state.walk = walk;
    call.deliver()?;
    let summary = call.commit(before.as_deref(), failure.is_none())?;
    failure.map_or(Ok(summary), Err)
}

/// The text that was stored, and the state with what is remembered beside it.
type Opened = (Option<Vec<u8>>, (State, Memory));

/// The state and what is remembered with it, and the text that was stored. It was there when the service
/// started: what is wrong now may pass, such as a server that is away.
fn open<P: Platform>(platform: &P, settings: &Settings) -> Result<Opened, Failure> {
    let text = load(platform).map_err(|failure| Failure::pull(302, failure.reason, &failure.remedy))?;
    let seed = || seed(platform, settings);
    let (mut state, memory) = match &text {
        Some(text) => State::open(text, settings, &seed())?,
        None => State::new(settings, &seed()).with_memory(settings),
    };
    state.walk.set_source(settings.endpoint.limit, settings.endpoint.time_filter.is_some());
    Ok((text, (state, memory)))
}

/// Something that nobody who makes up ids of alerts can foresee.
fn seed<P: Platform>(platform: &P, settings: &Settings) -> Vec<u8> {
    let moment = (platform.now().timestamp_nanos_opt(), platform.elapsed());
    format!("{moment:?} {}{}", settings.endpoint.authority, settings.endpoint.path).into_bytes()
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
    platform.load(STATE_KEY).map_err(|error| {
        Failure::state(
            203,
            format!("The persisted state can't be loaded: {error}"),
            "Nothing is pulled until it can be.",
        )
    })
}
