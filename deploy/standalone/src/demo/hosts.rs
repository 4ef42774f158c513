//! Which hosts a page of this machine answers under. A name that somebody else's DNS points at loopback (DNS rebinding) would let
//! that somebody's page read it: to the browser both are one origin.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, Uri, header, uri::Authority};
use relay_gateway::config::HttpUrl;
use url::Host;

/// The hosts that are the listener's own.
#[derive(Clone, Debug)]
pub(crate) struct OwnHosts {
    listener: SocketAddr,
    /// The host and port that `relay_url` says.
    public: Option<(Host<String>, u16)>,
}

impl OwnHosts {
    pub(crate) fn new(listener: SocketAddr, relay_url: Option<&HttpUrl>) -> Self {
        let public = relay_url.and_then(|url| {
            let url = url.as_url();
            Some((url.host()?.to_owned(), url.port_or_known_default()?))
        });
        Self { listener, public }
    }

    /// Whether a request was made to one of them. A URL with a host wins over the `Host` header (RFC 9112, section 3.2.2).
    pub(crate) fn has(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let named = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let authority = uri.authority().cloned().or_else(|| named.and_then(|host| host.parse().ok()));
        authority.is_some_and(|authority| self.is_own(&authority))
    }

    fn is_own(&self, authority: &Authority) -> bool {
        // What has a user is no Host header of a browser's.
        if authority.as_str().contains('@') {
            return false;
        }
        let Ok(host) = Host::parse(authority.host()) else { return false };
        let port = authority.port_u16();
        let is_public = self.public.as_ref().is_some_and(|(public, its_port)| {
            *public == host && port.map_or([80, 443].contains(its_port), |it| it == *its_port)
        });
        is_public || (port.unwrap_or(80) == self.listener.port() && self.is_listeners(&host))
    }

    fn is_listeners(&self, host: &Host<String>) -> bool {
        let address: IpAddr = match host {
            Host::Ipv4(address) => (*address).into(),
            Host::Ipv6(address) => (*address).into(),
            // Browsers never ask DNS for these (RFC 6761).
            Host::Domain(name) => return name == "localhost" || name.ends_with(".localhost"),
        };
        // On all addresses, any number is this machine's, or it would not be here; DNS gives out names, not numbers.
        let (address, own) = (address.to_canonical(), self.listener.ip().to_canonical());
        address.is_loopback() || address == own || own.is_unspecified()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn has(listener: &str, relay_url: Option<&str>, host: &str) -> bool {
        let url = relay_url.map(|url| url.parse::<HttpUrl>().expect("a URL"));
        let hosts = OwnHosts::new(listener.parse().expect("an address"), url.as_ref());
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_str(host).expect("a value"))]);
        hosts.has(&Uri::from_static("/demo"), &headers)
    }

    #[test]
    fn a_listener_answers_under_its_own_hosts_alone() {
        for own in [
            "127.0.0.1:7811",
            "localhost:7811",
            "LOCALHOST:7811",
            "shop.localhost:7811",
            "[::1]:7811",
            "127.0.0.2:7811",
        ] {
            assert!(has("127.0.0.1:7811", None, own), "{own}");
        }
        for foreign in [
            "evil.example:7811",
            "127.0.0.1.evil.example:7811",
            "localhost.evil.example:7811",
            "localhost:7812",
            "localhost",
            "192.168.0.7:7811",
            "user@localhost:7811",
            "localhost:7811@evil.example",
            "",
            ":7811",
            "localhost:78111111",
            "\u{e9}vil",
        ] {
            assert!(!has("127.0.0.1:7811", None, foreign), "{foreign}");
        }
        assert!(has("127.0.0.1:80", None, "localhost") && !has("127.0.0.1:80", None, "localhost:81"));
        assert!(
            has("192.168.0.7:7811", None, "192.168.0.7:7811") && !has("192.168.0.7:7811", None, "192.168.0.8:7811")
        );
        assert!(has("0.0.0.0:7811", None, "192.168.0.8:7811") && !has("0.0.0.0:7811", None, "evil.example:7811"));
    }

    #[test]
    fn relay_url_says_another() {
        let url = Some("https://Chat.Example.com/relay");
        for own in ["chat.example.com", "chat.example.com:443", "127.0.0.1:7811"] {
            assert!(has("127.0.0.1:7811", url, own), "{own}");
        }
        for foreign in ["chat.example.com:7811", "example.com", "x.chat.example.com"] {
            assert!(!has("127.0.0.1:7811", url, foreign), "{foreign}");
        }
        assert!(
            has("127.0.0.1:1", Some("http://chat:8080"), "chat:8080")
                && !has("127.0.0.1:1", Some("http://chat:8080"), "chat")
        );
    }

    #[test]
    fn a_whole_url_wins_over_the_header() {
        let hosts = OwnHosts::new("127.0.0.1:7811".parse().expect("an address"), None);
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("localhost:7811"))]);
        assert!(!hosts.has(&Uri::from_static("http://evil.example:7811/demo"), &headers));
        assert!(!hosts.has(&Uri::from_static("/demo"), &HeaderMap::new()));
    }
}
