//! Settings with a form of their own: URLs, networks, names of parameters, lists.

use std::{net::SocketAddr, str::FromStr};

use ipnet::IpNet;
use url::{Host, Url};

/// An `http` or `https` URL without user, query or fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl(Url);

impl HttpUrl {
    /// The URL of a listener's root, over plain HTTP.
    ///
    /// # Panics
    /// Never: every socket address makes such a URL.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self(Url::parse(&format!("http://{address}")).expect("a socket address is a host and a port"))
    }

    /// The URL.
    #[must_use]
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// Whether what is sent there leaves this machine unencrypted.
    #[must_use]
    pub fn is_plain_beyond_loopback(&self) -> bool {
        let is_here = match self.0.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            None => true,
        };
        self.0.scheme() == "http" && !is_here
    }
}

impl FromStr for HttpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("must be a URL such as http://127.0.0.1:7814 ({error})"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err("must begin with http:// or https://".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err("must not have a user, query or fragment".to_owned());
        }
        Ok(Self(url))
    }
}

/// An address or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .or_else(|_| text.parse().map(|address: std::net::IpAddr| address.into()))
            .map(Self)
            .map_err(|_| "must be an address or a network such as 10.0.0.0/8".to_owned())
    }
}

/// The name of a query parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterName(pub String);

impl FromStr for ParameterName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)) {
            return Err("must be a parameter's name, such as conversation_id".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

/// A comma-separated list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T: FromStr<Err: std::fmt::Display>> FromStr for List<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',')
            .enumerate()
            .map(|(index, item)| item.trim().parse().map_err(|error| format!("entry {}: {error}", index + 1)))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}
