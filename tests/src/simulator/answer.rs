//! What a request is answered: who asks, how often, for what, and whether a fault is due.

use std::time::Instant;

use bytes::Bytes;
use http::HeaderName;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, Response, StatusCode};

use super::{Fault, PATH, Shared, State};

/// An answer, or a way of not giving one.
#[derive(Debug)]
pub(super) enum Answer {
    Whole(Response<Bytes>),
    /// The beginning of it, then the end of the connection.
    Cut(Response<Bytes>),
    /// The beginning of it, then nothing.
    Hang(Response<Bytes>),
    Reset,
    Stall,
    /// Not even HTTP, perhaps.
    Raw(Bytes),
}

impl Shared {
    /// Decides, and records the request.
    pub(super) fn answer<B>(&self, request: &Request<B>) -> Answer {
        self.state.change(|state| {
            let token = header(request, &AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
            let authorized = token == Some(state.settings.token.as_str());
            let answer = state.decide(request, token, authorized);
            let status = match &answer {
                Answer::Whole(response) | Answer::Cut(response) | Answer::Hang(response) => {
                    Some(response.status().as_u16())
                }
                Answer::Reset | Answer::Stall | Answer::Raw(_) => None,
            };
            let target = request.uri().path_and_query().map_or("", |target| target.as_str()).to_owned();
            let user_agent = header(request, &USER_AGENT).map(str::to_owned);
            state.requests.push(super::Request { at: Instant::now(), target, authorized, user_agent, status });
            answer
        })
    }
}

fn header<'a, B>(request: &'a Request<B>, name: &HeaderName) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

impl State {
    fn decide<B>(&mut self, request: &Request<B>, token: Option<&str>, authorized: bool) -> Answer {
        let fault = self.faults.pop_front();
        match &fault {
            Some(Fault::Status(status)) => return Answer::Whole(refusal(*status, 1)),
            Some(Fault::Echo(status)) => {
                let sent = header(request, &AUTHORIZATION).unwrap_or("nothing");
                return Answer::Whole(response(*status, JSON, error_body("ECHO", &format!("you sent {sent}"))));
            }
            Some(Fault::Html) => {
                let page = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Sign in</body></html>";
                return Answer::Whole(response(200, "text/html; charset=utf-8", page.into()));
            }
            Some(Fault::ErrorInside200) => {
                return Answer::Whole(response(200, JSON, error_body("INTERNAL_ERROR", "Something went wrong")));
            }
            Some(Fault::Reset) => return Answer::Reset,
            Some(Fault::Stall) => return Answer::Stall,
            Some(Fault::Redirect(to)) => {
                let mut response = response(302, JSON, Bytes::new());
                if let Ok(to) = to.parse() {
                    response.headers_mut().insert(LOCATION, to);
                }
                return Answer::Whole(response);
            }
            Some(Fault::Answer { status, headers, body }) => {
                let mut response = response(*status, JSON, body.clone());
                for (name, value) in headers {
                    if let Ok(value) = value.parse() {
                        response.headers_mut().insert(*name, value);
                    }
                }
                return Answer::Whole(response);
            }
            Some(Fault::Raw(bytes)) => return Answer::Raw(bytes.clone()),
            Some(Fault::Truncated | Fault::StallInBody) | None => {}
        }
        let whole = self.page(request, token, authorized);
        match fault {
            Some(Fault::Truncated) => Answer::Cut(whole),
            Some(Fault::StallInBody) => Answer::Hang(whole),
            _ => Answer::Whole(whole),
        }
    }

    fn page<B>(&mut self, request: &Request<B>, token: Option<&str>, authorized: bool) -> Response<Bytes> {
        if request.uri().path().strip_prefix(self.settings.prefix.as_str()) != Some(PATH) {
            return refusal(404, 0);
        }
        if request.method() != Method::GET {
            return refusal(405, 0);
        }
        if token == Some(self.settings.forbidden_token.as_str()) {
            return refusal(403, 0);
        }
        if !authorized {
            return refusal(401, 0);
        }
        if let Some(wait) = self.wait_for_turn() {
            return refusal(429, wait);
        }
        let (mut limit, mut page) = (10, 1);
        for (name, value) in request.uri().query().unwrap_or("").split('&').filter_map(|pair| pair.split_once('=')) {
            let field = match name {
                "limit" => &mut limit,
                "page" => &mut page,
                _ => continue,
            };
            match value.parse() {
                Ok(number) if number > 0 => *field = number,
                _ => return refusal(400, 0),
            }
        }
        let limit = limit.min(self.settings.max_limit);
        response(200, JSON, self.pages.page(limit, page))
    }

    /// Seconds to wait if the limit is used up; otherwise this request is counted.
    fn wait_for_turn(&mut self) -> Option<u64> {
        let limit = self.settings.rate_limit?;
        let now = Instant::now();
        while self.served.front().is_some_and(|&first| now - first >= limit.window) {
            self.served.pop_front();
        }
        if self.served.len() < limit.requests {
            self.served.push_back(now);
            return None;
        }
        let left = self.served.front().map_or(limit.window, |&first| limit.window.saturating_sub(now - first));
        Some(left.as_secs() + 1)
    }
}

const JSON: &str = "application/json";

fn response(status: u16, content_type: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

fn refusal(status: u16, retry_after: u64) -> Response<Bytes> {
    let (code, message) = match status {
        400 => ("BAD_REQUEST", "Invalid query parameter"),
        401 => ("UNAUTHORIZED", "Invalid or expired API token"),
        403 => ("FORBIDDEN", "The API token has no access to this resource"),
        404 => ("NOT_FOUND", "No such resource"),
        405 => ("METHOD_NOT_ALLOWED", "Only GET is allowed"),
        429 => ("RATE_LIMIT_EXCEEDED", "Too many requests"),
        503 => ("SERVICE_UNAVAILABLE", "The service is under maintenance"),
        _ => ("INTERNAL_ERROR", "Something went wrong"),
    };
    let mut response = response(status, JSON, error_body(code, message));
    if status == 429 {
        response.headers_mut().insert(RETRY_AFTER, retry_after.into());
    }
    response
}

fn error_body(code: &str, message: &str) -> Bytes {
    format!(
        r#"{{"success":false,"error":{{"code":"{code}","message":"{message}","details":null}},"timestamp":"2024-01-01T00:00:00Z","request_id":"req-error"}}"#
    )
    .into()
}
