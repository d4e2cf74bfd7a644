//! One call of the component: pages are asked for and read, what is new is formatted and sent, confirmed, and
//! only then recorded.
//!
//! A call delivers one chunk: memory, time and what a crash repeats are bounded by it, whatever the length of
//! the history.

use std::time::Duration;

use alert_records::bytes::equal;
use alert_records::digests::Found;
use alert_records::json;
use alert_records::key::Key;
use alert_records::page::{self, Odd, Page, Unreadable};
use alert_records::record::{Places, Record};
use chrono::{DateTime, Utc};

use crate::alert::{Alert, Tail};
use crate::api::{self, Answer, Api, Asked};
use crate::batch::Batch;
use crate::failure::Failure;
use crate::memory::Memory;
use crate::planted::{self, Planted};
use crate::platform::{DeadLetter, Level, OutputError, Platform, StoreError};
use crate::progress::{Account, Budget, Summary, Uncheckable};
use crate::settings::Settings;
use crate::state::{Cycle, State};
use crate::statistics::Statistics;
use crate::walk::gaps::Gaps;
use crate::walk::reading::{Reading, Seen, Totals};
use crate::walk::{Ended, Walk, Window};

/// The key of the state.
pub const STATE_KEY: &str = "state";

/// Event bytes after which a chunk ends: it bounds what a crash repeats and what the sender holds.
const CHUNK_IN_BYTES: usize = 4 * 1024 * 1024;

/// Event bytes after which what was collected is sent: it bounds what the sandbox holds.
const BATCH_IN_BYTES: usize = 1024 * 1024;

/// Warnings of one kind in one call; the rest are counted only.
const WARNINGS: u64 = 5;

/// What is wanted of the pages that are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Alerts from before this time are not. `None`: all are.
    pub floor: Option<DateTime<Utc>>,
    /// Pages whose sum is one of these have nothing new.
    pub known_sums: [Option<u64>; 2],
}

/// What a page has shown, and the next one that is under way.
pub type Taken<P> = (Reading, Option<Asked<<P as Platform>::Pending>>);

/// The call under way.
pub struct Call<'a, P: Platform> {
    platform: &'a P,
    settings: &'a Settings,
    api: Api<'a, P>,
    budget: Budget,
    started: Duration,
    pub state: State,
    memory: Memory,
    cycle: Cycle,
    tail: Tail,
    batch: Batch,
    letters: Vec<Letter>,
    bytes: usize,
    newest: Option<DateTime<Utc>>,
    statistics: Statistics,
    odd: u64,
    skipped: u64,
    /// The first page that could not be read.
    failure: Option<Failure>,
}

/// What an alert on a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    New,
    /// Delivered before, and delivered again with another content.
    Changed,
    Known,
}

/// A record that can't become an event.
struct Letter {
    reason: String,
    content: Vec<u8>,
}

impl<'a, P: Platform> Call<'a, P> {
    pub fn new(
        platform: &'a P,
        settings: &'a Settings,
        budget: Budget,
        (state, memory): (State, Memory),
        cycle: Cycle,
    ) -> Self {
        Self {
            platform,
            settings,
            api: Api::new(platform, settings),
            budget,
            started: platform.elapsed(),
            state,
            memory,
            cycle,
            tail: Tail::new(settings, &cycle.pulling_id.to_string()),
            batch: Batch::default(),
            letters: Vec::new(),
            bytes: 0,
            newest: None,
            statistics: Statistics::default(),
            odd: 0,
            skipped: 0,
            failure: None,
        }
    }

    /// Reads what is remembered of everything delivered.
    pub fn load_memory(&mut self) -> Result<(), Failure> {
        self.memory.load(self.platform)
    }

    /// Whether alerts were delivered and what was learned meanwhile was not stored.
    pub fn is_behind_its_memory(&self) -> bool {
        self.memory.is_ahead()
    }

