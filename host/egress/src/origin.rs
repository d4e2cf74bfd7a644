//! The origin of `base_url`: the only scheme, host and port that a tenant's component may reach. The path of
//! `base_url` belongs to the component; whether an address behind the host may be used is decided when
//! connecting.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use thiserror::Error;

/// How the API is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP: only with `allow_http`.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// The scheme as it is written in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL without one means.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Http, Self::Https].into_iter().find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
    }
}

/// Scheme, host and port of an API. Two are equal when requests to them may share a credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Scheme,
    /// Lower case, an IPv6 address without its brackets.
    host: String,
    port: u16,
}

/// Why a `base_url` names no usable origin. The text never repeats the URL: it may carry a password.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum OriginError {
    /// Nothing like `https://` at the start.
    #[error("base_url has no scheme: write it with https:// in front, for example https://api.cloudsek.com")]
    NoScheme,
    /// A scheme other than http and https.
    #[error("base_url has the scheme \"{scheme}\", which is not supported: use https")]
    UnsupportedScheme {
        /// The scheme that was found.
        scheme: String,
    },
    /// Plain http without leave.
    #[error(
        "base_url is plain http, so the token would travel unprotected: use https, or set allow_http: true if that is wanted"
    )]
    PlainHttp,
    /// `user:password@` before the host.
    #[error("base_url carries a user name or password: remove it, the credential goes into the setting \"token\"")]
    UserInfo,
    /// No host between `//` and the path.
    #[error("base_url has no host: write it as https://api.cloudsek.com")]
    NoHost,
    /// A port that is no number from 1 to 65535.
    #[error("base_url has a port that is not a number from 1 to 65535: correct it, or leave it out for 443")]
    BadPort,
    /// A query or a fragment, to which no path could be appended.
    #[error("base_url has a query (?) or a fragment (#): remove it, the requests add their own")]
    HasQuery,
    /// Characters that a URL can't have.
    #[error("base_url is not a valid URL: look for blanks, quotes or characters that need percent-encoding")]
    Malformed,
}

impl Origin {
    /// Reads the origin out of `base_url`. Path and trailing slash are taken without complaint and left to
    /// the component.
    ///
    /// # Errors
    /// What is wrong with the URL, as an [`OriginError`] with its remedy.
    pub fn parse(base_url: &str, allow_http: bool) -> Result<Self, OriginError> {
        let (scheme, rest) = base_url.split_once("://").ok_or(OriginError::NoScheme)?;
        // "user:secret@host" typed without a scheme can have "://" later on: what stands before it is echoed
        // only when it looks like a scheme.
        if scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
            return Err(OriginError::NoScheme);
        }
        let scheme =
            Scheme::parse(scheme).ok_or_else(|| OriginError::UnsupportedScheme { scheme: scheme.to_owned() })?;
        if scheme == Scheme::Http && !allow_http {
            return Err(OriginError::PlainHttp);
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let origin = Self::from_parts(scheme, authority)?;
        if rest.contains(['?', '#']) {
            return Err(OriginError::HasQuery);
        }
        base_url.parse::<Uri>().map_err(|_| OriginError::Malformed)?;
        Ok(origin)
    }

    /// Whether a request to `uri` stays within this origin: scheme, host (in any case) and port, exactly.
    pub fn allows(&self, uri: &Uri) -> bool {
        Self::of(uri).is_some_and(|origin| origin == *self)
    }

    /// The origin of an absolute URI; none for a relative one, one with user information, or another scheme.
    pub fn of(uri: &Uri) -> Option<Self> {
        let scheme = Scheme::parse(uri.scheme_str()?)?;
        Self::from_parts(scheme, uri.authority()?.as_str()).ok()
    }

