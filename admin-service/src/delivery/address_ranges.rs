//! Which addresses are on the internet: the IANA special-purpose registries (RFC 6890), read strictly.
//!
//! IPv4 is refused by a list. IPv6 is allowed by one: only `2000::/3` is in use, so what is invented elsewhere is refused already.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::refused::Refused;

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix_len: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix_len)
}

/// A network by its first four groups: all that are listed differ within these.
const fn v6(a: u16, b: u16, c: u16, d: u16, prefix_len: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix_len)
}

/// Every refused network of IPv4. Of two that contain an address, the first names it.
const V4: [(Ipv4Net, &str); 20] = [
    (v4(0, 0, 0, 0, 8), "an address of this network"),
    (v4(10, 0, 0, 0, 8), "a private address"),
    (v4(100, 64, 0, 0, 10), "a shared address of a carrier's network"),
    (v4(127, 0, 0, 0, 8), "a loopback address"),
    (v4(169, 254, 0, 0, 16), "a link-local address"),
    (v4(172, 16, 0, 0, 12), "a private address"),
    (v4(192, 0, 0, 0, 24), "a reserved address"),
    (v4(192, 0, 2, 0, 24), "an address for documentation"),
    (v4(192, 31, 196, 0, 24), "a reserved address"),
    (v4(192, 52, 193, 0, 24), "a reserved address"),
    (v4(192, 88, 99, 0, 24), "a reserved address"),
    (v4(192, 168, 0, 0, 16), "a private address"),
    (v4(192, 175, 48, 0, 24), "a reserved address"),
    (v4(198, 18, 0, 0, 15), "an address for benchmarks"),
    (v4(198, 51, 100, 0, 24), "an address for documentation"),
    (v4(203, 0, 113, 0, 24), "an address for documentation"),
    (v4(224, 0, 0, 0, 4), "a multicast address"),
    (v4(255, 255, 255, 255, 32), "the broadcast address"),
    (v4(240, 0, 0, 0, 4), "a reserved address"),
    // A public address, behind which one cloud answers its own machines.
    (v4(168, 63, 129, 16, 32), "the metadata address of a cloud"),
];

/// The part of IPv6 that is in use.
const V6_IN_USE: Ipv6Net = v6(0x2000, 0, 0, 0, 3);

/// Refused networks of IPv6: those inside [`V6_IN_USE`], and those outside it that have a name.
const V6: [(Ipv6Net, &str); 16] = [
    (v6(0x2001, 0, 0, 0, 23), "a reserved address"),
    (v6(0x2001, 0xdb8, 0, 0, 32), "an address for documentation"),
    (v6(0x2002, 0, 0, 0, 16), "a 6to4 address"),
    (v6(0x2620, 0x4f, 0x8000, 0, 48), "a reserved address"),
    (v6(0x3fff, 0, 0, 0, 20), "an address for documentation"),
    (Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128), "the unspecified address"),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), "the loopback address"),
    (v6(0, 0, 0, 0, 96), "an IPv4-compatible address"),
    (v6(0x64, 0xff9b, 0, 0, 96), "a NAT64 address"),
    (v6(0x64, 0xff9b, 1, 0, 48), "a NAT64 address"),
    (v6(0x100, 0, 0, 0, 64), "a discard address"),
    (v6(0x5f00, 0, 0, 0, 16), "a segment-routing address"),
    (v6(0xfc00, 0, 0, 0, 7), "a private address"),
    (v6(0xfe80, 0, 0, 0, 10), "a link-local address"),
    (v6(0xfec0, 0, 0, 0, 10), "a site-local address"),
    (v6(0xff00, 0, 0, 0, 8), "a multicast address"),
];

/// Passes an address that the whole internet reaches. An IPv4-mapped IPv6 address is judged as the IPv4 address in it.
///
/// # Errors
/// [`Refused`], with what kind of address it is.
pub(super) fn check_public(address: IpAddr) -> Result<(), Refused> {
    let refused = |network, kind| Err(Refused::Address { address, kind, network });
    match address.to_canonical() {
        IpAddr::V4(v4) => match V4.iter().find(|(network, _)| network.contains(&v4)) {
            Some((network, kind)) => refused(IpNet::V4(*network), kind),
            None => Ok(()),
        },
        IpAddr::V6(v6) => match V6.iter().find(|(network, _)| network.contains(&v6)) {
            Some((network, kind)) => refused(IpNet::V6(*network), kind),
            None if V6_IN_USE.contains(&v6) => Ok(()),
            None => Err(Refused::NotPublic(address)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str) -> Result<(), Refused> {
        check_public(address.parse().expect("an address"))
    }

    #[test]
    fn both_ends_of_every_refused_network_are_refused() {
        let v4 = V4.iter().flat_map(|(net, _)| [IpAddr::V4(net.network()), IpAddr::V4(net.broadcast())]);
        let v6 = V6.iter().flat_map(|(net, _)| [IpAddr::V6(net.network()), IpAddr::V6(net.broadcast())]);
        for address in v4.chain(v6) {
            assert!(check_public(address).is_err(), "{address}");
        }
    }

    #[test]
    fn neighbours_of_refused_networks_are_public() {
        for address in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "203.0.114.0",
            "223.255.255.255",
            "168.63.129.15",
            "8.8.8.8",
            "::ffff:8.8.8.8",
            "2000::1",
            "2001:200::",
            "2001:4860:4860::8888",
            "2001:db7:ffff::",
            "2001:db9::",
            "2003::",
            "2606:4700::1111",
            "3ffe::1",
            "3fff:1000::",
        ] {
            assert_eq!(check(address), Ok(()), "{address}");
        }
    }

    #[test]
    fn ipv6_outside_the_part_in_use_is_refused() {
        for address in
            ["1::", "64:ff9b:2::", "200::1", "1fff:ffff::", "4000::", "8000::", "e000::", "fe00::", "100:0:0:1::"]
        {
            assert!(matches!(check(address), Err(Refused::NotPublic(_))), "{address}");
        }
    }

    #[test]
    fn refusals_name_the_kind_of_address() {
        for (address, words) in [
            ("10.0.0.1", "10.0.0.1 is a private address (10.0.0.0/8)"),
            ("::ffff:127.0.0.1", "::ffff:127.0.0.1 is a loopback address (127.0.0.0/8)"),
            ("169.254.169.254", "169.254.169.254 is a link-local address (169.254.0.0/16)"),
            ("255.255.255.255", "255.255.255.255 is the broadcast address (255.255.255.255/32)"),
            ("fd00:ec2::254", "fd00:ec2::254 is a private address (fc00::/7)"),
            ("::127.0.0.1", "::7f00:1 is an IPv4-compatible address (::/96)"),
            ("4000::", "4000:: is not a public address: those are in 2000::/3"),
        ] {
            assert_eq!(check(address).expect_err(address).to_string(), words);
        }
    }
}
