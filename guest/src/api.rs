//! Asking the API for a page: the request, its answer, and the attempts until there is one. What an answer
//! means is decided in `verdict`, what it says is cut out in `words`, and credentials are kept out of that in
//! `mask`.

use std::cell::Cell;
use std::fmt::Display;
use std::time::Duration;

use alert_records::timestamp;
use chrono::{DateTime, Utc};

use crate::failure::{Failure, Scope};
use crate::platform::{Level, Platform, Request, Response, TransportError};
use crate::settings::{Settings, TimeForm};

mod mask;
mod verdict;
mod words;

#[cfg(any(test, fuzzing))]
pub(crate) use verdict::retry_after;
use verdict::{Attempt, Verdict, backoff};

/// Further attempts after the first one, where there is no reason for fewer.
pub const RETRIES: u32 = 3;

/// Firewalls refuse requests that don't say who asks.
const USER_AGENT: &str = concat!("devo-collector/", env!("CARGO_PKG_VERSION"));

/// The API of one service, and how often it was asked.
pub struct Api<'a, P: Platform> {
    platform: &'a P,
    settings: &'a Settings,
    requests: Cell<u32>,
}

/// A page that has been asked for, and how often.
pub struct Asked<Pending> {
    page: u64,
    request: Request,
    /// Under way; none once its answer was received.
    pending: Option<Result<Pending, TransportError>>,
    attempt: Attempt,
}

impl<Pending> Asked<Pending> {
    /// The page's number.
    pub fn page(&self) -> u64 {
        self.page
    }
}

/// What the API answers where nothing is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The body of a page. It may turn out to be unreadable: an empty one always does.
    Page(Vec<u8>),
    /// A page without records, said by the status alone.
    Empty,
    /// Nothing has changed, in the view of the server or of a cache on the way.
    NotModified,
}

impl<'a, P: Platform> Api<'a, P> {
    pub fn new(platform: &'a P, settings: &'a Settings) -> Self {
        Self { platform, settings, requests: Cell::new(0) }
    }

    /// Requests made so far, repeated ones included.
    pub fn requests(&self) -> u32 {
        self.requests.get()
    }

    /// Asks for a page without waiting for it. It may be asked for again as often as `retries` says.
    pub fn ask(&self, page: u64, limit: u32, since: Option<DateTime<Utc>>, retries: u32) -> Asked<P::Pending> {
        let request = page_request(self.settings, page, limit, since, self.platform.now());
        let pending = Some(self.send(&request));
        Asked { page, request, pending, attempt: Attempt { retried: 0, retries } }
    }

    /// The answer to what was asked, after as many attempts as are worth it and allowed.
    pub fn receive(&self, asked: &mut Asked<P::Pending>) -> Result<Answer, Failure> {
        loop {
            let pending = asked.pending.take().unwrap_or_else(|| self.send(&asked.request));
            let answer = pending.and_then(|pending| self.platform.finish(pending));
            match verdict::judge(answer, asked.attempt, self.platform.now(), &self.secrets()) {
                Verdict::Answer(response) => return Ok(self.accept(response)),
                Verdict::Failure(failure) => return Err(failure),
                Verdict::Again { after, why } => self.repeat(asked, after, &why),
            }
        }
    }

    /// Asks again for a page whose answer could not be read, after a while. False if it was asked for often
    /// enough.
    pub fn ask_again(&self, asked: &mut Asked<P::Pending>, why: &dyn Display) -> bool {
        if asked.attempt.is_last() {
            return false;
        }
        let why = format!("The answer of the API could not be read: {why}");
        self.repeat(asked, backoff(asked.attempt.retried), &why);
        true
    }

    fn accept(&self, response: Response) -> Answer {
        if let Some(error) = response.close_error {
            // The answer is complete, so nothing is lost by going on.
            let failure = close_failure(&error);
            self.platform.log(Level::Warning, &failure.to_string());
        }
        match response.status {
            204 => Answer::Empty,
            304 => Answer::NotModified,
            _ => Answer::Page(response.body),
        }
    }

    fn repeat(&self, asked: &mut Asked<P::Pending>, after: Duration, why: &str) {
        asked.attempt.retried += 1;
        let Attempt { retried, retries } = asked.attempt;
        let after = self.with_jitter(after);
        let (seconds, milliseconds) = (after.as_secs(), after.subsec_millis());
        let message = format!("{why}. Attempt {retried} of {retries} follows in {seconds}.{milliseconds:03} seconds");
        self.platform.log(Level::Warning, &message);
        self.platform.wait(after);
        asked.pending = Some(self.send(&asked.request));
    }

    fn send(&self, request: &Request) -> Result<P::Pending, TransportError> {
        self.requests.set(self.requests.get() + 1);
        self.platform.begin(request)
    }

