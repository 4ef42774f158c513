//! Browser origins, and what a tenant or a widget key allows of them (PROTOCOL.md, sections 3 and 5).
//!
//! Owns the grammar and the matching. Where an origin came from, and what follows from a match, is the caller's.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};
use url::Host;

/// Why a text is not an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrigin {
    /// Nothing to read.
    #[error("is empty; write scheme://host[:port]")]
    Empty,
    /// No `://`, or what stands before it is not a scheme.
    #[error("needs a scheme: write scheme://host[:port], such as https://shop.example.com")]
    Scheme,
    /// Something follows the host and port.
    #[error("must end after host and port: no path, no query, no trailing slash")]
    Trailing,
    /// A user or password.
    #[error("must not hold a user name or password")]
    UserInfo,
    /// The host is empty or not one a browser would send.
    #[error("has no valid host name")]
    Host,
    /// The port is not 1 to 65535.
    #[error("has a port that is not a number from 1 to 65535")]
    Port,
    /// A `*` anywhere but as the whole first label.
    #[error("may use * only as the whole first label, as in https://*.example.com")]
    Wildcard,
    /// `*.com`: everyone's.
    #[error("is too wide: a wildcard needs at least two labels after it, as in https://*.example.com")]
    TooWide,
    /// Longer than any host name and port.
    #[error("is longer than 300 characters")]
    TooLong,
}

const LONGEST: usize = 300;

/// What one page's browser sends in `Origin`: scheme, host and port, normalised.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Origin {
    /// Whether its pages are this machine's own: http or https at a loopback address, `localhost`, or a name under it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self.scheme.as_str(), "http" | "https")
            && match Host::parse(&self.host) {
                Ok(Host::Ipv4(address)) => address.is_loopback(),
                Ok(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
                Ok(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
                Err(_) => false,
            }
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let (scheme, host, port) = split(text)?;
        Ok(Self { host: normalise_host(&scheme, host)?, port: drop_default(&scheme, port), scheme })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, &self.scheme, "", &self.host, self.port)
    }
}

/// An origin a tenant allows: exact, or `scheme://*.host[:port]`, which matches one or more labels under
/// `host` and never `host` itself.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct OriginPattern {
    /// The origin, or the one under which all are allowed.
    origin: Origin,
    wildcard: bool,
}

impl OriginPattern {
    /// Whether a page of this origin is allowed.
    #[must_use]
    pub fn matches(&self, origin: &Origin) -> bool {
        self.origin.scheme == origin.scheme && self.origin.port == origin.port && self.matches_host(&origin.host)
    }

    /// Of a wildcard among hosts of the DNS, the name under which all are allowed. An app's own scheme has no such hosts.
    #[must_use]
    pub fn wildcard_domain(&self) -> Option<&str> {
        (self.wildcard && is_special(&self.origin.scheme)).then_some(self.origin.host.as_str())
    }

    fn matches_host(&self, host: &str) -> bool {
        if !self.wildcard {
            return self.origin.host == host;
        }
        host.strip_suffix(self.origin.host.as_str())
            .and_then(|under| under.strip_suffix('.'))
            .is_some_and(|labels| !labels.is_empty())
    }
}

impl FromStr for OriginPattern {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let (scheme, host, port) = split(text)?;
        let (wildcard, host) = match host.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, host),
        };
        if host.contains('*') {
            return Err(InvalidOrigin::Wildcard);
        }
        let host = normalise_host(&scheme, host)?;
        if wildcard && !is_domain_of_two_labels(&host) {
            return Err(InvalidOrigin::TooWide);
        }
        Ok(Self { origin: Origin { host, port: drop_default(&scheme, port), scheme }, wildcard })
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { scheme, host, port } = &self.origin;
        write(f, scheme, if self.wildcard { "*." } else { "" }, host, *port)
    }
}

impl Serialize for OriginPattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OriginPattern {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A host name whose pages may carry a widget key, over http or https and on any port; or `*.` and one under which all may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain(OriginPattern);

impl Domain {
    /// Whether a page of this origin is one of the domain's.
    #[must_use]
    pub fn matches(&self, origin: &Origin) -> bool {
        matches!(origin.scheme.as_str(), "http" | "https") && self.0.matches_host(&origin.host)
    }

