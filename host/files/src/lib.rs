//! The one way of the host to a file that a configuration names or that belongs to a tenant: opened beneath
//! the tenant's folder, a regular file, and read up to a bound.
//!
//! A tenant may change its folder at any moment, so that what was checked by a path need not be what is
//! opened by it later. Here nothing is checked by a path: a [`Root`] is an open folder, a [`RootedPath`] is a
//! name beneath it, and each use opens that name anew, in one system call that leads nowhere else, and then
//! looks at what it has opened. A `RootedPath` can't be turned into a file in another way, and there is no
//! way to read one without a bound.
//!
//! The operator's own files have an unrestricted root: names lead anywhere, and pipes, devices and files that
//! are too large are refused all the same.
//!
//! What is made or grows says how much that is going to be: a tenant's folder may have a quota
//! ([`Root::of_tenants`]).
//!
//! Even a regular file may keep its reader waiting, on a network file system. What may block runs on
//! [`Threads`], of which each tenant has a share; a root knows whose it is.
//!
//! ```
//! use collector_files::{Refusal, Root};
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! std::fs::create_dir(folder.join("acme"))?;
//! std::fs::write(folder.join("acme/token"), "t0ken")?;
//! std::fs::write(folder.join("neighbour"), "secret")?;
//!
//! let acme = Root::confined(&folder.join("acme"))?;
//! let token = acme.join("token");
//! assert_eq!(token.read(1024)?, b"t0ken");
//!
//! // The same name leads elsewhere now.
//! std::fs::remove_file(folder.join("acme/token"))?;
//! std::os::unix::fs::symlink("../neighbour", folder.join("acme/token"))?;
//! assert_eq!(Refusal::of(&token.read(1024).unwrap_err()), Some(&Refusal::Outside));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(missing_docs)]

mod directory;
mod path;
mod refusal;
mod root;
mod space;
mod threads;

pub use directory::Directory;
pub use path::RootedPath;
pub use refusal::Refusal;
pub use root::Root;
pub use threads::{NoThread, Threads, Turn, Work};
