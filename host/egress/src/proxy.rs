//! Whether the API is reached through an HTTP proxy, and which. Decided once, when the client is made, so
//! that a wrong setting is an error at the start and not a silent direct connection. Speaking to the proxy is
//! the connector's part.

use std::fmt;
use std::sync::Arc;

use collector_net::AddressPolicy;
use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use secrecy::{ExposeSecret, SecretString};

use super::error::EgressError;
use super::origin::{Origin, Scheme, authority};

/// The setting that names a proxy.
const SETTING: &str = "proxy_url";

/// Where the choice of a proxy comes from. URLs are secrets, since they can carry a password.
#[derive(Clone, Debug)]
pub enum ProxySettings {
    /// The setting `proxy_url`: `http://[user:password@]host:port` (or https). It holds whatever NO_PROXY
    /// says, because the operator wrote it for this very API.
    Url(SecretString),
    /// The environment variables that most programs take.
    Environment(ProxyVariables),
    /// Never a proxy.
    None,
}

/// The proxy variables of an environment. Empty is the same as not set.
#[derive(Clone, Debug, Default)]
pub struct ProxyVariables {
    /// `https_proxy` or `HTTPS_PROXY`, for an https API.
    pub https: Option<SecretString>,
    /// `http_proxy`, for a plain http API. Only in lower case: where a program runs as CGI, HTTP_PROXY is a
    /// request header that a stranger can send, and curl does not take it either.
    pub http: Option<SecretString>,
    /// `all_proxy` or `ALL_PROXY`, when there is none for the scheme.
    pub all: Option<SecretString>,
    /// `no_proxy` or `NO_PROXY`: comma-separated hosts, domains, addresses and networks to reach directly;
    /// `*` is all.
    pub no: Option<String>,
}

impl ProxyVariables {
    /// Reads the variables of this process.
    pub fn of_this_process() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&str]| names.iter().find_map(|name| lookup(name).filter(|value| !value.is_empty()));
        Self {
            https: first(&["https_proxy", "HTTPS_PROXY"]).map(SecretString::from),
            http: first(&["http_proxy"]).map(SecretString::from),
            all: first(&["all_proxy", "ALL_PROXY"]).map(SecretString::from),
            no: first(&["no_proxy", "NO_PROXY"]),
        }
    }
}

/// A proxy to go through.
pub(super) struct Proxy {
    /// Whether the proxy itself is spoken to over TLS.
    pub(super) scheme: Scheme,
    pub(super) host: String,
    pub(super) port: u16,
    /// The value of Proxy-Authorization, marked sensitive.
    pub(super) authorization: Option<HeaderValue>,
    /// Whether the environment of the process names it, which is its operator's.
    is_of_operator: bool,
}

impl Proxy {
    /// At which addresses it may be, for an API that may be at these.
    pub(super) fn addresses(&self, of_api: &AddressPolicy) -> AddressPolicy {
        let denied = if self.is_of_operator { Arc::default() } else { of_api.denied.clone() };
        AddressPolicy { allow_private: true, denied }
    }

    /// The proxy for an origin, if there is to be one.
    ///
    /// # Errors
    /// [`EgressError::ProxySetting`] when the setting that applies is no URL of an HTTP proxy.
    pub(super) fn for_origin(settings: &ProxySettings, origin: &Origin) -> Result<Option<Self>, EgressError> {
        match settings {
            ProxySettings::None => Ok(None),
            ProxySettings::Url(url) => Self::parse(SETTING, url, origin).map(Some),
            ProxySettings::Environment(variables) => {
                let (name, value) = match origin.scheme() {
                    Scheme::Https => ("https_proxy", &variables.https),
                    Scheme::Http => ("http_proxy", &variables.http),
                };
                let all = ("all_proxy", &variables.all);
                match [(name, value), all].into_iter().find_map(|(name, value)| Some((name, value.as_ref()?))) {
                    Some((name, url)) if !is_exempt(variables.no.as_deref(), origin) => {
                        Self::parse(name, url, origin).map(Some)
                    }
                    _ => Ok(None),
                }
            }
        }
    }