    /// Of a wildcard, the name under which all are allowed.
    #[must_use]
    pub fn wildcard_domain(&self) -> Option<&str> {
        self.0.wildcard_domain()
    }
}

impl FromStr for Domain {
    type Err = InvalidOrigin;

    /// Reads a host name by the rules of origins: what no browser would send is refused.
    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        if text.contains(['/', ':', '@']) {
            return Err(InvalidOrigin::Host);
        }
        format!("https://{text}").parse().map(Self)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.0.wildcard { "*." } else { "" }, self.0.origin.host)
    }
}

/// The pages that may use a widget key: the one policy of session creation, CORS and sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginPolicy {
    /// What the tenant allows.
    pub origins: Vec<OriginPattern>,
    /// What the widget key allows; where it names any, they stand instead of the tenant's.
    pub domains: Vec<Domain>,
}

impl OriginPolicy {
    /// Whether a page of this origin is let in. Where nothing is allowed, none is.
    #[must_use]
    pub fn allows(&self, origin: &Origin) -> bool {
        if self.domains.is_empty() {
            self.origins.iter().any(|pattern| pattern.matches(origin))
        } else {
            self.domains.iter().any(|domain| domain.matches(origin))
        }
    }
}

fn write(f: &mut fmt::Formatter<'_>, scheme: &str, wildcard: &str, host: &str, port: Option<u16>) -> fmt::Result {
    write!(f, "{scheme}://{wildcard}{host}")?;
    port.map_or(Ok(()), |port| write!(f, ":{port}"))
}

/// Scheme (lower-cased), host (as written) and port.
fn split(text: &str) -> Result<(String, &str, Option<u16>), InvalidOrigin> {
    if text.is_empty() {
        return Err(InvalidOrigin::Empty);
    }
    if text.len() > LONGEST {
        return Err(InvalidOrigin::TooLong);
    }
    let (scheme, rest) = text.split_once("://").ok_or(InvalidOrigin::Scheme)?;
    let well_formed = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !well_formed {
        return Err(InvalidOrigin::Scheme);
    }
    if rest.contains(['/', '?', '#', '\\']) {
        return Err(InvalidOrigin::Trailing);
    }
    if rest.contains('@') {
        return Err(InvalidOrigin::UserInfo);
    }
    // An IPv6 address holds colons of its own, inside brackets.
    let host_end = if rest.starts_with('[') {
        rest.find(']').ok_or(InvalidOrigin::Host)? + 1
    } else {
        rest.find(':').unwrap_or(rest.len())
    };
    let (host, port) = rest.split_at(host_end);
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port != 0).ok_or(InvalidOrigin::Port)?)
        }
        _ => return Err(InvalidOrigin::Port),
    };
    Ok((scheme.to_ascii_lowercase(), host, port))
}

/// The host as a browser writes it. The schemes browsers treat specially follow the URL standard (IDNA, IPv4
/// numbers, IPv6); an app's own scheme has an opaque name of letters, digits, dots, hyphens and underscores.
fn normalise_host(scheme: &str, host: &str) -> Result<String, InvalidOrigin> {
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(InvalidOrigin::Host);
    }
    if is_special(scheme) || host.starts_with('[') {
        let parsed = Host::parse(host).map_err(|_| InvalidOrigin::Host)?;
        if let Host::Domain(name) = &parsed
            && (name.len() > 253 || name.split('.').any(str::is_empty) || name.contains('*'))
        {
            return Err(InvalidOrigin::Host);
        }
        return Ok(parsed.to_string());
    }
    let opaque = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if opaque { Ok(host.to_ascii_lowercase()) } else { Err(InvalidOrigin::Host) }
}

fn is_special(scheme: &str) -> bool {
    default_port(scheme).is_some()
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        "ftp" => Some(21),
        _ => None,
    }
}

fn drop_default(scheme: &str, port: Option<u16>) -> Option<u16> {
    port.filter(|port| default_port(scheme) != Some(*port))
}

