//! The token's header: the one place where a credential stands once it is read, replaced while the collector
//! runs, and put on a request as it leaves.

use std::sync::{PoisonError, RwLock};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};

use super::echo::Secrets;
use super::error::{CredentialProblem, EgressError};

/// A header with the token in it, or none yet.
pub(super) struct Credential {
    header: HeaderName,
    /// What stands before the token, blank included.
    prefix: String,
    value: RwLock<Option<HeaderValue>>,
}

impl Credential {
    /// A credential in this header; without a token the component's own headers stay as they are.
    ///
    /// # Errors
    /// [`EgressError::Credential`] when a header can't carry the token.
    pub(super) fn new(header: HeaderName, prefix: String, token: Option<&SecretString>) -> Result<Self, EgressError> {
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
            headers.insert(&self.header, value.clone());
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