    /// What an answer's words must not repeat: the header with the credential, and the credential alone.
    fn secrets(&self) -> Vec<&str> {
        let header = self.settings.credential.iter().map(|(_, value)| value.as_str());
        header.flat_map(|value| [value, value.rsplit(' ').next().unwrap_or(value)]).collect()
    }

    /// Up to a quarter more, so that the clients of a server that has come back don't all arrive at once.
    fn with_jitter(&self, wait: Duration) -> Duration {
        wait + wait.mul_f64(f64::from(self.platform.elapsed().subsec_nanos() % 1000) / 4000.0)
    }
}

/// The failure of an answer that can't be understood: `exception` says why.
pub fn unreadable(body: &[u8], exception: &dyn Display) -> Failure {
    let shown = words::beginning(body);
    Failure::api(
        495,
        format!("Failed to parse alerts page object from response: {shown}. Exception: {exception}"),
        "Check that base_url is the address of the API itself; if it is, the API has changed: set request.records, \
         request.id and request.time, or contact support.",
    )
    .about(Scope::Page)
}

fn close_failure(error: &str) -> Failure {
    Failure::api(
        499,
        format!("Failed to close RequestClient session with the following error: {error}"),
        "The answer was complete, so nothing is lost; if it goes on, check what stands between the collector and the API.",
    )
}

