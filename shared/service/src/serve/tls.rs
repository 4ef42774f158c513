//! TLS on a listener. The certificate and its key are read again when their files change; open connections go on.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, atomic::AtomicI64},
    time::Duration,
};

use prometheus_client::metrics::gauge::Gauge;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use wire::{
    ErrorCode,
    time::{from_unix_ms, now_unix_ms},
};
use x509_cert::der::Decode as _;

use super::socket::Socket;
use crate::{error::ApiError, telemetry::metrics::Metrics};

/// How often the files are looked at.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

/// The first byte of a TLS connection: a record with a handshake.
pub(super) const HANDSHAKE: u8 = 0x16;

/// Where the certificate and its key are, in PEM. The certificate's file holds the chain too, the server's own certificate first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificates.
    pub cert: PathBuf,
    /// The private key of the first.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file.
    #[error("{setting} = {}: cannot be read: {source}", path.display())]
    Unreadable {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The certificate's file.
    #[error("tls_cert_file = {}: {why}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The key's file.
    #[error("tls_key_file = {}: {why}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong, and never a part of the key.
        why: String,
    },
}

/// What the files held.
#[derive(Clone, PartialEq, Eq)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// A certificate with its key, and when it is valid: from and until, Unix milliseconds.
struct Loaded {
    certified: Arc<CertifiedKey>,
    valid: (i64, i64),
}

impl Loaded {
    fn is_valid(&self) -> bool {
        let (from, until) = self.valid;
        (from..until).contains(&now_unix_ms())
    }
}

