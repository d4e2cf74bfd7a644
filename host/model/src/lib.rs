//! What the crates of the host speak about: the names of services, tables and tenants, the limits of a call,
//! secrets, text that is shown, the codes of errors, and what is counted while services work.
//!
//! Plain values. Nothing here opens a connection, and nothing writes a line or a page: who counts is given a
//! counter of [`metrics`], who shows it reads that.
//!
//! ```
//! use collector_model::{CallLimit, Identity, Limits, Table};
//!
//! let identity = Identity::new("cloudsek", "cloudsek_1", "alerts")?;
//! assert_eq!(identity.to_string(), "cloudsek;cloudsek_1;alerts");
//!
//! let table: Table = "drp.cloudsek.xvigil.alerts".parse()?;
//! assert!("a table: with a colon".parse::<Table>().is_err());
//!
//! let limits = Limits { requests: 40, ..Limits::default() };
//! assert_eq!((CallLimit::Requests.key(), limits.amount(CallLimit::Requests.into())), ("requests", 40));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(missing_docs)]

mod call_bounds;
mod compilation;
pub mod error_code;
mod identity;
mod known_secrets;
mod limits;
pub mod metrics;
mod name;
mod printable;
mod secret;
mod table;
mod tenant_name;

pub use call_bounds::CallBounds;
pub use compilation::CompilationLimits;
pub use error_code::ErrorCode;
pub use identity::{Identity, IdentityError};
pub use known_secrets::KnownSecrets;
pub use limits::{CallLimit, Limit, Limits};
pub use name::{Name, NameError};
pub use printable::printable;
pub use secret::{Secret, SecretError};
pub use table::{LONGEST_TABLE, Table, TableError};
pub use tenant_name::TenantName;
