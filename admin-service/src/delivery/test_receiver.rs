//! Receivers for tests: on free ports of this machine, with names that only the test's resolver knows.

use std::{io, net::IpAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::TcpListener,
};
use url::Url;

use super::{
    address::{AddressGuard, Target},
    connection::Connector,
    deadline::Deadline,
    resolver::Resolve,
    test_certificates::Holder,
};

/// Answers every name alike.
#[derive(Clone, Debug)]
pub(super) enum Names {
    /// With these addresses.
    Are(Vec<IpAddr>),
    /// That it does not exist.
    Unknown,
    /// Never.
    Silent,
}

impl Names {
    /// With these addresses.
    pub(super) fn are(addresses: &[&str]) -> Self {
        Self::Are(addresses.iter().map(|address| address.parse().expect("an address")).collect())
    }
}

impl Resolve for Names {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        match self {
            Self::Are(addresses) => Ok(addresses.clone()),
            Self::Unknown => Err(io::Error::other("failed to lookup address information: Name or service not known")),
            Self::Silent => std::future::pending().await,
        }
    }
}

/// A listener on a free port of 127.0.0.1, and that port.
pub(super) async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

/// Connects to this machine, trusting holder 1's certificates.
pub(super) fn connector(names: Names) -> Connector<Names> {
    let guard = AddressGuard {
        ports: "1-65535".parse().expect("ports"),
        allowed_networks: vec!["127.0.0.0/8".parse().expect("a network")],
    };
    Connector::new(guard, Holder::new(1).trusted(), names)
}

/// The target of a URL.
pub(super) fn target(connector: &Connector<Names>, url: &str) -> Target {
    connector.guard().check_url(&Url::parse(url).expect("a URL")).expect("an allowed URL")
}

/// Time enough for everything on this machine.
pub(super) fn ample() -> Deadline {
    Deadline::after(Duration::from_secs(30))
}

/// Reads a request's head and its body of the announced length.
pub(super) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if body.len() >= length.parse().expect("a length") {
                return text;
            }
        }
        assert!(stream.read_buf(&mut read).await.expect("a request") > 0, "the request ended early: {text}");
    }
}
