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

impl Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
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
mod tests;
