//! The one way out to the vendor's API. A request leaves only for the tenant's own origin, over a connection whose
//! address was checked, with a credential that the sandbox never sees, and every wait and every size has an end. Which
//! requests are made, how often, and what an answer means is left to the component and to the rate limits.

mod body;
mod client;
mod connector;
mod echo;
mod encoding;
mod error;
mod origin;
mod proxy;

#[cfg(test)]
mod tests;

pub use body::ResponseBody;
pub use client::{ApiClient, ApiClientSettings};
pub use error::{BodyWait, ConnectStage, CredentialProblem, DnsProblem, EgressError, ProxyProblem, TlsProblem};
pub use origin::{Origin, OriginError, Scheme};
pub use proxy::{ProxySettings, ProxyVariables};