    /// Whether a page could not be read.
    pub fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Whether it is no matter of the page that could not be read: another one, or the same one again after a
    /// look of live, tells. True as long as it can't be told.
    ///
    /// # Errors
    /// Why no page can be read.
    pub fn is_of_the_api(&mut self, page: u64, first: u64, walk: &mut Walk, wanted: Wanted) -> Result<bool, Failure> {
        let Some(pass) = &mut walk.pass else { return Ok(false) };
        if pass.suspect.take() == Some(page) {
            return Ok(false);
        }
        if !self.has_room() {
            pass.suspect = Some(page);
            return Ok(true);
        }
        let failed = self.failure.take();
        let other = walk.source.readable.filter(|readable| *readable != page);
        let asked = self.ask(other.unwrap_or(if page == first { first + 1 } else { first }), None, 0);
        let (reading, _) = self.take(asked, false, wanted, |_, _| None)?;
        match (reading, failed.or(self.failure.take())) {
            (Reading::Failed(_), Some(failure)) => Err(failure),
            _ => Ok(false),
        }
    }

    /// Why the first page that could not be read could not.
    pub fn page_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Notes that a pass has ended: the overlap reaches back from the newest alert that is delivered now.
    pub fn settle(&mut self) {
        self.state.note_delivered(self.newest);
        self.state.settled = self.state.last_event_time_in_utc;
    }

    /// Whether one more page may be asked for. The first one always may, or nothing would ever come of it.
    pub fn has_room(&self) -> bool {
        let asked = self.api.requests();
        let elapsed = self.platform.elapsed().saturating_sub(self.started);
        asked == 0 || asked < self.budget.requests && elapsed < self.budget.time && self.bytes < CHUNK_IN_BYTES
    }

    /// Asks for a page without waiting for it. `retries`: how often it may be asked for again.
    pub fn ask(&self, page: u64, since: Option<DateTime<Utc>>, retries: u32) -> Asked<P::Pending> {
        let left = self.budget.requests.saturating_sub(self.api.requests().saturating_add(1));
        self.api.ask(page, self.settings.endpoint.limit, since, retries.min(left))
    }

    /// Takes the page that was asked for, delivers what is new on it with the chunk, and gives what it has
    /// shown. `then` is told of that first and may ask for the next page, which is under way while this one
    /// is written out.
    ///
    /// # Errors
    /// What concerns the whole API, not this page alone; or events can't be sent. `is_first`: there is no
    /// source without this page, so that its absence is no end.
    pub fn take(
        &mut self,
        mut asked: Asked<P::Pending>,
        is_first: bool,
        wanted: Wanted,
        then: impl FnOnce(&Self, &Reading) -> Option<Asked<P::Pending>>,
    ) -> Result<Taken<P>, Failure> {
        loop {
            let reading = match self.api.receive(&mut asked) {
                Ok(Answer::Page(body)) => match self.read(&body) {
                    Ok(page) if page.records.is_empty() && page.odd.is_empty() => {
                        Reading::Empty(Some(Totals::of(&page.paging)))
                    }
                    Ok(page) => {
                        let partial = partial(&page);
                        if partial.as_ref().is_some_and(|words| self.api.ask_again(&mut asked, words)) {
                            continue;
                        }
                        let (mut seen, alerts) = self.admit(&page, asked.page(), wanted)?;
                        seen.partial = partial;
                        let reading = Reading::Records(seen);
                        let next = then(self, &reading);
                        self.format(&alerts);
                        if self.batch.bytes() >= BATCH_IN_BYTES {
                            self.send()?;
                        }
                        return Ok((reading, next));
                    }
                    Err(error) if self.api.ask_again(&mut asked, &error) => continue,
                    Err(error) => {
                        let failure = api::unreadable(&body, &error);
                        let reading = Reading::Failed(words(&failure));
                        self.failure.get_or_insert(failure);
                        reading
                    }
                },
                Ok(Answer::Empty) => Reading::Empty(None),
                Ok(Answer::NotModified) => Reading::Unchanged,
                Err(failure) => {
                    let reading = reading_of(&failure, is_first);
                    let Some(reading) = reading else { return Err(failure) };
                    self.failure.get_or_insert(failure);
                    reading
                }
            };
            let next = then(self, &reading);
            return Ok((reading, next));
        }
    }