    fn parse(setting: &'static str, url: &SecretString, origin: &Origin) -> Result<Self, EgressError> {
        let wrong = || EgressError::ProxySetting { setting };
        // The matcher treats a URL that it can't use as "no proxy": that is why it is asked with one URL and
        // no exceptions, where silence can only mean a mistake.
        let matcher = Matcher::builder().all(url.expose_secret()).build();
        let intercept = origin_uri(origin).and_then(|uri| matcher.intercept(&uri)).ok_or_else(wrong)?;
        let proxy = Origin::of(intercept.uri()).ok_or_else(wrong)?;
        Ok(Self {
            scheme: proxy.scheme(),
            host: proxy.host().to_owned(),
            port: proxy.port(),
            authorization: intercept.basic_auth().cloned(),
            is_of_operator: setting != SETTING,
        })
    }

    /// Whether requests go to the proxy as they are, instead of through a tunnel: so it is for plain http.
    pub(super) fn forwards(&self, origin: &Origin) -> bool {
        origin.scheme() == Scheme::Http
    }
}

/// Scheme, host and port; never the password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), authority(&self.host, self.port))
    }
}

fn is_exempt(no_proxy: Option<&str>, origin: &Origin) -> bool {
    let Some(no_proxy) = no_proxy else { return false };
    let matcher = Matcher::builder().all("http://proxy.invalid").no(no_proxy).build();
    origin_uri(origin).is_some_and(|uri| matcher.intercept(&uri).is_none())
}

fn origin_uri(origin: &Origin) -> Option<Uri> {
    origin.to_string().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(base_url: &str, variables: &[(&str, &str)]) -> Result<Option<String>, EgressError> {
        let variables = ProxyVariables::read(|name| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
        });
        let origin = Origin::parse(base_url, true).unwrap();
        let proxy = Proxy::for_origin(&ProxySettings::Environment(variables), &origin)?;
        Ok(proxy.map(|proxy| proxy.to_string()))
    }

    #[test]
    fn each_scheme_has_its_variable_and_all_proxy_stands_in() {
        let variables = [("HTTPS_PROXY", "http://a:1"), ("http_proxy", "b:2"), ("ALL_PROXY", "https://c:3")];
        assert_eq!(chosen("https://api.example", &variables), Ok(Some("http://a:1".into())));
        assert_eq!(chosen("http://api.example", &variables), Ok(Some("http://b:2".into())));
        assert_eq!(chosen("https://api.example", &variables[1..]), Ok(Some("https://c:3".into())));
        assert_eq!(chosen("https://api.example", &[]), Ok(None));
        assert_eq!(chosen("https://api.example", &[("HTTPS_PROXY", "")]), Ok(None));
    }

    #[test]
    fn upper_case_http_proxy_is_not_taken() {
        assert_eq!(chosen("http://api.example", &[("HTTP_PROXY", "http://a:1")]), Ok(None));
    }

    #[test]
    fn no_proxy_exempts_hosts_domains_and_networks() {
        for (no_proxy, base_url, exempt) in [
            ("api.example", "https://api.example", true),
            ("other, .example", "https://api.example", true),
            ("10.0.0.0/8", "https://10.1.2.3", true),
            ("*", "https://api.example", true),
            ("example.com", "https://api.example", false),
            ("pi.example", "https://api.example", false),
        ] {
            let proxy = chosen(base_url, &[("https_proxy", "http://a:1"), ("NO_PROXY", no_proxy)]).unwrap();
            assert_eq!(proxy.is_none(), exempt, "{no_proxy}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error_and_not_a_direct_connection() {
        for url in ["socks5://a:1", "ftp://a:1", "http://", "not a url", "http://me:p@ss@a:1", "http://a:0"] {
            let outcome = chosen("https://api.example", &[("https_proxy", url)]);
            assert_eq!(outcome, Err(EgressError::ProxySetting { setting: "https_proxy" }), "{url}");
        }
    }

    #[test]
    fn a_proxys_password_is_never_printed() {
        let settings = ProxySettings::Url(SecretString::from("http://me:hunter2@a:1"));
        let proxy = Proxy::for_origin(&settings, &Origin::parse("https://api.example", false).unwrap()).unwrap();
        let proxy = proxy.unwrap();
        assert!(!format!("{settings:?} {proxy} {:?}", proxy.authorization).contains("hunter2"));
        assert!(!format!("{:?}", proxy.authorization).contains("bWU6"));
        assert!(proxy.authorization.is_some());
    }
}
