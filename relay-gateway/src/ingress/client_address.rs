//! Whose address a request is counted under.

use std::net::IpAddr;

use http::HeaderMap;

use crate::config::{List, Network};

/// The nearest address that is not a trusted proxy's: `X-Forwarded-For` is read from the right, as far as it was
/// written by hosts we trust. Without trusted proxies it is the peer's, whatever the header claims.
pub(super) fn behind_proxies(peer: IpAddr, headers: &HeaderMap, trusted: &List<Network>) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.0.iter().any(|network| network.0.contains(&address.to_canonical()));
    let mut nearest = peer;
    if !is_trusted(nearest) {
        return nearest;
    }
    let hops: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .collect();
    for hop in hops.into_iter().rev() {
        let Ok(address) = hop.trim().parse() else { break };
        nearest = address;
        if !is_trusted(nearest) {
            break;
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        let trusted: List<Network> = "10.0.0.0/8".parse().expect("a network");
        let address = |text: &str| -> IpAddr { text.parse().expect("an address") };
        let forwarded = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", HeaderValue::from_str(text).expect("a header"));
            headers
        };
        for (peer, header, expected) in [
            ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
            ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
            ("10.0.0.1", "nonsense", "10.0.0.1"),
            ("10.0.0.1", "6.6.6.6, nonsense, 10.0.0.2", "10.0.0.2"),
        ] {
            assert_eq!(behind_proxies(address(peer), &forwarded(header), &trusted), address(expected), "{header}");
        }
    }
}
