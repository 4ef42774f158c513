//! TLS to the admin service: whom this gateway trusts, and by what it proves itself. The files are read for each connection, so that they can be
//! replaced without a restart.

use std::{
    future::Future,
    io,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::Service;

use crate::config::AdminTls;

/// How long a connection and its handshake may take.
const CONNECTED_WITHIN: Duration = Duration::from_secs(2);

/// Reads the files.
pub(super) async fn load(files: &AdminTls) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match &files.ca {
        Some(ca) => {
            for certificate in certificates("admin_grpc_ca_file", ca).await? {
                roots.add(certificate).map_err(|error| format!("admin_grpc_ca_file = {}: {error}", ca.display()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let mut config = match &files.identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let wrong = |why: String| format!("admin_grpc_key_file = {}: {why}", key.display());
            let chain = certificates("admin_grpc_cert_file", cert).await?;
            let pem = tokio::fs::read(key).await.map_err(|error| wrong(format!("cannot be read: {error}")))?;
            let own = PrivateKeyDer::from_pem_slice(&pem)
                .map_err(|_| wrong("holds no private key in PEM that is not encrypted".to_owned()))?;
            builder
                .with_client_auth_cert(chain, own)
                .map_err(|error| wrong(format!("cannot be used with the certificate in {}: {error}", cert.display())))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

async fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |why: String| format!("{setting} = {}: {why}", path.display());
    let pem = tokio::fs::read(path).await.map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|error| wrong(format!("is no PEM: {error}")))?;
    if all.is_empty() { Err(wrong("holds no certificate in PEM".to_owned())) } else { Ok(all) }
}

/// Connects to the admin service over TLS.
#[derive(Clone)]
pub(super) struct Connector(pub(super) Arc<AdminTls>);

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let tls = Arc::clone(&self.0);
        Box::pin(async move {
            let connected = timeout(CONNECTED_WITHIN, async {
                let config = load(&tls).await.map_err(io::Error::other)?;
                // A URL writes an IPv6 address in brackets.
                let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
                let tcp = TcpStream::connect((host.as_str(), url.port_u16().unwrap_or(443))).await?;
                tcp.set_nodelay(true)?;
                let name = ServerName::try_from(host).map_err(io::Error::other)?;
                TlsConnector::from(Arc::new(config)).connect(name, tcp).await
            });
            connected.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map(TokioIo::new)
        })
    }
}
