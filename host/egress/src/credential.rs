//! The token's header: the one place where a credential stands once it is read, replaced while the collector
//! runs, and put on a request as it leaves.

use std::str::FromStr;
use std::sync::{PoisonError, RwLock};

use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, FORWARDED, HOST, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use thiserror::Error;

use super::echo::Secrets;
use super::error::{CredentialProblem, EgressError};
use super::hop_by_hop;

/// So much of a text that is no name is shown.
const SHOWN_CHARACTERS: usize = 80;

/// The name of the header that carries the token. None of those that say where a request goes, where it ends
/// and what happens to the connection: the token there would lead the request to another site of the same
/// server, past the list of hosts, or change where the next one begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialHeader(HeaderName);

/// A text that is no such name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CredentialHeaderError {
    /// It is the name of no header.
    #[error("{0:?} is not a header's name")]
    NotAName(String),
    /// The header is about the request or the connection.
    #[error("the header {0} says where a request goes or how it is sent, and can't carry a token")]
    Reserved(HeaderName),
}

impl Default for CredentialHeader {
    fn default() -> Self {
        Self(AUTHORIZATION)
    }
}

impl FromStr for CredentialHeader {
    type Err = CredentialHeaderError;

    fn from_str(text: &str) -> Result<Self, CredentialHeaderError> {
        let name = HeaderName::try_from(text)
            .map_err(|_| CredentialHeaderError::NotAName(text.chars().take(SHOWN_CHARACTERS).collect()))?;
        let others = [ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, FORWARDED, HOST, RANGE];
        let is_reserved = hop_by_hop::ALWAYS.contains(&name)
            || others.contains(&name)
            || ["http2-settings", "keep-alive", "max-forwards"].contains(&name.as_str())
            || ["proxy-", "x-forwarded-", "sec-websocket-"].iter().any(|prefix| name.as_str().starts_with(prefix));
        if is_reserved { Err(CredentialHeaderError::Reserved(name)) } else { Ok(Self(name)) }
    }
}

/// A header with the token in it, or none yet.
pub(super) struct Credential {
    header: CredentialHeader,
    /// What stands before the token, blank included.
    prefix: String,
    value: RwLock<Option<HeaderValue>>,
}

impl Credential {
    /// A credential in this header; without a token the component's own headers stay as they are.
    ///
    /// # Errors
    /// [`EgressError::Credential`] when a header can't carry the token.
    pub(super) fn new(
        header: CredentialHeader,
        prefix: String,
        token: Option<&SecretString>,
    ) -> Result<Self, EgressError> {
        let value = token.map(|token| value(&prefix, token)).transpose()?;
        Ok(Self { header, prefix, value: RwLock::new(value) })
    }

    /// Takes another token from the next request on.
    ///
    /// # Errors
    /// As [`Credential::new`]; the old one then stays.
    pub(super) fn replace(&self, token: &SecretString) -> Result<(), EgressError> {
        let value = value(&self.prefix, token)?;
        *self.value.write().unwrap_or_else(PoisonError::into_inner) = Some(value);
        Ok(())
    }

    /// Puts the token on a request, in place of what a component may have put there, and adds it to the
    /// secrets of the request.
    pub(super) fn put_on(&self, headers: &mut HeaderMap, secrets: &mut Secrets) {
        if let Some(value) = &*self.value.read().unwrap_or_else(PoisonError::into_inner) {
            headers.remove(AUTHORIZATION);
            headers.insert(&self.header.0, value.clone());
            secrets.add(value, self.prefix.len());
        }
    }
}

/// Whether a header can carry this token.
///
/// # Errors
/// [`EgressError::Credential`] when it can't.
pub(super) fn check(prefix: &str, token: &SecretString) -> Result<(), EgressError> {
    value(prefix, token).map(drop)
}

fn value(prefix: &str, token: &SecretString) -> Result<HeaderValue, EgressError> {
    let failed = |problem| EgressError::Credential { problem };
    // Blanks around it come from copying and from variables; no token has any.
    let token = token.expose_secret().trim();
    if token.is_empty() {
        return Err(failed(CredentialProblem::Empty));
    }
    // One copy stays in the header, and the HTTP library makes more; the one made here need not stay.
    let text = Zeroizing::new(format!("{prefix}{token}"));
    if !text.is_ascii() {
        return Err(failed(CredentialProblem::NotAHeaderValue));
    }
    let mut value = HeaderValue::from_str(&text).map_err(|_| failed(CredentialProblem::NotAHeaderValue))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_says_where_a_request_goes_or_ends_carries_no_token() {
        for name in ["authorization", "Authorization", "x-api-key", "X-Token", "cookie", "private-token"] {
            assert!(name.parse::<CredentialHeader>().is_ok(), "{name}");
        }
        for name in [
            "host",
            "Host",
            "content-length",
            "Connection",
            "transfer-encoding",
            "te",
            "trailer",
            "upgrade",
            "keep-alive",
            "proxy-authorization",
            "proxy-connection",
            "proxy-anything",
            "expect",
            "accept-encoding",
            "content-encoding",
            "forwarded",
            "x-forwarded-host",
            "http2-settings",
        ] {
            let error = name.parse::<CredentialHeader>().unwrap_err();
            assert!(matches!(error, CredentialHeaderError::Reserved(_)), "{name}");
        }
        let error = "a\nhost".parse::<CredentialHeader>().unwrap_err();
        assert_eq!(error.to_string(), r#""a\nhost" is not a header's name"#);
    }
}
