//! Which addresses a peer may live at. A host name is in the hands of whoever runs its DNS: without this
//! check a name could lead into the collector's own network, for example to a cloud's metadata service at
//! 169.254.169.254 that hands out credentials. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use thiserror::Error;

use super::network::Network;

/// None of a host's addresses is permitted; this is the first of them.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{address} is a {range} address, which is not permitted")]
pub struct RefusedAddress {
    /// The address.
    pub address: IpAddr,
    /// What it is reserved for.
    pub range: AddressRange,
}

/// Which addresses may be connected to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// The operator's permission for private networks.
    pub allow_private: bool,
    /// Networks that nobody may connect to, whatever else is permitted.
    pub denied: Arc<[Network]>,
}

impl AddressPolicy {
    /// The range that counts for an address.
    pub fn range(&self, address: IpAddr) -> AddressRange {
        let is_denied = self.denied.iter().any(|network| network.contains(address));
        if is_denied { AddressRange::Denied } else { AddressRange::of(address) }
    }
}

/// Whatever is not denied, private networks included or not.
impl From<bool> for AddressPolicy {
    fn from(allow_private: bool) -> Self {
        Self { allow_private, denied: Arc::default() }
    }
}

/// The addresses that may be connected to.
///
/// # Errors
/// None may.
pub fn permitted(addresses: Vec<SocketAddr>, policy: &AddressPolicy) -> Result<Vec<SocketAddr>, RefusedAddress> {
    let mut refused = None;
    let mut allowed = Vec::with_capacity(addresses.len());
    for socket_address in addresses {
        let address = socket_address.ip();
        let range = policy.range(address);
        if range.is_allowed(policy.allow_private) {
            allowed.push(socket_address);
        } else {
            refused.get_or_insert(RefusedAddress { address, range });
        }
    }
    match refused {
        Some(refused) if allowed.is_empty() => Err(refused),
        _ => Ok(allowed),
    }
}

/// What an address is reserved for, after the registries of IANA (RFC 6890 and its successors).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressRange {
    /// Reachable over the Internet.
    Public,
    /// This machine: 127.0.0.0/8, ::1.
    Loopback,
    /// This network segment, with the metadata services of clouds: 169.254.0.0/16, fe80::/10.
    LinkLocal,
    /// Private networks: 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, the local NAT64 prefix 64:ff9b:1::/48.
    Private,
    /// Addresses shared behind a provider's NAT: 100.64.0.0/10. Some clouds have their metadata service here.
    CarrierNat,
    /// The private networks of IPv6: fc00::/7.
    UniqueLocal,
    /// Their deprecated predecessor: fec0::/10.
    SiteLocal,
    /// "No address": 0.0.0.0/8, ::. Connecting to it reaches this machine.
    Unspecified,
    /// 255.255.255.255.
    Broadcast,
    /// 224.0.0.0/4, ff00::/8.
    Multicast,
    /// Addresses of examples: 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24, 2001:db8::/32, 3fff::/20.
    Documentation,
    /// Addresses of test networks: 198.18.0.0/15, 2001:2::/48.
    Benchmarking,
    /// Set aside for protocols or for later: 240.0.0.0/4, 192.0.0.0/24, 2001::/23 and what else is not
    /// assigned.
    Reserved,
    /// In a network that the operator denies, whatever it is otherwise: see [`AddressPolicy::range`].
    Denied,
}

impl AddressRange {
    /// The range that an address belongs to. An IPv4 address wrapped in IPv6 counts as the IPv4 address: that
    /// is where a translator or the kernel would deliver it.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    /// Whether a peer may be at such an address. `allow_private` is the operator's permission for the ranges
    /// that a private network uses; it never opens those at which no server can be.
    pub fn is_allowed(self, allow_private: bool) -> bool {
        match self {
            Self::Public => true,
            Self::Loopback
            | Self::LinkLocal
            | Self::Private
            | Self::CarrierNat
            | Self::UniqueLocal
            | Self::SiteLocal => allow_private,
            Self::Unspecified
            | Self::Broadcast
            | Self::Multicast
            | Self::Documentation
            | Self::Benchmarking
            | Self::Reserved
            | Self::Denied => false,
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [0, ..] => Self::Unspecified,
            [127, ..] => Self::Loopback,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Self::Private,
            [100, 64..=127, ..] => Self::CarrierNat,
            [169, 254, ..] => Self::LinkLocal,
            [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Self::Documentation,
            [198, 18..=19, ..] => Self::Benchmarking,
            [192, 0, 0, _] | [192, 88, 99, _] => Self::Reserved,
            [255, 255, 255, 255] => Self::Broadcast,
            [224..=239, ..] => Self::Multicast,
            [240..=255, ..] => Self::Reserved,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if let Some(inner) = embedded_v4(address) {
            return Self::of_v4(inner);
        }
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0] => Self::Unspecified,
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            [0x64, 0xff9b, 1, ..] => Self::Private,
            [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Self::Documentation,
            [0x2001, 2, 0, ..] => Self::Benchmarking,
            [0x2001, 0..=0x1ff, ..] => Self::Reserved,
            [0x2000..=0x3fff, ..] => Self::Public,
            [0xfc00..=0xfdff, ..] => Self::UniqueLocal,
            [0xfe80..=0xfebf, ..] => Self::LinkLocal,
            [0xfec0..=0xfeff, ..] => Self::SiteLocal,
            [0xff00..=0xffff, ..] => Self::Multicast,
            // IANA has given out nothing outside 2000::/3.
            _ => Self::Reserved,
        }
    }
}

/// The IPv4 address that an IPv6 one leads to: v4-compatible, v4-mapped, v4-translated (RFC 2765), NAT64 and
/// 6to4.
pub(crate) fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some((u32::from(high) << 16 | u32::from(low)).into()),
        _ => None,
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Private => "private",
            Self::CarrierNat => "carrier-grade NAT",
            Self::UniqueLocal => "unique local",
            Self::SiteLocal => "site-local",
            Self::Unspecified => "unspecified",
            Self::Broadcast => "broadcast",
            Self::Multicast => "multicast",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::Reserved => "reserved",
            Self::Denied => "denied",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(address: &str) -> AddressRange {
        AddressRange::of(address.parse().unwrap())
    }

