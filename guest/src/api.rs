//! Asking the API for a page: the request, what each answer means, and when to try again.

use std::cell::Cell;
use std::time::Duration;

use alert_records::timestamp;
use chrono::{DateTime, TimeDelta, Utc};

use crate::failure::Failure;
use crate::platform::{Level, Platform, Request, Response, TransportError};
use crate::settings::{Settings, TimeForm};

/// Further attempts after the first one.
const RETRIES: u32 = 3;

/// The longest wait between attempts, also where the server asks for more: the cycle then ends and the host comes back later.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Of an answer that can't be read, this much is shown to the operator.
const SHOWN_CHARACTERS: usize = 200;

/// The API of one service, and how often it was asked.
pub struct Api<'a, P: Platform> {
    platform: &'a P,
    settings: &'a Settings,
    requests: Cell<u32>,
}

/// A page that has been asked for.
pub struct Asked<Pending> {
    request: Request,
    pending: Result<Pending, TransportError>,
}

impl<'a, P: Platform> Api<'a, P> {
    pub fn new(platform: &'a P, settings: &'a Settings) -> Self {
        Self { platform, settings, requests: Cell::new(0) }
    }

    /// Requests made so far, repeated ones included.
    pub fn requests(&self) -> u32 {
        self.requests.get()
    }

    /// Asks for a page without waiting for it.
    pub fn ask(&self, page: u64, limit: u32, since: Option<DateTime<Utc>>) -> Asked<P::Pending> {
        let request = page_request(self.settings, page, limit, since, self.platform.now());
        let pending = self.send(&request);
        Asked { request, pending }
    }

    /// The body of a page that was asked for, after as many attempts as are worth it.
    pub fn receive(&self, asked: Asked<P::Pending>) -> Result<Vec<u8>, Failure> {
        let Asked { request, mut pending } = asked;
        let mut attempt = 0;
        loop {
            let answer = pending.and_then(|pending| self.platform.finish(pending));
            let verdict = judge(answer, attempt, self.platform.now());
            match verdict {
                Verdict::Answer(response) => {
                    if let Some(error) = response.close_error {
                        // The page is complete, so nothing is lost by going on.
                        let failure = close_failure(&error);
                        self.platform.log(Level::Warning, &failure.to_string());
                    }
                    return Ok(response.body);
                }
                Verdict::Failure(failure) => return Err(failure),
                Verdict::Again { after, why } => {
                    attempt += 1;
                    let after = self.with_jitter(after);
                    let (seconds, milliseconds) = (after.as_secs(), after.subsec_millis());
                    let message =
                        format!("{why}. Attempt {attempt} of {RETRIES} follows in {seconds}.{milliseconds:03} seconds");
                    self.platform.log(Level::Warning, &message);
                    self.platform.wait(after);
                    pending = self.send(&request);
                }
            }
        }
    }

    fn send(&self, request: &Request) -> Result<P::Pending, TransportError> {
        self.requests.set(self.requests.get() + 1);
        self.platform.begin(request)
    }

    /// Up to a quarter more, so that the clients of a server that has come back don't all arrive at once.
    fn with_jitter(&self, wait: Duration) -> Duration {
        wait + wait.mul_f64(f64::from(self.platform.elapsed().subsec_nanos() % 1000) / 4000.0)
    }
}

/// The failure of an answer that can't be understood: `exception` says why.
pub fn unreadable(body: &[u8], exception: &dyn std::fmt::Display) -> Failure {
    let text = String::from_utf8_lossy(body);
    let shown: String = text.chars().take(SHOWN_CHARACTERS).collect();
    let dots = if shown.len() < text.len() { ".." } else { "" };
    Failure::api(
        495,
        format!("Failed to parse <alerts page> object from response: {shown}{dots}. Exception: {exception}"),
        "Check that base_url is the address of the API itself; if it is, the API has changed: set request.records, \
         request.id and request.time, or contact support.",
    )
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
    let mut headers = vec![("Accept".to_owned(), "application/json".to_owned())];
    headers.extend(settings.credential.clone());
    Request { secure: endpoint.secure, authority: endpoint.authority.clone(), path_with_query: target, headers }
}

/// Whole days from `since` to `now`, a started one counted.
pub fn days_since(since: DateTime<Utc>, now: DateTime<Utc>) -> i64 {
    let seconds = (now - since).num_seconds().max(0);
    seconds / 86_400 + i64::from(seconds % 86_400 > 0)
}

enum Verdict {
    Answer(Response),
    Again { after: Duration, why: String },
    Failure(Failure),
}

fn judge(answer: Result<Response, TransportError>, attempt: u32, now: DateTime<Utc>) -> Verdict {
    let exhausted = attempt >= RETRIES;
    let backoff = Duration::from_secs(1 << attempt.min(6));
    match answer {
        Ok(response) => match response.status {
            200 => Verdict::Answer(response),
            401 | 403 => Verdict::Failure(denied(response.status)),
            status @ (408 | 425 | 429 | 500..=599) => {
                let asked_for = response.retry_after.as_deref().and_then(|text| retry_after(text, now));
                let after = asked_for.unwrap_or(backoff);
                if exhausted || after > LONGEST_WAIT {
                    Verdict::Failure(retries_failed(attempt, status, asked_for))
                } else {
                    Verdict::Again { after, why: format!("The API answered with status {status}") }
                }
            }
            status => Verdict::Failure(unexpected(status)),
        },
        Err(TransportError::Refused(why)) => Verdict::Failure(connection_error(&why)),
        Err(TransportError::TimedOut(why)) if exhausted => Verdict::Failure(timed_out(&why)),
        Err(TransportError::Broken(why)) if exhausted => Verdict::Failure(connection_error(&why)),
        Err(TransportError::TimedOut(why) | TransportError::Broken(why)) => {
            Verdict::Again { after: backoff, why: format!("The API could not be reached: {why}") }
        }
    }
}

