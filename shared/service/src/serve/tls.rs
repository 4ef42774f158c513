//! TLS on a listener. Its files are read again when they change; open connections go on.

use std::{
    fmt, io,
    sync::{Arc, PoisonError, RwLock, atomic::AtomicI64},
    time::Duration,
};

use prometheus_client::metrics::gauge::Gauge;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use wire::{ErrorCode, time::from_unix_ms};

use super::{
    socket::HANDSHAKE,
    tls_files::{Contents, TlsError, TlsFiles},
};
use crate::{error::ApiError, telemetry::metrics::Metrics};

/// How often the files are looked at.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

/// A listener's TLS. Cloning shares it.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    files: TlsFiles,
    protocol: &'static [u8],
    /// What new connections are taken with.
    now: RwLock<Current>,
    /// What the files held when they were opened.
    first: Contents,
    /// When the certificate ends, Unix seconds.
    ends_at: Gauge<i64, AtomicI64>,
}

#[derive(Clone)]
struct Current {
    config: Arc<ServerConfig>,
    /// Cancelled once the authority of clients or its list of revoked certificates has changed.
    clients_changed: CancellationToken,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.0.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files of a listener that speaks `protocol` (`http/1.1`, `h2`). A certificate that has expired is taken, with a WARN: clients
    /// that do not check it, such as probes, can still connect.
    ///
    /// # Errors
    /// [`TlsError`].
    pub async fn open(files: TlsFiles, protocol: &'static [u8], metrics: &Metrics) -> Result<Self, TlsError> {
        let first = files.contents().await?;
        let loaded = files.load(&first, protocol)?;
        if !loaded.is_valid() {
            let (file, until) = (files.certificate().display(), from_unix_ms(loaded.valid.1));
            tracing::warn!(%file, %until, "the certificate is not valid now: replace it");
        }
        let ends_at = Gauge::<i64, AtomicI64>::default();
        ends_at.set(loaded.valid.1 / 1000);
        let help = "When the certificate that a listener of this process shows ends, in Unix seconds";
        metrics.register(|registry| registry.register("tls_certificate_ends_timestamp_seconds", help, ends_at.clone()));
        let current = Current { config: loaded.config, clients_changed: CancellationToken::new() };
        Ok(Self(Arc::new(Inner { files, protocol, now: RwLock::new(current), first, ends_at })))
    }

    /// Looks at the files from time to time. A certificate that is valid now and has its key is used for new connections. Until there is one,
    /// the certificate from before is used.
    pub async fn follow(self, stopping: CancellationToken) {
        let (mut taken, mut seen, mut told) = (self.0.first.clone(), None, None);
        while timeout(LOOKED_AT_EVERY, stopping.cancelled()).await.is_err() {
            let refused = match self.0.files.contents().await {
                Ok(found) if found == taken => {
                    (seen, told) = (None, None);
                    continue;
                }
                Ok(found) => match self.take(&found, found.clients != taken.clients) {
                    Ok(()) => {
                        (taken, seen, told) = (found, None, None);
                        continue;
                    }
                    Err(why) => why,
                },
                Err(error) => error.to_string(),
            };
            // An operator replaces one file after the other. So the log tells what is wrong only if it is still wrong a second later, and then
            // once.
            if seen.as_ref() == Some(&refused) && told.as_ref() != Some(&refused) {
                tracing::warn!(
                    why = refused,
                    "the replaced files are not used: connections are taken with those from before"
                );
                told = Some(refused.clone());
            }
            seen = Some(refused);
        }
    }

    /// Takes what was found for new connections, or says why not.
    fn take(&self, found: &Contents, is_of_other_clients: bool) -> Result<(), String> {
        let Inner { files, protocol, now, ends_at, .. } = &*self.0;
        let loaded = files.load(found, protocol).map_err(|error| error.to_string())?;
        let (from, until) = (from_unix_ms(loaded.valid.0), from_unix_ms(loaded.valid.1));
        if !loaded.is_valid() {
            return Err(format!("the new certificate is not valid now, but from {from} until {until}"));
        }
        tracing::info!(file = %files.certificate().display(), %until, "the files of TLS were replaced");
        ends_at.set(loaded.valid.1 / 1000);
        let mut now = now.write().unwrap_or_else(PoisonError::into_inner);
        now.config = loaded.config;
        if is_of_other_clients {
            std::mem::take(&mut now.clients_changed).cancel();
        }
        Ok(())
    }

    /// Takes a connection over `stream`, whose socket `tcp` names. `within` bounds all of the handshake.
    ///
    /// # Errors
    /// [`NoTls`].
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        tcp: impl Fn(&S) -> &TcpStream,
        within: Duration,
    ) -> Result<Accepted<S>, NoTls<S>> {
        let accepted = timeout(within, async {
            let mut first = [0];
            match tcp(&stream).peek(&mut first).await {
                Ok(0) => return Err(NoTls::Left),
                Ok(_) if first[0] != HANDSHAKE => return Err(NoTls::Plain(stream)),
                Ok(_) => {}
                Err(error) => return Err(NoTls::Failed(error)),
            }
            let Current { config, clients_changed } = self.0.now.read().unwrap_or_else(PoisonError::into_inner).clone();
            let stream = TlsAcceptor::from(config).accept(stream).await.map_err(NoTls::Failed)?;
            Ok(Accepted { stream: Box::new(stream), clients_changed })
        });
        accepted.await.unwrap_or_else(|_| Err(NoTls::Failed(io::ErrorKind::TimedOut.into())))
    }
}

/// A connection with TLS.
#[derive(Debug)]
pub struct Accepted<S> {
    /// What to read from and write to.
    pub stream: Box<TlsStream<S>>,
    /// Cancelled once the authority of clients or its list of revoked certificates has changed: the client must prove itself anew.
    pub clients_changed: CancellationToken,
}

/// Why a connection did not become one with TLS.
#[derive(Debug)]
pub enum NoTls<S> {
    /// The peer closed before it said anything.
    Left,
    /// The peer speaks without TLS.
    Plain(S),
    /// The handshake failed, or took too long.
    Failed(io::Error),
}

/// What a peer is answered that speaks without TLS where TLS is spoken.
pub(super) fn speaks_plainly() -> ApiError {
    ApiError::new(
        ErrorCode::MalformedRequest,
        "This port takes https alone. Send the request to https:// instead of http://.",
    )
}
