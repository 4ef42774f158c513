//! The connection of one attempt: name, addresses, TCP, TLS.
//!
//! The name is resolved once, and every address is checked before any is connected to. The address that was checked is the one that
//! is connected to, so a name that changes in between gains nothing. One refused address refuses all: a receiver has no reason to
//! name a private address beside a public one.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use url::Host;

use super::{
    address::{AddressGuard, Target},
    deadline::Deadline,
    failed::{AttemptFailed, Phase},
    resolver::{Resolve, SystemResolver},
    tls::Tls,
};

/// How many addresses of one name are tried.
const MOST_TRIED: usize = 8;
/// How long an address may take to accept while there are others.
const PATIENCE: Duration = Duration::from_secs(3);

/// A connection to a receiver, plain or with TLS.
pub(super) type Connection = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Connects to receivers.
#[derive(Clone)]
pub(crate) struct Connector<R = SystemResolver> {
    guard: AddressGuard,
    tls: Tls,
    resolver: R,
}

impl<R: Resolve> Connector<R> {
    /// Connects where `guard` allows it.
    #[must_use]
    pub(crate) fn new(guard: AddressGuard, tls: Tls, resolver: R) -> Self {
        Self { guard, tls, resolver }
    }

    /// Which callbacks may be called.
    #[must_use]
    pub(crate) fn guard(&self) -> &AddressGuard {
        &self.guard
    }

    /// A new connection, handshake included.
    pub(super) async fn connect(&self, target: &Target, deadline: Deadline) -> Result<Connection, AttemptFailed> {
        let addresses = self.checked_addresses(target, deadline).await?;
        let tcp = connect_to_one(&addresses, deadline).await?;
        // A request is small and written at once. Where this fails, it arrives all the same.
        let _ = tcp.set_nodelay(true);
        if !target.is_tls {
            return Ok(Either::Left(tcp));
        }
        let tls = deadline.wait(Phase::Connecting, self.tls.handshake(tcp, &target.host)).await??;
        Ok(Either::Right(tls))
    }

    /// The addresses to connect to: at least one, each of them checked.
    async fn checked_addresses(&self, target: &Target, deadline: Deadline) -> Result<Vec<SocketAddr>, AttemptFailed> {
        let addresses: Vec<IpAddr> = match &target.host {
            Host::Ipv4(address) => vec![(*address).into()],
            Host::Ipv6(address) => vec![(*address).into()],
            Host::Domain(name) => deadline
                .wait(Phase::Connecting, self.resolver.resolve(name))
                .await
                .map_err(|_| AttemptFailed::ResolverSilent)?
                .map_err(|error| AttemptFailed::of_look_up(&error))?,
        };
        for address in &addresses {
            self.guard.check_address(*address)?;
        }
        let sockets = addresses.into_iter().take(MOST_TRIED).map(|address| SocketAddr::new(address, target.port));
        let sockets: Vec<_> = sockets.collect();
        if sockets.is_empty() { Err(AttemptFailed::NoSuchName) } else { Ok(sockets) }
    }
}

/// Tries one address after the other; the last one has all the time that is left.
async fn connect_to_one(addresses: &[SocketAddr], deadline: Deadline) -> Result<TcpStream, AttemptFailed> {
    let mut failed = AttemptFailed::NoSuchName;
    for (index, address) in addresses.iter().enumerate() {
        let connect = TcpStream::connect(address);
        let to_come = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let connected = if to_come == 1 {
            deadline.wait(Phase::Connecting, connect).await?
        } else {
            match timeout(PATIENCE.min(deadline.remaining() / to_come), connect).await {
                Ok(connected) => connected,
                Err(_) => {
                    failed = AttemptFailed::ConnectionTimedOut;
                    continue;
                }
            }
        };
        match connected {
            Ok(tcp) => return Ok(tcp),
            Err(error) => failed = AttemptFailed::of_tcp(&error),
        }
    }
    Err(failed)
}

#[cfg(test)]
mod tests;