    fn from_parts(scheme: Scheme, authority: &str) -> Result<Self, OriginError> {
        if authority.contains('@') {
            return Err(OriginError::UserInfo);
        }
        let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
            let (host, port) = rest.split_once(']').ok_or(OriginError::Malformed)?;
            (host, port)
        } else {
            authority.split_at(authority.find(':').unwrap_or(authority.len()))
        };
        if host.is_empty() {
            return Err(OriginError::NoHost);
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => scheme.default_port(),
            // "+443" is a number to the standard library, and to nobody else.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|port| *port != 0).ok_or(OriginError::BadPort)?
            }
            _ => return Err(OriginError::BadPort),
        };
        Ok(Self { scheme, host: host.to_ascii_lowercase(), port })
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host in lower case; an IPv6 address stands without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, given or implied.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host's address, if the host is written as one.
    pub fn literal_address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// `host:port`, always with the port and with the brackets of IPv6: the form that CONNECT wants.
    pub fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

/// `host:port`, with brackets where the host has colons of its own.
pub(super) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.as_str())?;
        if self.port != self.scheme.default_port() {
            f.write_str(&self.authority())
        } else if self.host.contains(':') {
            write!(f, "[{}]", self.host)
        } else {
            f.write_str(&self.host)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(base_url: &str) -> Result<Origin, OriginError> {
        Origin::parse(base_url, false)
    }

    #[test]
    fn path_and_trailing_slash_are_the_components_business() {
        for base_url in ["https://api.cloudsek.com", "https://API.cloudsek.com/", "HTTPS://api.cloudsek.com:443/v2/x/"]
        {
            assert_eq!(origin(base_url).unwrap().to_string(), "https://api.cloudsek.com");
        }
        assert_eq!(origin("https://[2001:DB8::1]:8443/a").unwrap().to_string(), "https://[2001:db8::1]:8443");
    }

    #[test]
    fn each_fault_of_a_base_url_is_named() {
        for (base_url, error) in [
            ("api.cloudsek.com/incidents", OriginError::NoScheme),
            ("", OriginError::NoScheme),
            ("://api.cloudsek.com", OriginError::NoScheme),
            ("me:secret@host?x=https://", OriginError::NoScheme),
            ("ftp://api.cloudsek.com", OriginError::UnsupportedScheme { scheme: "ftp".into() }),
            ("http://api.cloudsek.com", OriginError::PlainHttp),
            ("https://me:secret@api.cloudsek.com", OriginError::UserInfo),
            ("https://", OriginError::NoHost),
            ("https:///incidents", OriginError::NoHost),
            ("https://:443", OriginError::NoHost),
            ("https://api.cloudsek.com:", OriginError::BadPort),
            ("https://api.cloudsek.com:0", OriginError::BadPort),
            ("https://api.cloudsek.com:+443", OriginError::BadPort),
            ("https://api.cloudsek.com:65536", OriginError::BadPort),
            ("https://api.cloudsek.com:x", OriginError::BadPort),
            ("https://api.cloudsek.com/?a=b", OriginError::HasQuery),
            ("https://api.cloudsek.com/#a", OriginError::HasQuery),
            ("https://api cloudsek.com", OriginError::Malformed),
            ("https://[2001:db8::1", OriginError::Malformed),
        ] {
            assert_eq!(origin(base_url), Err(error.clone()), "{base_url:?}");
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn plain_http_needs_the_operators_leave() {
        assert_eq!(Origin::parse("http://127.0.0.1:8080", true).unwrap().to_string(), "http://127.0.0.1:8080");
    }

    #[test]
    fn only_the_same_scheme_host_and_port_are_within_the_origin() {
        let ours = origin("https://api.cloudsek.com/v2/").unwrap();
        for inside in
            ["https://api.cloudsek.com/incidents?page=1", "https://API.CLOUDSEK.COM/", "https://api.cloudsek.com:443/x"]
        {
            assert!(ours.allows(&inside.parse().unwrap()), "{inside}");
        }
        for outside in [
            "http://api.cloudsek.com/",
            "https://api.cloudsek.com:8443/",
            "https://cloudsek.com/",
            "https://api.cloudsek.com.evil.example/",
            "https://api.cloudsek.com./",
            "https://evil.example/api.cloudsek.com",
            "https://api.cloudsek.com@evil.example/",
            "https://me@api.cloudsek.com/",
            "/incidents",
            "api.cloudsek.com",
        ] {
            assert!(!ours.allows(&outside.parse().unwrap()), "{outside}");
        }
    }
}
