//! The address that a request is counted under.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use crate::config::{List, Network};

/// The nearest address that is not a trusted proxy's. `X-Forwarded-For` and `Forwarded` (RFC 7239) are read from the right, as
/// far as they were written by hosts we trust. Without trusted proxies it is the peer's, whatever the headers claim.
///
/// A proxy writes one of the two and passes on what the other said, which anybody may have written. So where a request has both
/// and they name different clients, neither is believed, and the request counts as the proxy's.
pub(crate) fn behind_proxies(peer: IpAddr, headers: &HeaderMap, trusted: &List<Network>) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.0.iter().any(|network| network.0.contains(&address.to_canonical()));
    if !is_trusted(peer) {
        return peer;
    }
    let nearest = |hops: Vec<Option<IpAddr>>| {
        let mut nearest = peer;
        for hop in hops.into_iter().rev() {
            // `unknown`, an obfuscated name, or nonsense: all that is known is which proxy wrote it.
            let Some(address) = hop else { break };
            nearest = address;
            if !is_trusted(nearest) {
                break;
            }
        }
        nearest
    };
    let x_forwarded_for = hops(headers, "x-forwarded-for", false, |element| Some(element));
    let forwarded = hops(headers, "forwarded", true, forwarded_for);
    match (x_forwarded_for.is_empty(), forwarded.is_empty()) {
        (_, true) => nearest(x_forwarded_for),
        (true, false) => nearest(forwarded),
        (false, false) => {
            let (one, other) = (nearest(x_forwarded_for), nearest(forwarded));
            if one == other { one } else { peer }
        }
    }
}

/// The addresses of a header's elements, nearest last; `None` where an element names none.
fn hops(headers: &HeaderMap, name: &str, has_quotes: bool, node: fn(&str) -> Option<&str>) -> Vec<Option<IpAddr>> {
    let mut hops = Vec::new();
    for value in headers.get_all(name) {
        // A client may send bytes that are not ASCII on the line to which a proxy then adds its own element.
        let text = String::from_utf8_lossy(value.as_bytes());
        hops.extend(elements(&text, has_quotes).map(|element| node(element).and_then(address)));
    }
    hops
}

/// A list's elements. Where it may have quotes, commas within them separate nothing; elsewhere a quote that somebody left open must
/// not swallow what a proxy added.
fn elements(text: &str, has_quotes: bool) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |character| {
        is_quoted ^= has_quotes && character == '"';
        character == ',' && !is_quoted
    })
    .map(str::trim)
    .filter(|element| !element.is_empty())
}

/// The `for` of an element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    })
}

/// An address as proxies write it: with or without a port, brackets or quotes.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text).trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(with_port) = text.parse::<SocketAddr>() {
        return Some(with_port.ip());
    }
    // `[2001:db8::1]`, and a port that is a name (RFC 7239 allows `_obfuscated`).
    if let Some((inside, _)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return inside.parse().ok();
    }
    let (host, port) = text.split_once(':')?;
    if port.contains(':') { None } else { host.parse().ok() }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn client(peer: &str, fields: &[(&'static str, &str)]) -> IpAddr {
        let trusted: List<Network> = "10.0.0.0/8, 2001:db8:ffff::/48".parse().expect("networks");
        let mut headers = HeaderMap::new();
        for (name, text) in fields {
            headers.append(*name, HeaderValue::from_str(text).expect("a header"));
        }
        behind_proxies(address(peer), &headers, &trusted)
    }

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        for (peer, header, expected) in [
            ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
            ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
            ("10.0.0.1", "nonsense", "10.0.0.1"),
            ("10.0.0.1", "6.6.6.6, nonsense, 10.0.0.2", "10.0.0.2"),
            ("10.0.0.1", "6.6.6.6, unknown", "10.0.0.1"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", "\", 198.51.100.1", "198.51.100.1"),
        ] {
            assert_eq!(client(peer, &[("x-forwarded-for", header)]), address(expected), "{header}");
        }
    }

    #[test]
    fn an_address_is_read_in_every_form_that_proxies_write() {
        for (written, expected) in [
            ("198.51.100.1:52814", "198.51.100.1"),
            ("\"198.51.100.1:52814\"", "198.51.100.1"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:443", "2001:db8::7"),
            ("\"[2001:db8::7]:443\"", "2001:db8::7"),
            ("\"[2001:db8::7]:_port\"", "2001:db8::7"),
            ("::ffff:198.51.100.1", "::ffff:198.51.100.1"),
            (" 198.51.100.1 ", "198.51.100.1"),
        ] {
            assert_eq!(client("10.0.0.1", &[("x-forwarded-for", written)]), address(expected), "{written}");
            let forwarded = format!("for={written};proto=https;by=10.0.0.1");
            assert_eq!(client("10.0.0.1", &[("forwarded", &forwarded)]), address(expected), "{forwarded}");
        }
        for hidden in ["for=unknown", "for=_hidden", "for=\"_a,b\"", "proto=https", "for="] {
            assert_eq!(client("10.0.0.1", &[("forwarded", hidden)]), address("10.0.0.1"), "{hidden}");
        }
        let chain = "for=6.6.6.6, FOR=198.51.100.1;proto=http, for=10.0.0.2";
        assert_eq!(client("10.0.0.1", &[("forwarded", chain)]), address("198.51.100.1"));
        assert_eq!(
            client("10.0.0.1", &[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "198.51.100.1")]),
            address("198.51.100.1"),
            "two lines are one list"
        );
    }

    #[test]
    fn bytes_that_are_not_ascii_hide_no_proxys_element() {
        let trusted: List<Network> = "10.0.0.0/8".parse().expect("a network");
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_bytes(b"\xff, 198.51.100.1").expect("a header"));
        assert_eq!(behind_proxies(address("10.0.0.1"), &headers, &trusted), address("198.51.100.1"));
        // Nor do they have the client's own claim in the other header believed.
        headers.insert("forwarded", HeaderValue::from_static("for=6.6.6.6"));
        assert_eq!(behind_proxies(address("10.0.0.1"), &headers, &trusted), address("10.0.0.1"));
    }

    #[test]
    fn where_the_two_headers_differ_neither_is_believed() {
        let both = |one: &str, other: &str| client("10.0.0.1", &[("x-forwarded-for", one), ("forwarded", other)]);
        assert_eq!(both("198.51.100.1", "for=198.51.100.1"), address("198.51.100.1"));
        assert_eq!(both("6.6.6.6", "for=198.51.100.1"), address("10.0.0.1"));
        assert_eq!(both("198.51.100.1", "for=6.6.6.6"), address("10.0.0.1"));
    }
}
