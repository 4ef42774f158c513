//! Opens listening sockets.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::net::{TcpListener, TcpSocket};

/// Bytes that wait in the kernel for a peer to read them. Half as many again must be read before the kernel says that there is
/// room: with the megabytes it would give by itself, a peer that reads slowly could not be told from one that reads nothing.
const SEND_BUFFER: u32 = 256 * 1024;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// A listener that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{setting} = {address}: {}", reason(source))]
pub struct ListenError {
    setting: &'static str,
    address: SocketAddr,
    source: io::Error,
}

impl ListenError {
    /// The same under the name that another program has for the setting.
    #[must_use]
    pub fn of_setting(self, setting: &'static str) -> Self {
        Self { setting, ..self }
    }

    /// The setting that names the address.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        self.setting
    }
}

/// Why the system gave no listener, and what to do.
fn reason(error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there: stop it, or set another address",
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: set one of its own, or 0.0.0.0 for all of them"
        }
        io::ErrorKind::PermissionDenied => "this user may not listen there: ports below 1024 need a privilege",
        _ => return format!("cannot listen: {error}"),
    };
    format!("{}: {advice}", error.kind())
}

/// Opens a listening socket at the address that `setting` names.
///
/// # Errors
/// [`ListenError`].
pub async fn bind(setting: &'static str, address: SocketAddr) -> Result<TcpListener, ListenError> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bound().map_err(|source| ListenError { setting, address, source })
}

/// Where this machine reaches a listener: one on all addresses is reached on loopback, for `0.0.0.0` is no address to call.
#[must_use]
pub fn from_this_machine(mut listener: SocketAddr) -> SocketAddr {
    match listener.ip() {
        IpAddr::V4(address) if address.is_unspecified() => listener.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(address) if address.is_unspecified() => listener.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listener
}
