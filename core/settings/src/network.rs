//! A range of IP addresses as its writer gives it: an address, or one with the length of its prefix.
//! It resolves no name.

use std::fmt;
use std::net::IpAddr;

/// Addresses with one prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// Bits that must be equal; at most as many as the address has.
    prefix: u8,
}

impl Network {
    /// Reads `10.1.0.0/16`, `fd00::/8`, or a single address. Bits beyond the prefix are passed over,
    /// as PostgreSQL does.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let digits = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = match prefix {
            Some(text) => Some(text).filter(digits)?.parse().ok().filter(|it| *it <= most)?,
            None => most,
        };
        Some(Network { address, prefix })
    }

    /// Whether an address is one of these. An IPv4 address that came by an IPv6 socket counts as
    /// what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = u32::from(own) ^ u32::from(other);
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = u128::from(own) ^ u128::from(other);
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::Network;

    #[test]
    fn an_address_is_in_the_networks_that_share_its_prefix() {
        for (network, address, expect) in [
            ("10.1.0.0/16", "10.1.255.1", true),
            ("10.1.0.0/16", "10.2.0.1", false),
            ("10.1.2.3/16", "10.1.0.1", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "192.0.2.1", false),
            ("10.0.0.0/8", "::ffff:10.9.9.9", true),
            ("fd00::/8", "fd12:3456::1", true),
            ("fd00::/8", "fe80::1", false),
            ("::1/128", "::1", true),
            ("::1", "::2", false),
        ] {
            let network = Network::parse(network).expect(network);
            assert_eq!(network.contains(address.parse().unwrap()), expect, "{network} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_not_taken_for_one() {
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/+8", "host"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