fn page_request(
    settings: &Settings,
    page: u64,
    limit: u32,
    since: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Request {
    let endpoint = &settings.endpoint;
    let mut target = format!("{}?{}={limit}&{}={page}", endpoint.path, endpoint.limit_param, endpoint.page_param);
    if let (Some(filter), Some(since)) = (&endpoint.time_filter, since) {
        let value = match filter.form {
            // Not none, whatever the clock says: that would ask for nothing.
            TimeForm::Days => days_since(since, now).max(1).to_string(),
            TimeForm::Rfc3339 => timestamp::format(since).replace('+', "%2B"),
            TimeForm::EpochSeconds => since.timestamp().to_string(),
            TimeForm::EpochMilliseconds => since.timestamp_millis().to_string(),
        };
        target.push_str(&format!("&{}={value}", filter.param));
    }
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut headers = vec![header("Accept", "application/json"), header("User-Agent", USER_AGENT)];
    headers.extend(settings.credential.clone());
    Request { secure: endpoint.secure, authority: endpoint.authority.clone(), path_with_query: target, headers }
}

/// Whole days from `since` to `now`, a started one counted.
pub fn days_since(since: DateTime<Utc>, now: DateTime<Utc>) -> i64 {
    let seconds = (now - since).num_seconds().max(0);
    seconds / 86_400 + i64::from(seconds % 86_400 > 0)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;

    use super::*;
    use crate::platform::{DeadLetter, Event, OutputError, SettingsError, StoreError};

    fn now() -> DateTime<Utc> {
        timestamp::parse("2024-06-01").unwrap()
    }

    /// An API that gives these answers, one after the other.
    #[derive(Default)]
    struct Script {
        answers: RefCell<VecDeque<Result<Response, TransportError>>>,
        requests: RefCell<Vec<Request>>,
        waits: RefCell<Vec<u64>>,
        log: RefCell<Vec<String>>,
    }

    impl Script {
        fn of(answers: &[(u16, &str)]) -> Self {
            let answers = answers.iter().map(|(status, body)| {
                Ok(Response { status: *status, retry_after: None, body: body.as_bytes().to_vec(), close_error: None })
            });
            Self { answers: RefCell::new(answers.collect()), ..Self::default() }
        }
    }

    impl Platform for Script {
        type Pending = Result<Response, TransportError>;

        fn begin(&self, request: &Request) -> Result<Self::Pending, TransportError> {
            self.requests.borrow_mut().push(request.clone());
            self.answers.borrow_mut().pop_front().ok_or(TransportError::Refused("the script is over".to_owned()))
        }
        fn finish(&self, pending: Self::Pending) -> Result<Response, TransportError> {
            pending
        }
        fn now(&self) -> DateTime<Utc> {
            now()
        }
        fn elapsed(&self) -> Duration {
            Duration::ZERO
        }
        fn wait(&self, duration: Duration) {
            self.waits.borrow_mut().push(duration.as_secs());
        }
        fn settings(&self) -> Result<Vec<(String, String)>, SettingsError> {
            Ok(Vec::new())
        }
        fn load(&self, _: &str) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(None)
        }
        fn store(&self, _: &str, _: &[u8]) -> Result<(), StoreError> {
            Ok(())
        }
        fn send(&self, _: &str, _: &[Event<'_>]) -> Result<(), OutputError> {
            Ok(())
        }
        fn add_dead_letters(&self, _: &str, _: &[DeadLetter<'_>]) -> Result<(), OutputError> {
            Ok(())
        }
        fn flush(&self) -> Result<(), OutputError> {
            Ok(())
        }
        fn log(&self, _: Level, message: &str) {
            self.log.borrow_mut().push(message.to_owned());
        }
    }

    fn settings(more: &[(&str, &str)]) -> Settings {
        let values = [("base_url", "https://a")].iter().chain(more);
        Settings::read(values.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(), now()).unwrap()
    }

    #[test]
    fn the_status_tells_a_page_from_an_empty_one_and_from_nothing_new() {
        for (status, answer) in [
            (200, Answer::Page(b"x".to_vec())),
            (206, Answer::Page(b"x".to_vec())),
            (204, Answer::Empty),
            (304, Answer::NotModified),
        ] {
            let (script, settings) = (Script::of(&[(status, "x")]), settings(&[]));
            let api = Api::new(&script, &settings);
            assert_eq!(api.receive(&mut api.ask(1, 100, None, 0)), Ok(answer));
        }
    }

    #[test]
    fn an_empty_body_is_handed_on_as_one_that_can_not_be_read() {
        let (script, settings) = (Script::of(&[(200, "")]), settings(&[]));
        let api = Api::new(&script, &settings);
        assert_eq!(api.receive(&mut api.ask(1, 100, None, 0)), Ok(Answer::Page(Vec::new())));
    }

    #[test]
    fn every_request_says_who_asks() {
        let (script, settings) = (Script::of(&[(500, ""), (200, "")]), settings(&[]));
        let api = Api::new(&script, &settings);
        api.receive(&mut api.ask(1, 100, None, RETRIES)).unwrap();
        let agent = ("User-Agent".to_owned(), format!("devo-collector/{}", env!("CARGO_PKG_VERSION")));
        assert_eq!(script.requests.borrow().len(), 2);
        assert!(script.requests.borrow().iter().all(|request| request.headers.contains(&agent)));
    }

    #[test]
    fn a_page_is_asked_for_again_as_often_as_allowed_and_no_more() {
        for retries in [0, 1, RETRIES] {
            let (script, settings) = (Script::of(&[(500, "x"); 9]), settings(&[]));
            let api = Api::new(&script, &settings);
            let failure = api.receive(&mut api.ask(1, 100, None, retries)).unwrap_err();
            assert!(failure.reason.contains(&format!("attempts with {retries} retries failed.")), "{failure}");
            assert_eq!(api.requests(), 1 + retries);
            assert_eq!(script.waits.borrow()[..], [1, 2, 4][..retries as usize]);
        }
    }

    #[test]
    fn an_answer_that_could_not_be_read_counts_as_an_attempt() {
        let (script, settings) = (Script::of(&[(500, ""), (200, "<"), (200, "<"), (200, "<")]), settings(&[]));
        let api = Api::new(&script, &settings);
        let mut asked = api.ask(1, 100, None, 2);
        let unread = Ok(Answer::Page(b"<".to_vec()));
        assert_eq!(api.receive(&mut asked), unread);
        assert!(api.ask_again(&mut asked, &"expected a value"));
        assert_eq!(api.receive(&mut asked), unread);
        assert!(!api.ask_again(&mut asked, &"expected a value"));
        assert_eq!((api.requests(), &script.waits.borrow()[..]), (3, &[1, 2][..]));
        assert_eq!(
            script.log.borrow()[..],
            [
                "The API answered with status 500. Attempt 1 of 2 follows in 1.000 seconds",
                "The answer of the API could not be read: expected a value. Attempt 2 of 2 follows in 2.000 seconds",
            ]
        );
    }

    #[test]
    fn the_credential_that_the_collector_sends_itself_is_not_shown() {
        for (prefix, body) in [("Bearer ", "you sent s3cret"), ("", "you sent s3cret"), ("Bearer ", "Bearer s3cret")] {
            let settings = settings(&[("token", "s3cret"), ("request.auth_prefix", prefix)]);
            let script = Script::of(&[(400, body)]);
            let api = Api::new(&script, &settings);
            let failure = api.receive(&mut api.ask(1, 100, None, 0)).unwrap_err();
            assert!(!failure.to_string().contains("s3cret") && failure.reason.contains("***"), "{failure}");
        }
    }

    #[test]
    fn an_unreadable_answer_is_shown_in_part_and_on_one_line() {
        let failure = unreadable("x\n".repeat(500).as_bytes(), &"bad");
        assert!(failure.reason.starts_with("Failed to parse alerts page object from response: x x"));
        assert!(failure.reason.ends_with("... Exception: bad"), "{failure}");
        assert!(!failure.reason.contains('\n') && failure.reason.len() < 400);
        assert!(failure.is_of_page());
    }

    #[test]
    fn started_days_count() {
        let days = |since: &str| days_since(timestamp::parse(since).unwrap(), now());
        assert_eq!(days("2024-05-31"), 1);
        assert_eq!(days("2024-05-30T23:59:59Z"), 2);
        assert_eq!(days("2024-06-02"), 0);
    }
}
