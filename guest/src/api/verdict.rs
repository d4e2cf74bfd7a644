//! What an answer of the API means: a page, another attempt, or a failure with its code, its words and a
//! remedy.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::words::said;
use crate::failure::{Failure, Scope};
use crate::platform::{Response, TransportError};

/// The longest wait between attempts, also where the server asks for more: the cycle then ends and the host
/// comes back later.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The codes of those errors whose code is not their status.
const CONNECTION_TIMEOUT: u16 = 496;
const CONNECTION: u16 = 497;
const MAX_RETRIES: u16 = 498;

/// How often a page was asked for again, and how often it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) retried: u32,
    pub(super) retries: u32,
}

impl Attempt {
    pub(super) fn is_last(self) -> bool {
        self.retried >= self.retries
    }
}

/// What follows from an answer.
#[derive(Debug)]
pub(super) enum Verdict {
    Answer(Response),
    Again { after: Duration, why: String },
    Failure(Failure),
}

/// The wait before the next attempt, after so many.
pub(super) fn backoff(retried: u32) -> Duration {
    Duration::from_secs(1 << retried.min(5))
}

/// Decides. `secrets` are kept out of what the API says.
pub(super) fn judge(
    answer: Result<Response, TransportError>,
    attempt: Attempt,
    now: DateTime<Utc>,
    secrets: &[&str],
) -> Verdict {
    let again = |why| Verdict::Again { after: backoff(attempt.retried), why };
    match answer {
        Ok(response) => match response.status {
            200 | 204 | 206 | 304 => Verdict::Answer(response),
            408 | 425 | 429 | 500..=599 => busy(&response, attempt, now, secrets),
            status @ 400.. => Verdict::Failure(refused(status, &said(&response.body, secrets))),
            // Their bodies explain nothing, and hosts take the credential out of errors alone.
            status => Verdict::Failure(refused(status, "")),
        },
        Err(TransportError::Refused(why)) => Verdict::Failure(connection_error(&why, remedy::CONNECTION)),
        Err(TransportError::TooLarge(why)) => Verdict::Failure(connection_error(&why, remedy::SIZE).about(Scope::Page)),
        Err(TransportError::TimedOut(why)) if attempt.is_last() => Verdict::Failure(timed_out(&why)),
        Err(TransportError::Broken(why)) if attempt.is_last() => {
            Verdict::Failure(connection_error(&why, remedy::CONNECTION))
        }
        Err(TransportError::TimedOut(why) | TransportError::Broken(why)) => {
            again(format!("The API could not be reached: {why}"))
        }
    }
}

/// A server that may answer later.
fn busy(response: &Response, attempt: Attempt, now: DateTime<Utc>, secrets: &[&str]) -> Verdict {
    let status = response.status;
    let asked_for = response.retry_after.as_deref().and_then(|text| retry_after(text, now));
    // A server that asks for no wait at all, or for one that is over, would be asked without a pause.
    let after = backoff(attempt.retried).max(asked_for.unwrap_or_default());
    if !attempt.is_last() && after <= LONGEST_WAIT {
        return Verdict::Again { after, why: format!("The API answered with status {status}") };
    }
    let asked_to_wait =
        asked_for.map(|wait| format!(", and asked to wait {} seconds", wait.as_secs())).unwrap_or_default();
    let retried = attempt.retried;
    let words = said(&response.body, secrets);
    let reason = format!(
        "Max Retries Error. Request attempts with {retried} retries failed. The last answer had status \
         {status}{asked_to_wait}.{words}"
    );
    let remedy = if status == 429 { remedy::RATE } else { remedy::CONNECTION };
    // A server that fails may do so on one page alone; one that names a time wants to be left alone
    // altogether.
    let scope = if status >= 500 && after <= LONGEST_WAIT { Scope::Page } else { Scope::Api };
    Verdict::Failure(Failure::api(MAX_RETRIES, reason, remedy).about(scope))
}

/// A status that another attempt would not change.
fn refused(status: u16, words: &str) -> Failure {
    let unexpected = |more: &str| format!("Unexpected API response: status {status}{more}.");
    let (reason, remedy, scope) = match status {
        401 => ("Unauthorized API response".to_owned(), remedy::TOKEN, Scope::Api),
        403 => ("Forbidden API response".to_owned(), remedy::FORBIDDEN, Scope::Api),
        300..=399 => {
            let why = ", a redirect. It is not followed, so that the token can't follow it";
            (unexpected(why), remedy::REDIRECT, Scope::Api)
        }
        407 => (unexpected(", from a proxy on the way"), remedy::PROXY, Scope::Api),
        400 | 413 | 414 | 416 | 422 => (unexpected(""), remedy::PARAMETERS, Scope::Page),
        402..=499 => (unexpected(""), remedy::ADDRESS, Scope::Page),
        _ => (unexpected(""), remedy::ADDRESS, Scope::Api),
    };
    let code = if (400..=494).contains(&status) { status } else { CONNECTION };
    // The specification's words have no full stop of their own.
    let stop = if words.is_empty() || reason.ends_with('.') { "" } else { "." };
    Failure::api(code, format!("{reason}{stop}{words}"), remedy).about(scope)
}

