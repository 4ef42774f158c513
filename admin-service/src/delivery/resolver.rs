//! What turns a host's name into addresses.

use std::{io, net::IpAddr};

use tokio::net::lookup_host;

/// What turns a host's name into addresses. A test has its own.
pub(crate) trait Resolve {
    /// All addresses of a name, in the order to try them in.
    fn resolve(&self, name: &str) -> impl Future<Output = io::Result<Vec<IpAddr>>> + Send;
}

/// The system's resolver, which reads the hosts file too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemResolver;

impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}
