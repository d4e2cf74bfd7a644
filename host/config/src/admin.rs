//! Where the operator looks at a process, and who else may.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

/// What the operator decides about metrics, health and the status page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdminSettings {
    /// Where they are served, if anywhere.
    pub address: Option<AdminAddress>,
    /// Names of the machine by which they may be asked for, besides its addresses and `localhost`.
    pub names: Vec<String>,
    /// A file with a token without which nothing is shown.
    pub token_file: Option<PathBuf>,
}

/// An address, such as `127.0.0.1:9464` or `unix:/run/collector.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum AdminAddress {
    /// An address of the network.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl FromStr for AdminAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("unix: is followed by the path of a socket".to_owned()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp).map_err(|_| {
                format!("{text:?} is neither an IP address with a port, such as 127.0.0.1:9464, nor unix:/path")
            }),
        }
    }
}

impl TryFrom<String> for AdminAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for text in ["127.0.0.1:9464", "[::1]:1", "unix:/run/collector.sock", "unix:admin"] {
            assert_eq!(text.parse::<AdminAddress>().unwrap().to_string(), text);
        }
        for text in ["", "9464", "localhost:9464", "unix:", "/run/collector.sock"] {
            assert!(text.parse::<AdminAddress>().is_err(), "{text:?}");
        }
    }
}
