//! Who is answered. The pages are for the operator and for programs of his, and a browser of his is also used
//! for the pages of others: those must not read what is here, neither by a name that they let lead to this
//! address (DNS rebinding) nor by requests across sites. Where the operator wants it, everybody has to know a
//! token.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use collector_config::AdminSettings;
use collector_files::RootedPath;
use collector_model::Secret;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

/// What every answer has: a browser shows it as what it is, runs nothing of it, frames it nowhere, gives it
/// to no other site and keeps it nowhere.
const HEADERS: [(HeaderName, &str); 6] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
];

/// Where a browser says whose page a request comes from.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What a request must have to be answered.
pub struct Guard {
    /// Names of this machine, in small letters, besides addresses and `localhost`.
    names: Vec<String>,
    token: Option<SecretString>,
}

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// It is for a host that is not this one.
    Misdirected,
    /// A page of another site makes a browser ask.
    CrossSite,
    /// It has no token, or a wrong one.
    Unauthorized,
}

impl Guard {
    /// # Errors
    /// The file of the token can't be read, or has none in it.
    pub fn new(settings: &AdminSettings) -> Result<Self> {
        let token = settings.token_file.clone().map(|file| {
            let read = Secret::File(RootedPath::of_operator(&file)).read();
            read.with_context(|| format!("the admin token of {} can't be used; nothing was started", file.display()))
        });
        let token = token.transpose()?;
        if token.as_ref().is_some_and(|token| !token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic())) {
            bail!("the admin token has characters that no header can carry; nothing was started");
        }
        let names = settings.names.iter().map(|name| bare(name).to_ascii_lowercase()).collect();
        Ok(Self { names, token })
    }

    fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = only(headers, &HOST).and_then(|host| host.parse::<Authority>().ok()).ok_or(Refusal::Misdirected)?;
        if !self.is_ours(&host) || uri.authority().is_some_and(|authority| *authority != host) {
            return Err(Refusal::Misdirected);
        }
        let own = format!("http://{host}");
        let is_own = |origin: &HeaderValue| origin.as_bytes().eq_ignore_ascii_case(own.as_bytes());
        let is_no_others = |site: &HeaderValue| matches!(site.as_bytes(), b"same-origin" | b"none");
        if !headers.get_all(ORIGIN).iter().all(is_own) || !headers.get_all(SEC_FETCH_SITE).iter().all(is_no_others) {
            return Err(Refusal::CrossSite);
        }
        if self.token.as_ref().is_none_or(|token| is_given(headers, token)) {
            Ok(())
        } else {
            Err(Refusal::Unauthorized)
        }
    }

    /// Whether it is an address, `localhost`, or a name that the operator has given.
    fn is_ours(&self, authority: &Authority) -> bool {
        let host = bare(authority.host()).to_ascii_lowercase();
        let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_address = host.parse::<Ipv4Addr>().is_ok() || v6.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok());
        let is_plain = !authority.as_str().contains('@');
        is_plain && (is_address || host == "localhost" || self.names.contains(&host))
    }
}

/// A name without the dot at the end of a whole DNS name.
fn bare(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok()
}

/// Whether the request has the token. How long that takes tells nothing of the token but its length.
fn is_given(headers: &HeaderMap, token: &SecretString) -> bool {
    let given = only(headers, &AUTHORIZATION).and_then(|value| value.split_once(' '));
    let Some((_, given)) = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else { return false };
    given.trim().as_bytes().ct_eq(token.expose_secret().as_bytes()).into()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Misdirected => {
                let text = "This is no name of the admin address: use its IP address or localhost, or give the name \
                            to the collector (admin_names in host.yaml, --admin-name).\n";
                (StatusCode::MISDIRECTED_REQUEST, text).into_response()
            }
            Self::CrossSite => (StatusCode::FORBIDDEN, "Pages of other sites are not answered.\n").into_response(),
            Self::Unauthorized => {
                let ask = [(WWW_AUTHENTICATE, "Bearer")];
                (StatusCode::UNAUTHORIZED, ask, "The admin token is needed.\n").into_response()
            }
        }
    }
}

/// Lets a request pass that may be answered, and gives every answer its headers.
pub async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut response = match guard.check(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    response.headers_mut().extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(token: Option<&str>) -> Guard {
        Guard { names: vec!["collector.internal".to_owned()], token: token.map(SecretString::from) }
    }

    fn checked(guard: &Guard, headers: &[(&str, &str)]) -> Result<(), Refusal> {
        let pairs = headers.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()));
        guard.check(&"/metrics".parse().unwrap(), &pairs.collect())
    }

    #[test]
    fn a_host_is_an_address_or_a_name_of_ours() {
        for ours in [
            "127.0.0.1:9464",
            "10.1.2.3",
            "[::1]:9464",
            "[fe80::1]",
            "localhost",
            "LOCALHOST:9464",
            "collector.internal",
            "Collector.Internal.:9464",
        ] {
            assert_eq!(checked(&guard(None), &[("host", ours)]), Ok(()), "{ours}");
        }
        for other in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "user@127.0.0.1",
            "internal",
            "x.collector.internal",
            "[::1",
            "2130706433",
            "0x7f.1",
            "::1",
        ] {
            assert_eq!(checked(&guard(None), &[("host", other)]), Err(Refusal::Misdirected), "{other}");
        }
        assert_eq!(checked(&guard(None), &[]), Err(Refusal::Misdirected));
        let mut headers = HeaderMap::new();
        headers.append(HOST, HeaderValue::from_static("127.0.0.1"));
        headers.append(HOST, HeaderValue::from_static("127.0.0.1"));
        assert_eq!(guard(None).check(&"/".parse().unwrap(), &headers), Err(Refusal::Misdirected));
        headers.insert(HOST, HeaderValue::from_static("127.0.0.1"));
        let absolute = "http://evil.example/".parse().unwrap();
        assert_eq!(guard(None).check(&absolute, &headers), Err(Refusal::Misdirected));
    }

    #[test]
    fn a_page_of_another_site_is_refused() {
        let host = ("host", "127.0.0.1:9464");
        for (name, value) in
            [("origin", "http://127.0.0.1:9464"), ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "none")]
        {
            assert_eq!(checked(&guard(None), &[host, (name, value)]), Ok(()), "{name}: {value}");
        }
        for (name, value) in [
            ("origin", "http://127.0.0.1:8000"),
            ("origin", "https://127.0.0.1:9464"),
            ("origin", "null"),
            ("origin", "http://evil.example"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "anything"),
        ] {
            assert_eq!(checked(&guard(None), &[host, (name, value)]), Err(Refusal::CrossSite), "{name}: {value}");
        }
    }

    #[test]
    fn where_there_is_a_token_it_is_needed() {
        let host = ("host", "localhost");
        let guard = guard(Some("s3cret"));
        for given in ["Bearer s3cret", "bearer s3cret"] {
            assert_eq!(checked(&guard, &[host, ("authorization", given)]), Ok(()), "{given}");
        }
        for given in ["", "s3cret", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3crets", "Basic s3cret"] {
            assert_eq!(checked(&guard, &[host, ("authorization", given)]), Err(Refusal::Unauthorized), "{given}");
        }
        assert_eq!(checked(&guard, &[host]), Err(Refusal::Unauthorized));
    }
}
