//! How this process connects to the servers that it calls over HTTP: the admin service, and an S3-compatible store.

use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, RootCertStore};

/// How long a connection may take. It must be shorter than a call may take: a server that cannot be reached concerns every tenant.
const CONNECT: Duration = Duration::from_secs(3);

/// Connects over plain HTTP, and over HTTPS too if `https` is set.
pub(crate) fn connector(https: bool) -> HttpsConnector<HttpConnector> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    let nobody = || {
        let config = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        HttpsConnectorBuilder::new().with_tls_config(config)
    };
    // Plain HTTP needs no certificates, and they take memory.
    let builder = if https {
        HttpsConnectorBuilder::new().with_native_roots().unwrap_or_else(|error| {
            tracing::warn!(%error, "this machine has no CA certificates: no server can be reached over https");
            nobody()
        })
    } else {
        nobody()
    };
    builder.https_or_http().enable_http1().wrap_connector(tcp)
}
