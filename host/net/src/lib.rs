//! The way to a peer, for everybody who has one: the API, the receivers of events, a store.
//!
//! [`connect`] looks a name up, keeps the [permitted] addresses and dials them. Exactly the addresses that
//! were checked are connected to: a second look-up could give others (DNS rebinding). [`https_client_config`]
//! is whom a TLS client trusts that asks an API, [`store_client_config`] whom one that asks a store,
//! [`tls_client_builder`] how every TLS client here begins; [`ConnectProblem`] is the one reading of what the
//! system says of a connection. What is said over a connection, retries and the texts that an operator reads
//! are left to the callers.
//!
//! ```
//! use std::time::Duration;
//!
//! use collector_net::{ConnectError, Peer, connect};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
//!
//! let threads = collector_files::Threads::of_operator();
//! let port = listener.local_addr()?.port();
//! let peer = Peer { host: "127.0.0.1", port, addresses: &false.into(), threads: &threads };
//! let Err(ConnectError::Refused(refused)) = connect(&peer, deadline).await else { panic!() };
//! assert_eq!(refused.range.to_string(), "loopback");
//!
//! connect(&Peer { addresses: &true.into(), ..peer }, deadline).await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

#![deny(missing_docs)]

mod address;
mod connect;
mod network;
mod problem;
mod resolver;
mod trust;

pub use address::{AddressPolicy, AddressRange, RefusedAddress, permitted};
pub use connect::{ConnectError, DialError, Peer, connect};
pub use network::{Network, NetworkError};
pub use problem::ConnectProblem;
pub use resolver::LookupError;
pub use trust::{
    CaFileProblem, TrustError, check_ca_file, https_client_config, store_client_config, tls_client_builder,
};