    fn read<'b>(&self, body: &'b [u8]) -> Result<Page<'b, Record<'b>>, Unreadable> {
        let Settings { records, id, time, .. } = self.settings;
        page::read_records(body, records.as_ref(), &Places { id, time })
    }

    /// What a page shows, and the alerts on it that are wanted and were not delivered yet; they count as
    /// delivered from here on.
    fn admit<'b>(
        &mut self,
        page: &Page<'b, Record<'b>>,
        number: u64,
        wanted: Wanted,
    ) -> Result<(Seen, Vec<Alert<'b>>), Failure> {
        let alerts: Vec<Alert<'b>> = page.records.iter().map(Alert::of).collect();
        let mut seen = Seen { records: alerts.len() as u64, totals: Totals::of(&page.paging), ..Seen::default() };
        seen.echo = page.paging.current_page;
        seen.digests.reserve(alerts.len());
        seen.times.reserve(alerts.len());
        for alert in &alerts {
            let digest = self.memory.head.digest(alert.key.written());
            seen.digests.push(digest);
            seen.sum = seen.sum.wrapping_add(digest.wrapping_add(self.content_digest(alert)));
            seen.times.extend(alert.time);
        }
        seen.records += page.odd.len() as u64;
        for odd in &page.odd {
            let digest = self.memory.head.digest(Key::of_bytes(odd.text).written());
            seen.digests.push(digest);
            seen.sum = seen.sum.wrapping_add(digest);
        }
        let (mut taken, letters) = (Vec::new(), self.letters.len());
        if wanted.known_sums.contains(&Some(seen.sum)) {
            seen.last_known = true;
        } else {
            let now = self.platform.now();
            for (alert, digest) in alerts.into_iter().zip(&seen.digests) {
                let is_wanted = alert.time.is_none_or(|time| wanted.floor.is_none_or(|floor| time >= floor));
                let news = if is_wanted { self.judge(&alert, *digest, now)? } else { News::Known };
                seen.last_known = news != News::New;
                seen.unwanted += u64::from(!is_wanted);
                if news == News::New {
                    seen.new += 1;
                }
                if news != News::Known {
                    taken.push(alert);
                }
            }
            seen.new += self.add_letters(&page.odd, number)?;
        }
        seen.delivered = self.memory.count();
        let count = taken.len() as u64 + (self.letters.len() - letters) as u64;
        self.platform.log(Level::Debug, &format!("Page read: {} records, {count} new", seen.records));
        self.statistics.received += seen.records;
        self.statistics.duplicates += seen.records - count;
        self.bytes += taken.iter().map(|alert| alert.text.len()).sum::<usize>();
        Ok((seen, taken))
    }

    /// Keeps the records that can't become events, each once. Gives how many were not known before.
    fn add_letters(&mut self, odd: &[Odd<'_>], page: u64) -> Result<u64, Failure> {
        let mut new = 0;
        for Odd { text, offset, error, .. } in odd {
            self.load_memory()?;
            let key = Key::of_bytes(text);
            let digest = self.memory.head.digest(key.written());
            if self.memory.find(digest, &key) != Found::No {
                continue;
            }
            self.memory.insert(digest, 0, &key, None);
            new += 1;
            self.bytes += text.len();
            let reason = format!("The record at byte {offset} of page {page} is not JSON: {error}");
            self.warn(&format!("{reason}. It is sent to the dead letters"));
            self.letters.push(Letter { reason, content: text.to_vec() });
        }
        self.statistics.dead_letters += new;
        Ok(new)
    }

    /// Whether an alert was delivered before. From here on it was.
    fn judge(&mut self, alert: &Alert<'_>, digest: u64, now: DateTime<Utc>) -> Result<News, Failure> {
        // Contents stand beside the digests alone.
        if self.settings.deliver_changes {
            self.load_memory()?;
        }
        let mut found = self.memory.find(digest, &alert.key);
        if found == Found::No && !self.memory.is_loaded() {
            self.load_memory()?;
            found = self.memory.find(digest, &alert.key);
        }
        let content = self.content_digest(alert);
        Ok(match found {
            Found::No => {
                self.memory.insert(digest, content, &alert.key, alert.time);
                self.note(alert, now);
                News::New
            }
            Found::Yes(before) if before == content || !self.settings.deliver_changes => News::Known,
            Found::Yes(before) => {
                self.memory.set_content(digest, content);
                // What it was when it was delivered is not known of those from before the setting.
                if before == 0 { News::Known } else { News::Changed }
            }
        })
    }

    /// What stands for an alert's content; 0 where changes of it are not looked for.
    fn content_digest(&self, alert: &Alert<'_>) -> u64 {
        if !self.settings.deliver_changes {
            return 0;
        }
        let mut compact = Vec::with_capacity(alert.text.len());
        json::append_compact(alert.text, &mut compact);
        self.memory.head.digest(&compact)
    }

    fn note(&mut self, alert: &Alert<'_>, now: DateTime<Utc>) {
        // A date in the future must not move the window, or it would hide everything until that day.
        self.newest = self.newest.max(alert.time.filter(|time| *time <= now));
        if alert.key.is_content() {
            self.warn("An alert without an id is delivered; its content identifies it from now on");
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

    /// Says that a page is skipped for now.
    pub fn warn_of_gap(&mut self, page: u64, words: &str) {
        self.skipped += 1;
        if self.skipped <= WARNINGS {
            self.platform.log(
                Level::Warning,
                &format!("Skipping page {page}, which can't be read; it will be retried: {words}"),
            );
        }
    }

    /// Says that live has skipped pages.
    pub fn warn_of_gaps(&self, gaps: &Gaps) {
        self.platform.log(
            Level::Warning,
            &format!("Skipping pages that can't be read; they will be retried: {}", gaps.describe()),
        );
    }

    /// Says what a pass that has ended has found.
    pub fn tell(&self, ended: Ended, gaps: &Gaps) {
        let Some(account) = ended.account else { return };
        let (level, text) = match account {
            Account::Unknown => return,
            Account::Missing(0) => (Level::Info, "Every record that the source counts has been read".to_owned()),
            Account::Missing(count) => {
                let mut text = format!(
                    "{count} of the records that the source counts are missing from the pages that can be read"
                );
                if !gaps.is_empty() {
                    text.push_str(&format!("; pages that can't be read: {}", gaps.describe()));
                }
                (Level::Warning, text)
            }
            Account::Unchecked(why) => {
                let why = match why {
                    Uncheckable::NoTotal => "it does not say how many there are",
                    Uncheckable::Refuted => "it counts fewer than it shows",
                    Uncheckable::Capped => "its count stands still while alerts arrive",
                };
                (Level::Info, format!("Whether every record of the source has been read can't be checked: {why}"))
            }
        };
        self.platform.log(level, &text);
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

    /// Sends the rest and waits until all of the chunk is confirmed.
    pub fn deliver(&mut self) -> Result<(), Failure> {
        let more = self.odd.saturating_sub(WARNINGS);
        if more > 0 {
            let text = format!("{more} more warnings about records without an id or a time were left out");
            self.platform.log(Level::Warning, &text);
        }
        self.send()?;
        if !self.letters.is_empty() {
            let mut letters = Vec::with_capacity(self.letters.len());
            for Letter { reason, content } in &self.letters {
                letters.push(DeadLetter { reason: reason.clone(), content });
            }
            self.platform.add_dead_letters(&self.settings.table, &letters).map_err(|why| {
                Failure::pull(
                    303,
                    format!("{} records that can't become events could not be kept: {why}", letters.len()),
                    "Nothing is lost: they are pulled again. Check space and permissions of the folder for dead letters.",
                )
            })?;
        }
        if self.statistics.sent == 0 || planted::is(Planted::CommitsEarly) {
            return Ok(());
        }
        self.platform.flush().map_err(|why| self.undelivered(&why))
    }

    fn undelivered(&self, why: &OutputError) -> Failure {
        Failure::pull(
            300,
            format!("{} events could not be delivered: {why}", self.statistics.sent),
            "Nothing is lost: they are pulled and sent again. Check the output's address and certificates.",
        )
    }

    /// From when on alerts are wanted, after what was delivered by now: where more was than is remembered,
    /// what is new alone.
    pub fn window(&mut self) -> Window {
        self.memory.forget_before(self.state.overlap_start(self.settings));
        let window = self.state.window(self.settings);
        Window { floor: window.floor.max(self.memory.head.since), ..window }
    }

    /// Records what was delivered since `before` was stored, and says so in the log. `is_over`: the call has
    /// done what it was to do.
    pub fn commit(mut self, before: Option<&[u8]>, is_over: bool) -> Result<Summary, Failure> {
        self.statistics.requests = u64::from(self.api.requests());
        self.cycle.statistics = self.cycle.statistics.plus(self.statistics);
        let now = self.platform.now();
        let up_to_date = !self.state.walk.is_pending(now);
        let report = self.cycle.line(now);
        self.state.note_delivered(self.newest);
        self.memory.forget_before(self.state.overlap_start(self.settings));
        self.memory.store(self.platform).map_err(|error| not_stored(&error))?;
        self.state.take_back(self.memory);
        self.state.cycle = (!up_to_date).then_some(self.cycle);
        let text = self.state.write()?;
        if !before.is_some_and(|before| equal(before, &text)) {
            self.platform.store(STATE_KEY, &text).map_err(|error| not_stored(&error))?;
        }
        if planted::is(Planted::CommitsEarly) && self.statistics.sent > 0 {
            self.platform.flush().map_err(|why| Failure::pull(300, why.to_string(), ""))?;
        }
        self.platform.log(Level::Info, &format!("(Partial) {report}"));
        if up_to_date && is_over {
            self.platform.log(Level::Info, &report);
            self.platform.log(Level::Info, "The data is up to date!");
        }
        Ok(Summary { statistics: self.statistics, up_to_date, progress: self.state.progress() })
    }
}

/// What makes it doubtful that all of a page's records are there.
fn partial(page: &Page<'_, Record<'_>>) -> Option<String> {
    let uncertain = page.odd.iter().any(|odd| !odd.certain);
    let words = uncertain.then(|| "where one of its records ends can't be told for certain".to_owned());
    page.warning.clone().or(words)
}

/// What a failure says of the page that was asked for; `None` where it concerns the whole API.
fn reading_of(failure: &Failure, is_first: bool) -> Option<Reading> {
    match failure.code {
        _ if is_of_access(failure) => None,
        // There is no source without this page.
        404 if is_first => Some(Reading::Refused(words(failure))),
        404 => Some(Reading::NotFound(words(failure))),
        400 | 416 | 422 => Some(Reading::Refused(words(failure))),
        _ => Some(Reading::Failed(words(failure))),
    }
}

/// Whether a failure concerns whoever asks, and not what was asked for. A connection that fails may fail for
/// one page alone, such as one that the server is not done with in time.
fn is_of_access(failure: &Failure) -> bool {
    !failure.is_of_page() && !matches!(failure.code, 496 | 497)
}

/// What a failure says, for a page that is skipped.
fn words(failure: &Failure) -> String {
    format!("ApiError [CODE:{:04}] reason: {}", failure.code, failure.reason)
}

fn not_stored(error: &StoreError) -> Failure {
    Failure::pull(
        301,
        format!("The state can't be stored: {error}"),
        "What was sent since the last success is sent again. Check space and permissions of the state folder.",
    )
}
