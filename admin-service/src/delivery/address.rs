//! Which callbacks may be called: the URL as it is written, and each address that its host has.
//!
//! The URL is checked where it is set, and again at each attempt; the addresses at each attempt, for names move. What a URL's host
//! is spelled like (decimal, octal, hexadecimal, full-width digits) does not matter: [`Url`] reads every spelling as browsers do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderValue, uri::PathAndQuery};
use ipnet::IpNet;
use url::{Host, Url};

use super::{address_ranges::check_public, refused::Refused};
use crate::{config::WebhookConfig, domain::callback_ports::PortRanges};

/// Which callbacks may be called.
#[derive(Clone, Debug)]
pub(crate) struct AddressGuard {
    /// The ports that a callback may have.
    pub(crate) ports: PortRanges,
    /// Networks that callbacks may be in although they are not public.
    pub(crate) allowed_networks: Vec<IpNet>,
}

/// A callback whose URL was checked. The addresses of a name were not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Whether to speak TLS.
    pub(super) is_tls: bool,
    /// The name without a dot at its end, or the address.
    pub(super) host: Host,
    /// The URL's port, or its scheme's.
    pub(super) port: u16,
    /// `Host`: the host, and the port where it is not the scheme's.
    pub(super) host_header: HeaderValue,
    /// What stands on the request line.
    pub(super) path: PathAndQuery,
}

impl AddressGuard {
    /// The guard that the settings ask for.
    pub(crate) fn new(config: &WebhookConfig) -> Self {
        Self { ports: config.ports.clone(), allowed_networks: config.allowed_networks.clone() }
    }

    /// Checks what a URL alone shows.
    ///
    /// # Errors
    /// [`Refused`], with the first thing that is wrong.
    pub(crate) fn check_url(&self, url: &Url) -> Result<Target, Refused> {
        let is_tls = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(Refused::Scheme(other.to_owned())),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::UserInfo);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(Refused::QueryOrFragment);
        }
        let host = match url.host().ok_or(Refused::NoHost)? {
            Host::Domain(name) => Host::Domain(self.check_name(name)?),
            Host::Ipv4(address) => {
                self.check_address(address.into())?;
                Host::Ipv4(address)
            }
            Host::Ipv6(address) => {
                self.check_address(address.into())?;
                Host::Ipv6(address)
            }
        };
        let port = url.port_or_known_default().unwrap_or_default();
        if !self.ports.contains(port) {
            return Err(Refused::Port { port, allowed: self.ports.clone() });
        }
        let host_text = url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
        let host_header = HeaderValue::try_from(host_text).map_err(|_| Refused::NoHost)?;
        let path = url.path().parse().map_err(|_| Refused::Path)?;
        Ok(Target { is_tls, host, port, host_header, path })
    }

    /// Checks an address that a name resolved to, or that a URL names.
    ///
    /// # Errors
    /// [`Refused`] where it is not public, and not in an allowed network.
    pub(crate) fn check_address(&self, address: IpAddr) -> Result<(), Refused> {
        if self.allows(address.to_canonical()) { Ok(()) } else { check_public(address) }
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.allowed_networks.iter().any(|network| network.contains(&address))
    }

    /// Refuses names that only a private network knows, in words that help more than the address would. Where private networks are
    /// allowed, such names are of use, and the addresses decide.
    fn check_name(&self, name: &str) -> Result<String, Refused> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_under =
            |parent: &str| name == parent || name.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
        let why = if name.is_empty() {
            return Err(Refused::NoHost);
        } else if is_under("localhost") {
            let is_allowed = self.allows(Ipv4Addr::LOCALHOST.into()) || self.allows(Ipv6Addr::LOCALHOST.into());
            (!is_allowed).then_some("is this machine itself")
        } else if self.allowed_networks.iter().any(|network| !network.network().is_loopback()) {
            None
        } else if PRIVATE_DOMAINS.into_iter().any(is_under) {
            Some("is a name of a private network")
        } else if !name.contains('.') {
            Some("has no dot: it is a name of a private network")
        } else {
            None
        };
        match why {
            Some(why) => Err(Refused::LocalName { name: name.to_owned(), why }),
            None => Ok(name.to_owned()),
        }
    }
}

/// Domains that no public name is in. `metadata.google.internal` is under one of them.
const PRIVATE_DOMAINS: [&str; 4] = ["local", "internal", "localdomain", "home.arpa"];

#[cfg(test)]
mod tests;
