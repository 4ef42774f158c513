//! Why a callback is not called, in words for the tenant's operator.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::domain::callback_ports::PortRanges;

/// Why a callback's URL or address is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Neither http nor https.
    #[error("{0}: is no scheme of a callback: use https or http")]
    Scheme(String),
    /// A user name or a password stands before the host.
    #[error("the URL must not have a user name or password: events are signed instead")]
    UserInfo,
    /// The event's path is appended to the URL.
    #[error("the URL must not have a query or fragment: the event's path is appended to it")]
    QueryOrFragment,
    /// There is no host.
    #[error("the URL has no host")]
    NoHost,
    /// The path cannot stand on a request line.
    #[error("the URL's path cannot be sent")]
    Path,
    /// The port is not among those allowed.
    #[error("port {port} is not allowed; these are: {allowed}")]
    Port {
        /// The URL's port, or its scheme's.
        port: u16,
        /// The ports that are.
        allowed: PortRanges,
    },
    /// A name that does not exist on the internet.
    #[error("{name} {why}")]
    LocalName {
        /// The host's name.
        name: String,
        /// What kind of name it is.
        why: &'static str,
    },
    /// An address that is not on the internet.
    #[error("{address} is {kind} ({network})")]
    Address {
        /// The address as it was found.
        address: IpAddr,
        /// What kind of address it is, with its article.
        kind: &'static str,
        /// The network that makes it so.
        network: IpNet,
    },
    /// An IPv6 address outside the part that is in use.
    #[error("{0} is not a public address: those are in 2000::/3")]
    NotPublic(IpAddr),
}