/// The certificate that new connections are shown.
struct Shown {
    now: RwLock<Arc<CertifiedKey>>,
    /// When it ends, Unix seconds.
    ends_at: Gauge<i64, AtomicI64>,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown(..)")
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// A listener's TLS.
#[derive(Clone)]
pub struct Tls {
    files: TlsFiles,
    acceptor: TlsAcceptor,
    shown: Arc<Shown>,
    provider: Arc<CryptoProvider>,
    /// What the files held when they were opened.
    first: Contents,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the certificate and its key. One that has expired is taken, and said to be: connections still come from those who do not
    /// check it.
    ///
    /// # Errors
    /// [`TlsError`].
    pub async fn open(files: TlsFiles, metrics: &Metrics) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let first = read(&files).await?;
        let loaded = load(&files, &first, &provider)?;
        if !loaded.is_valid() {
            tracing::warn!(file = %files.cert.display(), until = %from_unix_ms(loaded.valid.1), "the certificate is not valid now: replace it");
        }
        let ends_at = Gauge::<i64, AtomicI64>::default();
        ends_at.set(loaded.valid.1 / 1000);
        let help = "When the certificate of the public listener ends, in Unix seconds";
        metrics.register(|registry| registry.register("tls_certificate_ends_timestamp_seconds", help, ends_at.clone()));
        let shown = Arc::new(Shown { now: RwLock::new(loaded.certified), ends_at });
        let unusable =
            |error: rustls::Error| TlsError::Certificate { path: files.cert.clone(), why: error.to_string() };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&shown) as _);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Clients resume a session at whichever worker they come to.
        config.ticketer = ring::Ticketer::new().map_err(unusable)?;
        Ok(Self { files, acceptor: TlsAcceptor::from(Arc::new(config)), shown, provider, first })
    }

    /// Looks at the files from time to time, and takes what they hold once that is a pair that is valid now. Until then, new connections are
    /// shown the certificate from before.
    pub async fn follow(self, stopping: CancellationToken) {
        let (mut taken, mut seen, mut told) = (self.first.clone(), None, None);
        while timeout(LOOKED_AT_EVERY, stopping.cancelled()).await.is_err() {
            let found = read(&self.files).await;
            if found.as_ref().is_ok_and(|found| *found == taken) {
                (seen, told) = (None, None);
                continue;
            }
            let refused = match found {
                Ok(found) => match load(&self.files, &found, &self.provider) {
                    Ok(loaded) if loaded.is_valid() => {
                        tracing::info!(file = %self.files.cert.display(), until = %from_unix_ms(loaded.valid.1), "the certificate was replaced");
                        self.shown.ends_at.set(loaded.valid.1 / 1000);
                        *self.shown.now.write().unwrap_or_else(PoisonError::into_inner) = loaded.certified;
                        (taken, seen, told) = (found, None, None);
                        continue;
                    }
                    Ok(loaded) => format!(
                        "the new certificate is not valid now, but from {} until {}",
                        from_unix_ms(loaded.valid.0),
                        from_unix_ms(loaded.valid.1)
                    ),
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            // Two files are not replaced at once: what is wrong is told if it is so the next time too, and then once.
            if seen.as_ref() == Some(&refused) && told.as_ref() != Some(&refused) {
                tracing::warn!(
                    why = refused,
                    "the replaced certificate is not used: connections are shown the one from before"
                );
                told = Some(refused.clone());
            }
            seen = Some(refused);
        }
    }

    /// Takes a connection. `within` bounds all of the handshake.
    pub(super) async fn accept(&self, socket: Socket, within: Duration) -> Result<Box<TlsStream<Socket>>, NoTls> {
        let accepted = timeout(within, async {
            let mut first = [0];
            match socket.tcp().peek(&mut first).await {
                Ok(0) => return Err(NoTls::Left),
                Ok(_) if first[0] != HANDSHAKE => return Err(NoTls::Plain(socket.into_tcp())),
                Ok(_) => {}
                Err(error) => return Err(NoTls::Failed(error)),
            }
            self.acceptor.accept(socket).await.map(Box::new).map_err(NoTls::Failed)
        });
        accepted.await.unwrap_or_else(|_| Err(NoTls::Failed(io::ErrorKind::TimedOut.into())))
    }
}

/// Why a connection did not become one with TLS.
pub(super) enum NoTls {
    /// The peer closed before it said anything.
    Left,
    /// The peer speaks without TLS.
    Plain(TcpStream),
    Failed(io::Error),
}

/// What a peer is answered that speaks without TLS where TLS is spoken.
pub(super) fn speaks_plainly() -> ApiError {
    ApiError::new(
        ErrorCode::MalformedRequest,
        "This port takes https alone. Send the request to https:// instead of http://.",
    )
}

async fn read(files: &TlsFiles) -> Result<Contents, TlsError> {
    let read = async |setting: &'static str, path: &Path| {
        let unreadable = |source| TlsError::Unreadable { setting, path: path.to_owned(), source };
        tokio::fs::read(path).await.map_err(unreadable)
    };
    Ok(Contents { cert: read("tls_cert_file", &files.cert).await?, key: read("tls_key_file", &files.key).await? })
}

fn load(files: &TlsFiles, contents: &Contents, provider: &CryptoProvider) -> Result<Loaded, TlsError> {
    let of_cert = |why: String| TlsError::Certificate { path: files.cert.clone(), why };
    let of_key = |why: String| TlsError::Key { path: files.key.clone(), why };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&contents.cert)
        .collect::<Result<_, _>>()
        .map_err(|error| of_cert(format!("is no PEM: {error}")))?;
    let own = chain.first().ok_or_else(|| of_cert("holds no certificate in PEM".to_owned()))?;
    let own = x509_cert::Certificate::from_der(own)
        .map_err(|error| of_cert(format!("holds no X.509 certificate: {error}")))?;
    let validity = own.tbs_certificate().validity();
    let at = |time: x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_millis()).unwrap_or(i64::MAX);
    let valid = (at(validity.not_before), at(validity.not_after));
    let key = PrivateKeyDer::from_pem_slice(&contents.key)
        .map_err(|_| of_key("holds no private key in PEM that is not encrypted".to_owned()))?;
    let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            of_key(format!("is not the key of the certificate in {}", files.cert.display()))
        }
        error => of_key(format!("cannot be used: {error}")),
    })?;
    Ok(Loaded { certified: Arc::new(certified), valid })
}