fn is_domain_of_two_labels(host: &str) -> bool {
    host.parse::<std::net::Ipv4Addr>().is_err()
        && !host.starts_with('[')
        && host.split('.').filter(|label| !label.is_empty()).count() >= 2
        && !host.starts_with('.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    fn pattern(text: &str) -> OriginPattern {
        text.parse().expect(text)
    }

    fn origin(text: &str) -> Origin {
        text.parse().expect(text)
    }

    #[test]
    fn an_origin_is_written_as_a_browser_writes_it() {
        for (written, normal) in [
            ("https://shop.demo.com", "https://shop.demo.com"),
            ("HTTPS://Shop.Demo.COM:443", "https://shop.demo.com"),
            ("http://localhost:80", "http://localhost"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("app://bloonio_chat_flutter", "app://bloonio_chat_flutter"),
            ("App://Bloonio_Chat_Flutter", "app://bloonio_chat_flutter"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("http://[::1]:7811", "http://[::1]:7811"),
            ("http://[0:0::1]", "http://[::1]"),
            ("http://127.1", "http://127.0.0.1"),
            ("https://*.Example.com:8443", "https://*.example.com:8443"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ] {
            assert_eq!(pattern(written).to_string(), normal);
        }
    }

    #[test]
    fn local_pages_are_told_from_all_others() {
        for local in [
            "http://localhost",
            "http://LOCALHOST:8000",
            "https://shop.localhost",
            "http://127.0.0.1:7811",
            "http://127.1",
            "http://[::1]:7811",
            "http://[::ffff:127.0.0.1]",
        ] {
            assert!(origin(local).is_local(), "{local}");
        }
        for elsewhere in [
            "https://shop.demo.com",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://notlocalhost",
            "http://192.168.0.7",
            "http://0.0.0.0",
            "http://[::]",
            "app://localhost",
            "ws://localhost",
        ] {
            assert!(!origin(elsewhere).is_local(), "{elsewhere}");
        }
    }

    #[test]
    fn anything_else_is_refused_and_says_why() {
        use InvalidOrigin as E;
        for (hostile, why) in [
            ("", E::Empty),
            ("shop.demo.com", E::Scheme),
            ("//shop.demo.com", E::Scheme),
            ("null", E::Scheme),
            ("*", E::Scheme),
            ("1http://x.com", E::Scheme),
            ("https:// shop.demo.com", E::Host),
            ("https://", E::Host),
            ("https://shop.demo.com/", E::Trailing),
            ("https://shop.demo.com/path", E::Trailing),
            ("https://shop.demo.com?x", E::Trailing),
            ("https://shop.demo.com#x", E::Trailing),
            ("https://shop.demo.com\\@evil.com", E::Trailing),
            ("https://user:pw@shop.demo.com", E::UserInfo),
            ("https://shop.demo.com:", E::Port),
            ("https://shop.demo.com:0", E::Port),
            ("https://shop.demo.com:65536", E::Port),
            ("https://shop.demo.com:+80", E::Port),
            ("https://shop.demo.com:80:80", E::Port),
            ("https://[::1", E::Host),
            ("https://a..b.com", E::Host),
            ("https://shop.demo.com.", E::Host),
            ("https://sh op.com", E::Host),
            ("https://shop.com\0", E::Host),
            ("https://*", E::Wildcard),
            ("https://*.*.example.com", E::Wildcard),
            ("https://a.*.example.com", E::Wildcard),
            ("https://a*.example.com", E::Wildcard),
            ("https://*.com", E::TooWide),
            ("https://*.127.0.0.1", E::TooWide),
            ("app://bl%6fonio", E::Host),
        ] {
            assert_eq!(hostile.parse::<OriginPattern>(), Err(why), "{hostile:?}");
        }
        assert_eq!(format!("https://{}.com", "a".repeat(300)).parse::<Origin>(), Err(E::TooLong));
    }

    #[test]
    fn a_wildcard_matches_labels_under_it_and_never_the_apex() {
        let allowed = pattern("https://*.example.com");
        for inside in ["https://a.example.com", "https://a.b.example.com", "https://a.example.com:443"] {
            assert!(allowed.matches(&origin(inside)), "{inside}");
        }
        for outside in [
            "https://example.com",
            "http://a.example.com",
            "https://a.example.com:8443",
            "https://aexample.com",
            "https://a.example.com.evil.com",
            "https://example.com.evil.com",
        ] {
            assert!(!allowed.matches(&origin(outside)), "{outside}");
        }
    }

    #[test]
    fn a_domain_is_a_host_name_as_a_browser_would_send_it() {
        for (text, read) in [
            ("Example.COM", "example.com"),
            ("*.example.com", "*.example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("localhost", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
        ] {
            assert_eq!(text.parse::<Domain>().map(|domain| domain.to_string()), Ok(read.to_owned()));
        }
        for wrong in
            ["", "*", "*.com", "a.*.com", "https://a.com", "a.com:8080", "a.com/x", "u@a.com", "a b.com", "a..b"]
        {
            assert!(wrong.parse::<Domain>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_keys_domains_stand_instead_of_the_tenants_origins() {
        let origins = vec![pattern("https://shop.demo.com"), pattern("app://demo")];
        let tenants = OriginPolicy { origins: origins.clone(), domains: Vec::new() };
        assert!(tenants.allows(&origin("https://shop.demo.com")) && tenants.allows(&origin("app://demo")));
        assert!(!tenants.allows(&origin("http://shop.demo.com")), "another scheme is another origin");
        let domains = ["example.com", "*.example.org"].map(|text| text.parse().expect(text)).to_vec();
        let keys = OriginPolicy { origins, domains };
        for inside in ["https://example.com", "http://example.com:8080", "https://a.b.example.org"] {
            assert!(keys.allows(&origin(inside)), "{inside}");
        }
        for outside in [
            "https://shop.demo.com",
            "https://a.example.com",
            "https://example.org",
            "app://example.com",
            "https://example.com.evil.org",
        ] {
            assert!(!keys.allows(&origin(outside)), "{outside}");
        }
        assert!(!OriginPolicy::default().allows(&origin("https://a.com")), "nothing allowed is nobody let in");
    }

    proptest! {
        /// Whatever a hostile page sends as its origin: where the URL standard reads another host than ours, or none, we read
        /// none either; so no text is let in as somebody it is not.
        #[test]
        fn no_text_passes_for_a_host_the_url_standard_does_not_see(
            text in "(?i)https?[:/\\\\@. \t\n\0%a-z0-9\\[\\]ßﬀ。]{3,24}(shop\\.demo\\.com)?[@:/\\\\.?#%0-9a-z]{0,8}"
        ) {
            if let Ok(ours) = text.parse::<Origin>() {
                let standard = Url::parse(&text).map(|url| url.origin().ascii_serialization());
                prop_assert_eq!(Ok(ours.to_string()), standard, "{:?}", text);
            }
        }

        /// For the schemes browsers know, our normal form is the URL standard's serialised origin.
        #[test]
        fn agrees_with_the_url_standard(
            scheme in "(?i)(https?|wss?)",
            host in "[a-zA-Z0-9äß]{1,8}(\\.[a-zA-Z0-9-]{1,8}){0,3}",
            port in proptest::option::of(1_u16..),
        ) {
            let text = port.map_or_else(|| format!("{scheme}://{host}"), |port| format!("{scheme}://{host}:{port}"));
            match (text.parse::<Origin>(), Url::parse(&text)) {
                (Ok(ours), Ok(standard)) => prop_assert_eq!(ours.to_string(), standard.origin().ascii_serialization()),
                (Err(_), Err(_)) => {}
                (ours, standard) => prop_assert!(false, "{text}: {ours:?} against {standard:?}"),
            }
        }

        #[test]
        fn reading_back_what_was_written_changes_nothing(text in "\\PC{0,40}") {
            if let Ok(read) = text.parse::<OriginPattern>() {
                prop_assert_eq!(read.to_string().parse::<OriginPattern>(), Ok(read));
            }
        }

        #[test]
        fn a_wildcard_is_exactly_a_dotted_suffix(left in "[a-z]{0,4}(\\.[a-z]{1,4}){0,2}", host in "[a-z]{1,4}\\.[a-z]{2,4}") {
            let candidate = format!("https://{left}{host}");
            let allowed = pattern(&format!("https://*.{host}"));
            if let Ok(read) = candidate.parse::<Origin>() {
                prop_assert_eq!(allowed.matches(&read), read.host.ends_with(&format!(".{host}")));
            }
        }
    }
}
