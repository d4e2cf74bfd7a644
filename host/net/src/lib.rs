//! The way to a peer, for everybody who has one: the API, the receivers of events, a store.
//!
//! [`look_up`] a name, keep the [`permitted`] addresses, [`dial`] them. Exactly the addresses that were
//! checked are connected to: a second look-up could give others (DNS rebinding). [`https_client_config`] is
//! whom a TLS client trusts that asks an API, [`tls_client_builder`] how every TLS client here begins;
//! [`ConnectProblem`] is the one reading of what the system says of a connection. What is said over a
//! connection, retries and the texts that an operator reads are left to the callers.
//!
//! ```
//! use std::time::Duration;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
//!
//! let threads = collector_files::Threads::of_operator();
//! let found = collector_net::look_up("127.0.0.1", listener.local_addr()?.port(), deadline, &threads).await?;
//! let refused = collector_net::permitted(found.clone(), false).unwrap_err();
//! assert_eq!(refused.range.to_string(), "loopback");
//!
//! let allowed = collector_net::permitted(found, true)?;
//! collector_net::dial(&allowed, deadline).await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

#![deny(missing_docs)]

mod address;
mod dial;
mod problem;
mod trust;

pub use address::{AddressRange, RefusedAddress, permitted};
pub use dial::{DialError, LookupError, dial, look_up};
pub use problem::ConnectProblem;
pub use trust::{CaFileProblem, TrustError, check_ca_file, https_client_config, tls_client_builder};