/// What the operator can do about it.
mod remedy {
    pub(super) const TOKEN: &str = "Ensure the API token is properly created and configured in the collector.";

    pub(super) const FORBIDDEN: &str = "Ensure the API token is properly created and configured in the collector. If it is, \
                                        ask for its right to read alerts, see whether the API allows this machine's \
                                        address, and whether a firewall in front refuses the request.";

    pub(super) const PARAMETERS: &str = "If it is about the limit, lower request.limit; otherwise check request.path, \
                                         request.page_param, request.limit_param and request.time_filter.";

    pub(super) const RATE: &str = "The API allows fewer requests than were made; it is asked again by itself. If this goes \
                                   on, lower requests_limits, and look for others who use the same token.";

    pub(super) const ADDRESS: &str = "Ensure that base_url, and request.path if it is set, are correct.";

    pub(super) const REDIRECT: &str = "Set base_url to the address that the API is really at.";

    pub(super) const PROXY: &str = "Put the proxy's user and password into proxy_url.";

    pub(super) const SIZE: &str = "Lower request.limit, or raise max_body_in_bytes.";

    pub(super) const CONNECTION: &str = "Ensure the collector has connection with the API; it retries by itself.";
}

fn timed_out(why: &str) -> Failure {
    Failure::api(
        CONNECTION_TIMEOUT,
        format!("Connection Timeout Error. Verify that endpoint and URL parameters are correct. ({why})"),
        remedy::CONNECTION,
    )
}

fn connection_error(why: &str, remedy: &str) -> Failure {
    Failure::api(
        CONNECTION,
        format!("Connection Error. Ensure the URL parameters are correct and that host has access to server. ({why})"),
        remedy,
    )
}

