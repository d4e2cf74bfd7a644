//! A network: a block of addresses, written as `203.0.113.0/24`.

use std::net::IpAddr;
use std::str::FromStr;

use serde::Deserialize;
use thiserror::Error;

use super::address::embedded_v4;

/// A block of addresses. Bits of the address behind the prefix don't count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text that is no network.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is no network, such as 203.0.113.0/24, 2001:db8::/32, or an address by itself")]
pub struct NetworkError(String);

impl Network {
    /// Whether an address is in it. An IPv4 address within an IPv6 one counts as well: that is where it
    /// leads.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (network, prefix) = (self.address, u32::from(self.prefix));
        let is_in = |address: IpAddr| match (network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()).checked_shr(32 - prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()).checked_shr(128 - prefix).unwrap_or(0) == 0
            }
            _ => false,
        };
        let inner = match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => embedded_v4(address),
        };
        is_in(address) || inner.is_some_and(|inner| is_in(inner.into()))
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError(text.to_owned());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), |prefix| prefix.parse().map_err(|_| wrong()))?;
        if prefix > longest { Err(wrong()) } else { Ok(Self { address, prefix }) }
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn an_address_is_in_the_networks_that_its_first_bits_are_of() {
        for (network, address) in [
            ("8.8.8.0/24", "8.8.8.255"),
            ("8.8.8.7/24", "8.8.8.0"),
            ("8.8.8.8", "8.8.8.8"),
            ("0.0.0.0/0", "255.1.2.3"),
            ("2606:4700::/32", "2606:4700:ffff::1"),
            ("::/0", "2606::1"),
            ("8.8.8.0/24", "::ffff:8.8.8.8"),
            ("8.8.8.0/24", "64:ff9b::8.8.8.8"),
            ("8.8.8.0/24", "2002:808:808::1"),
        ] {
            assert!(contains(network, address), "{network} {address}");
        }
        for (network, address) in [
            ("8.8.8.0/24", "8.8.9.0"),
            ("8.8.8.8", "8.8.8.9"),
            ("2606:4700::/32", "2606:4701::"),
            ("0.0.0.0/0", "2606::1"),
            ("::/0", "1.1.1.1"),
        ] {
            assert!(!contains(network, address), "{network} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "8.8.8", "8.8.8.0/33", "::/129", "8.8.8.0/-1", "8.8.8.0/", "8.8.8.0/24/1", "example.com"] {
            assert!(text.parse::<Network>().is_err(), "{text:?}");
        }
    }
}
