//! Where a receiver listens: a name or an IP address, and a port.

use std::fmt;

use rustls::pki_types::ServerName;

/// A host name or an IP address, known to be well formed, with a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: ServerName<'static>,
    port: u16,
}

/// The address of an output is neither a host name nor an IP address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the address {host:?} is neither a host name nor an IP address; \
     write the name alone, such as collector-us.devo.io, without scheme, path or port"
)]
pub struct AddressError {
    /// The address as it was given.
    pub host: String,
}

impl Address {
    /// The receiver at `port` of `host`, a DNS name or an IP address (v6 without brackets).
    pub fn new(host: &str, port: u16) -> Result<Self, AddressError> {
        match ServerName::try_from(host.to_owned()) {
            Ok(host) => Ok(Self { host, port }),
            Err(_) => Err(AddressError { host: host.to_owned() }),
        }
    }

    /// The name that the server's certificate must have, which is also the one looked up.
    pub(crate) fn host(&self) -> &ServerName<'static> {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (self.host.to_str(), self.port);
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_name_or_an_ip_address() {
        assert_eq!(Address::new("collector-us.devo.io", 443).unwrap().to_string(), "collector-us.devo.io:443");
        assert_eq!(Address::new("127.0.0.1", 1).unwrap().to_string(), "127.0.0.1:1");
        assert_eq!(Address::new("::1", 1).unwrap().to_string(), "[::1]:1");
    }

    #[test]
    fn a_url_is_not_an_address() {
        for host in ["https://collector-us.devo.io", "collector-us.devo.io:443", "", "a b"] {
            let error = Address::new(host, 443).unwrap_err();
            assert!(error.to_string().contains("without scheme"), "{error}");
        }
    }
}