    #[test]
    fn the_edges_of_each_range_are_known() {
        use AddressRange::*;
        for (expected, addresses) in [
            (Public, &["1.1.1.1", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255"][..]),
            (Public, &["100.63.255.255", "100.128.0.0", "169.253.255.255", "198.17.255.255", "198.20.0.0"]),
            (Public, &["126.255.255.255", "128.0.0.0", "223.255.255.255", "2606:4700::1111", "2a00::1"]),
            (Loopback, &["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1", "::127.0.0.1"]),
            (LinkLocal, &["169.254.169.254", "fe80::1", "febf::1", "::ffff:169.254.169.254"]),
            (LinkLocal, &["2002:a9fe:a9fe::1", "64:ff9b::169.254.169.254", "::ffff:0:169.254.169.254"]),
            (
                Private,
                &["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255"],
            ),
            (Private, &["2002:0a00:0001::", "64:ff9b::10.0.0.1", "64:ff9b:1::1"]),
            (CarrierNat, &["100.64.0.0", "100.127.255.255", "100.100.100.200"]),
            (UniqueLocal, &["fc00::", "fd00:ec2::254", "fdff::1"]),
            (SiteLocal, &["fec0::1", "feff::1"]),
            (Unspecified, &["0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0"]),
            (Broadcast, &["255.255.255.255"]),
            (Multicast, &["224.0.0.1", "239.255.255.255", "ff02::1"]),
            (Documentation, &["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff:fff::1"]),
            (Benchmarking, &["198.18.0.0", "198.19.255.255", "2001:2::1"]),
            (Reserved, &["240.0.0.0", "255.255.255.254", "192.0.0.8", "2001::1", "4000::1", "100::1"]),
            (Public, &["::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:0101:0101::1", "2001:200::1", "3fff:1000::1"]),
        ] {
            for address in addresses {
                assert_eq!(range(address), expected, "{address}");
            }
        }
    }

    #[test]
    fn the_addresses_that_are_permitted_are_left_and_the_first_refused_one_is_named() {
        let [public, private, loopback] = ["1.1.1.1:1", "10.0.0.1:1", "127.0.0.1:1"].map(|text| text.parse().unwrap());
        assert_eq!(permitted(vec![private, public], &false.into()), Ok(vec![public]));
        assert_eq!(permitted(vec![private, loopback], &true.into()), Ok(vec![private, loopback]));
        let refused = RefusedAddress { address: "10.0.0.1".parse().unwrap(), range: AddressRange::Private };
        assert_eq!(permitted(vec![private, loopback], &false.into()), Err(refused));
    }

    #[test]
    fn a_denied_network_is_denied_whatever_is_permitted_besides() {
        let denied = ["1.1.1.0/24", "10.0.0.0/8"].map(|network| network.parse().unwrap());
        let policy = AddressPolicy { allow_private: true, denied: denied.into() };
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let given = addresses(&["1.1.1.1:1", "[::ffff:10.0.0.1]:1", "1.1.2.1:1", "192.168.0.1:1"]);
        assert_eq!(permitted(given, &policy).unwrap(), addresses(&["1.1.2.1:1", "192.168.0.1:1"]));
        let refused = permitted(addresses(&["1.1.1.1:1"]), &policy).unwrap_err();
        assert_eq!(refused.to_string(), "1.1.1.1 is a denied address, which is not permitted");
    }

    #[test]
    fn the_operators_permission_never_opens_an_address_where_no_server_can_be() {
        for address in ["0.0.0.0", "::", "255.255.255.255", "224.0.0.1", "ff02::1", "240.0.0.1"] {
            assert!(!range(address).is_allowed(true), "{address}");
        }
        for address in ["127.0.0.1", "169.254.1.1", "10.0.0.1", "100.64.0.1", "fd00::1", "fe80::1"] {
            assert!(range(address).is_allowed(true) && !range(address).is_allowed(false), "{address}");
        }
    }

    proptest! {
        #[test]
        fn wrapping_an_address_in_ipv6_never_makes_it_more_allowed(bits: u32) {
            let inner = Ipv4Addr::from(bits);
            let wrapped = [
                inner.to_ipv6_mapped(),
                Ipv6Addr::from(0x0064_ff9b_u128 << 96 | u128::from(bits)),
                Ipv6Addr::from(0x2002_u128 << 112 | u128::from(bits) << 80 | 1),
            ];
            for outer in wrapped {
                prop_assert_eq!(AddressRange::of(outer.into()), AddressRange::of(inner.into()));
            }
        }
    }
}
