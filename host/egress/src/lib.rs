//! The one way out to the vendor's API. A request leaves only for the tenant's own origin, over a connection
//! whose address was checked, with a credential that the sandbox never sees, and every wait and every size
//! has an end. How often requests may leave is [`rate`]'s. Which requests are made, and what an answer means,
//! is left to the component.
//!
//! ```
//! use collector_egress::{ApiClient, ApiClientSettings, EgressError, Origin, ProxySettings};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let settings = ApiClientSettings {
//!     token: Some("t0ken".into()),
//!     proxy: ProxySettings::None,
//!     ..ApiClientSettings::new(Origin::parse("http://127.0.0.1:1", true)?)
//! };
//! let client = ApiClient::new(settings)?;
//!
//! let elsewhere = http::Request::get("https://elsewhere.example/").body(String::new())?;
//! assert!(matches!(client.send(elsewhere).await, Err(EgressError::OriginRefused { .. })));
//!
//! let request = http::Request::get("http://127.0.0.1:1/alerts").body(String::new())?;
//! assert!(matches!(client.send(request).await, Err(EgressError::AddressRefused { .. })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! `client` sends a request, `credential` puts the token on, `connector` makes the connection, through a
//! `proxy` if there is one; `body` and `encoding` bound what comes back, and `echo` takes our credentials out
//! of it.

#![deny(missing_docs)]

mod body;
mod client;
mod connector;
mod credential;
mod echo;
mod encoding;
mod error;
mod hop_by_hop;
mod origin;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod proxy;
pub mod rate;

#[cfg(test)]
mod tests;

pub use body::ResponseBody;
pub use client::{ApiClient, ApiClientSettings};
pub use credential::{CredentialHeader, CredentialHeaderError};
pub use error::{BodyWait, ConnectStage, CredentialProblem, DnsProblem, EgressError, ProxyProblem, TlsProblem};
pub use origin::{Origin, OriginError, Scheme};
pub use proxy::{ProxySettings, ProxyVariables};

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;