/// `Retry-After` as RFC 9110 has it: seconds, or a date. None if it is neither.
pub(crate) fn retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than fits is long, not nothing.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?.to_utc();
    Some((date - now).max(TimeDelta::zero()).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use alert_records::timestamp;

    use super::*;

    const FIRST: Attempt = Attempt { retried: 0, retries: 3 };
    const LAST: Attempt = Attempt { retried: 3, retries: 3 };

    fn now() -> DateTime<Utc> {
        timestamp::parse("2024-06-01").unwrap()
    }

    fn says(status: u16, retry_after: Option<&str>, body: &str) -> Result<Response, TransportError> {
        let retry_after = retry_after.map(str::to_owned);
        Ok(Response { status, retry_after, body: body.as_bytes().to_vec(), close_error: None })
    }

    fn answer(status: u16, retry_after: Option<&str>) -> Result<Response, TransportError> {
        says(status, retry_after, "")
    }

    fn failure(answer: Result<Response, TransportError>, attempt: Attempt) -> Failure {
        match judge(answer, attempt, now(), &["Bearer s3cret", "s3cret"]) {
            Verdict::Failure(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    fn wait(answer: Result<Response, TransportError>, retried: u32) -> Duration {
        match judge(answer, Attempt { retried, retries: 9 }, now(), &[]) {
            Verdict::Again { after, .. } => after,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pages_and_the_lack_of_them_are_answers() {
        for status in [200, 204, 206, 304] {
            assert!(matches!(judge(answer(status, None), LAST, now(), &[]), Verdict::Answer(_)), "{status}");
        }
    }

    #[test]
    fn a_refused_token_is_not_tried_again() {
        assert_eq!(failure(answer(401, None), FIRST).reason, "Unauthorized API response");
        assert_eq!(failure(answer(403, None), FIRST).reason, "Forbidden API response");
    }

    #[test]
    fn the_apis_own_words_stand_behind_those_of_the_specification() {
        let body = r#"{"success":false,"error":{"code":"THE_CODE","message":"the message","details":null}}"#;
        let words = " The API says: \"THE_CODE: the message\".";
        for (status, reason) in [
            (401, "Unauthorized API response."),
            (403, "Forbidden API response."),
            (400, "Unexpected API response: status 400."),
            (404, "Unexpected API response: status 404."),
            (422, "Unexpected API response: status 422."),
            (429, "Max Retries Error. Request attempts with 3 retries failed. The last answer had status 429."),
            (503, "Max Retries Error. Request attempts with 3 retries failed. The last answer had status 503."),
        ] {
            assert_eq!(failure(says(status, None, body), LAST).reason, format!("{reason}{words}"));
        }
    }

    #[test]
    fn an_error_that_repeats_the_credential_does_not_show_it() {
        for body in ["you sent s3cret", r#"{"error":{"code":"X","message":"you sent Bearer s3cret"}}"#] {
            for status in [400, 401, 403, 404, 407, 422, 429, 500] {
                let failure = failure(says(status, None, body), LAST);
                assert!(!failure.reason.contains("s3cret") && failure.reason.contains("***"), "{failure}");
            }
        }
    }

    #[test]
    fn what_is_no_error_has_no_words() {
        for status in [201, 302] {
            let failure = failure(says(status, None, "moved"), FIRST);
            assert!(!failure.reason.contains("The API says"), "{failure}");
        }
    }

    #[test]
    fn every_refusal_has_its_remedy() {
        for (status, remedy) in [
            (400, "lower request.limit"),
            (401, "API token"),
            (403, "firewall"),
            (404, "base_url, and request.path"),
            (407, "proxy_url"),
            (422, "lower request.limit"),
            (429, "lower requests_limits"),
        ] {
            let failure = failure(answer(status, None), LAST);
            assert!(failure.remedy.contains(remedy), "{failure}");
        }
    }

    #[test]
    fn a_failure_tells_whether_other_pages_are_worth_asking_for() {
        for status in [400, 402, 404, 405, 410, 413, 414, 416, 418, 422, 451, 500, 502, 503, 504, 599] {
            assert!(failure(answer(status, None), LAST).is_of_page(), "{status}");
        }
        for status in [100, 201, 301, 302, 307, 401, 403, 407, 408, 425, 429] {
            assert!(!failure(answer(status, None), LAST).is_of_page(), "{status}");
        }
        assert!(!failure(answer(503, Some("3600")), FIRST).is_of_page());
        for error in [TransportError::TimedOut, TransportError::Broken, TransportError::Refused] {
            assert!(!failure(Err(error("why".to_owned())), LAST).is_of_page());
        }
    }

    #[test]
    fn a_page_that_is_too_large_is_not_asked_for_again_and_may_be_the_only_one() {
        let failure = failure(Err(TransportError::TooLarge("the answer is too large".into())), FIRST);
        assert!(failure.code == 497 && failure.is_of_page() && failure.remedy.contains("request.limit"), "{failure}");
    }

    #[test]
    fn a_busy_server_is_asked_again_when_it_says() {
        assert_eq!(wait(answer(429, Some("7")), 0), Duration::from_secs(7));
        assert_eq!(wait(answer(503, Some("Sat, 01 Jun 2024 00:00:09 GMT")), 0), Duration::from_secs(9));
        assert_eq!(failure(answer(429, Some("3600")), FIRST).code, 498);
        assert_eq!(failure(answer(429, Some("99999999999999999999999")), FIRST).code, 498);
    }

    #[test]
    fn a_server_that_asks_for_no_wait_is_not_asked_without_a_pause() {
        let past = "Fri, 31 May 2024 23:59:59 GMT";
        for text in ["0", "-5", "1.5", "soon", "", past, "Sat, 01 Jun 2024 00:00:00 GMT", "1", "\u{fffd}"] {
            for (retried, seconds) in [(0, 1), (1, 2), (2, 4), (8, 32)] {
                let after = wait(answer(429, Some(text)), retried);
                assert_eq!(after, Duration::from_secs(seconds), "{text:?}");
            }
        }
    }

    #[test]
    fn every_end_of_patience_has_its_code() {
        assert_eq!(failure(answer(500, None), LAST).code, 498);
        assert_eq!(failure(Err(TransportError::TimedOut("t".into())), LAST).code, 496);
        assert_eq!(failure(Err(TransportError::Broken("b".into())), LAST).code, 497);
        assert_eq!(failure(Err(TransportError::Refused("r".into())), FIRST).code, 497);
        assert_eq!(failure(answer(404, None), FIRST).code, 404);
        assert_eq!(failure(answer(302, None), FIRST).code, 497);
        assert_eq!(failure(answer(495, None), FIRST).code, 497, "495 is an answer that can't be read");
    }
}
