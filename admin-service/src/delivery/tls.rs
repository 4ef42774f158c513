//! TLS towards receivers: the system's authorities, and HTTP/1.1 alone.

use std::{io, sync::Arc};

use rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::ring, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use url::Host;

use super::tls_failed::TlsFailed;

/// Speaks TLS to receivers. Cloning shares the authorities.
#[derive(Clone)]
pub(crate) struct Tls(TlsConnector);

impl Tls {
    /// Reads the authorities from where the system keeps them, or from `SSL_CERT_FILE` and `SSL_CERT_DIR`. Call it once: it reads
    /// files.
    #[must_use]
    pub(crate) fn from_system() -> Self {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            // A container without them still reaches receivers over plain HTTP.
            let error = found.errors.first().map(ToString::to_string).unwrap_or_default();
            tracing::warn!(error, "no CA certificates: events are not delivered to https callbacks");
        }
        Self::trusting(roots)
    }

    /// Trusts these authorities and no other.
    pub(super) fn trusting(roots: RootCertStore) -> Self {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has suites for TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed session would not show a certificate that has expired since.
        config.resumption = Resumption::disabled();
        Self(TlsConnector::from(Arc::new(config)))
    }

    /// Shakes hands with a receiver that must prove to be `host`.
    pub(super) async fn handshake(&self, tcp: TcpStream, host: &Host) -> Result<Box<TlsStream<TcpStream>>, TlsFailed> {
        let name = match host {
            Host::Domain(name) => ServerName::try_from(name.clone())
                .map_err(|_| TlsFailed::Other(format!("no certificate can be for {name}")))?,
            Host::Ipv4(address) => ServerName::IpAddress((*address).into()),
            Host::Ipv6(address) => ServerName::IpAddress((*address).into()),
        };
        let shaken: io::Result<_> = self.0.connect(name, tcp).await;
        shaken.map(Box::new).map_err(|error| TlsFailed::from(&error))
    }
}