fn denied(status: u16) -> Failure {
    let answer = if status == 401 { "Unauthorized" } else { "Forbidden" };
    Failure::api(
        status,
        format!("{answer} API response"),
        "Ensure the API token is properly created and configured in the collector.",
    )
}

fn retries_failed(attempt: u32, status: u16, asked_for: Option<Duration>) -> Failure {
    let wait = asked_for.map(|wait| format!(", and asked to wait {} seconds", wait.as_secs())).unwrap_or_default();
    Failure::api(
        498,
        format!(
            "Max Retries Error. Request attempts with {attempt} retries failed. The last answer had status {status}{wait}."
        ),
        "Ensure the collector has connection with the API; it is tried again by itself.",
    )
}

fn unexpected(status: u16) -> Failure {
    let (reason, cure) = match status {
        300..=399 => (
            format!(
                "Unexpected API response: status {status}, a redirect. It is not followed, so that the token can't follow it."
            ),
            "Set base_url to the address that the API is really at.",
        ),
        _ => (
            format!("Unexpected API response: status {status}."),
            "Ensure that base_url, and request.path if it is set, are correct.",
        ),
    };
    Failure::api(if (400..=494).contains(&status) { status } else { 497 }, reason, cure)
}

fn timed_out(why: &str) -> Failure {
    Failure::api(
        496,
        format!("Connection Timeout Error. Verify that endpoint and URL parameters are correct. ({why})"),
        "Ensure the collector has connection with the API; it is tried again by itself.",
    )
}

fn connection_error(why: &str) -> Failure {
    Failure::api(
        497,
        format!("Connection Error. Ensure the URL parameters are correct and that host has access to server. ({why})"),
        "Ensure the collector has connection with the API; it is tried again by itself.",
    )
}

/// `Retry-After` as RFC 9110 has it: seconds, or a date.
pub(crate) fn retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?.to_utc();
    Some((date - now).max(TimeDelta::zero()).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        timestamp::parse("2024-06-01").unwrap()
    }

    fn answer(status: u16, retry_after: Option<&str>) -> Result<Response, TransportError> {
        Ok(Response { status, retry_after: retry_after.map(str::to_owned), body: Vec::new(), close_error: None })
    }

    fn failure(answer: Result<Response, TransportError>, attempt: u32) -> Failure {
        match judge(answer, attempt, now()) {
            Verdict::Failure(failure) => failure,
            Verdict::Answer(_) => panic!("taken as an answer"),
            Verdict::Again { .. } => panic!("tried again"),
        }
    }

    fn wait(answer: Result<Response, TransportError>) -> Duration {
        match judge(answer, 0, now()) {
            Verdict::Again { after, .. } => after,
            _ => panic!("not tried again"),
        }
    }

    #[test]
    fn a_refused_token_is_not_tried_again() {
        assert_eq!(failure(answer(401, None), 0).reason, "Unauthorized API response");
        assert_eq!(failure(answer(403, None), 0).reason, "Forbidden API response");
    }

    #[test]
    fn a_busy_server_is_asked_again_when_it_says() {
        assert_eq!(wait(answer(429, Some("7"))), Duration::from_secs(7));
        assert_eq!(wait(answer(503, Some("Sat, 01 Jun 2024 00:00:09 GMT"))), Duration::from_secs(9));
        assert_eq!(wait(answer(429, Some("soon"))), Duration::from_secs(1));
        assert_eq!(failure(answer(429, Some("3600")), 0).code, 498);
    }

    #[test]
    fn every_end_of_patience_has_its_code() {
        assert_eq!(failure(answer(500, None), RETRIES).code, 498);
        assert_eq!(failure(Err(TransportError::TimedOut("t".into())), RETRIES).code, 496);
        assert_eq!(failure(Err(TransportError::Broken("b".into())), RETRIES).code, 497);
        assert_eq!(failure(Err(TransportError::Refused("r".into())), 0).code, 497);
        assert_eq!(failure(answer(404, None), 0).code, 404);
        assert_eq!(failure(answer(302, None), 0).code, 497);
    }

    #[test]
    fn an_unreadable_answer_is_shown_in_part_and_on_one_line() {
        let failure = unreadable("x\n".repeat(500).as_bytes(), &"bad");
        assert!(failure.reason.starts_with("Failed to parse <alerts page> object from response: x x"));
        assert!(failure.reason.ends_with("... Exception: bad"), "{failure}");
        assert!(!failure.reason.contains('\n') && failure.reason.len() < 400);
    }

    #[test]
    fn started_days_count() {
        let days = |since: &str| days_since(timestamp::parse(since).unwrap(), now());
        assert_eq!(days("2024-05-31"), 1);
        assert_eq!(days("2024-05-30T23:59:59Z"), 2);
        assert_eq!(days("2024-06-02"), 0);
    }
}
