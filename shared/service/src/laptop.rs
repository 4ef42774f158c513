//! What belongs to a laptop (PROTOCOL.md, section 1): conveniences that must not face the internet, such as the admin API on the
//! relay's own address, or `/demo`.
//!
//! One rule for all of them. Unset, such a setting is on where the listener is loopback and neither `relay_url` nor
//! `trusted_proxies` is set. A proxy before a loopback listener is the internet too, so by default a request that says that it
//! came through one does not reach them.

use std::net::SocketAddr;

use http::HeaderMap;

/// Whether a deployment looks like one that only its own machine reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Laptop(bool);

impl Laptop {
    /// Judges a public listener by its address, and by whether its settings speak of browsers or proxies elsewhere.
    #[must_use]
    pub fn new(listen: SocketAddr, has_relay_url: bool, has_trusted_proxies: bool) -> Self {
        Self(listen.ip().to_canonical().is_loopback() && !has_relay_url && !has_trusted_proxies)
    }

    /// What a setting of this kind amounts to: as it is set, or by the rule.
    #[must_use]
    pub fn exposure(self, set: Option<bool>) -> Exposure {
        match set {
            Some(true) => Exposure::On,
            Some(false) => Exposure::Off,
            None if self.0 => Exposure::Direct,
            None => Exposure::Off,
        }
    }
}

/// Which requests may reach what belongs to a laptop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// None.
    Off,
    /// Those that no proxy claims to have passed on: what is on without being set.
    Direct,
    /// All: the setting says so.
    On,
}

impl Exposure {
    /// Whether a request with these headers may reach it.
    #[must_use]
    pub fn admits(self, headers: &HeaderMap) -> bool {
        match self {
            Self::Off => false,
            Self::Direct => !is_forwarded(headers),
            Self::On => true,
        }
    }
}

/// Whether a proxy passed the request on, as far as its headers tell: `Forwarded` or any `X-Forwarded-*`.
fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name == http::header::FORWARDED || name.as_str().starts_with("x-forwarded-"))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn unset_it_is_on_only_where_nobody_else_reaches_it() {
        let exposure =
            |listen: &str, url, proxies| Laptop::new(listen.parse().expect("an address"), url, proxies).exposure(None);
        for loopback in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(exposure(loopback, false, false), Exposure::Direct, "{loopback}");
            assert_eq!(exposure(loopback, true, false), Exposure::Off, "{loopback} with relay_url");
            assert_eq!(exposure(loopback, false, true), Exposure::Off, "{loopback} with trusted_proxies");
        }
        for elsewhere in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
            assert_eq!(exposure(elsewhere, false, false), Exposure::Off, "{elsewhere}");
        }
    }

    #[test]
    fn set_it_is_as_set() {
        for laptop in [Laptop(true), Laptop(false)] {
            assert_eq!(laptop.exposure(Some(true)), Exposure::On);
            assert_eq!(laptop.exposure(Some(false)), Exposure::Off);
        }
    }

    #[test]
    fn what_a_proxy_passed_on_reaches_it_only_where_that_is_set() {
        let with =
            |name: &'static str| HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static("x"))]);
        for name in ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-anything"] {
            assert!(!Exposure::Direct.admits(&with(name)), "{name}");
            assert!(Exposure::On.admits(&with(name)), "{name}");
        }
        for headers in [HeaderMap::new(), with("host"), with("x-forward"), with("x-request-id")] {
            assert!(Exposure::Direct.admits(&headers) && !Exposure::Off.admits(&headers), "{headers:?}");
        }
    }
}
