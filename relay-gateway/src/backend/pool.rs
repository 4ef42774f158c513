//! Connections to one upstream, kept open between exchanges.
//!
//! hyper's own connections, and a stack of those that are idle. A pooled client for any host and either protocol spawns a task,
//! hashes a key and boxes two futures for each request; here is one host, and HTTP/1.1. With hyper-util's client in its place a
//! signed POST takes 8.2 % more instructions, and a signed GET 6.0 % (callgrind, release profile, 2026-11).
//!
//! An upstream may close an idle connection just as a call is sent on it. Connections are therefore left before the upstream
//! would close them, and looked at before they are used again; what still meets a closed one is sent again as PROTOCOL.md, section
//! 4, *Sent again* allows.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{self, SendRequest},
    },
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use rustls::{ClientConfig, RootCertStore};
use service::workers::PerWorker;
use tokio::time::{Instant, timeout_at};
use tower::{BoxError, Service as _};

use super::link::{Link, Traffic};
use crate::config::UpstreamTimeouts;

/// A connection that has been idle for longer is looked at before it is used: the runtime gets to hear whether it was closed.
/// One that was used a moment ago is not, for its upstream has had no time to think it idle.
const LOOK_AFTER: Duration = Duration::from_millis(20);

/// Connections to one upstream.
pub(super) struct Pool {
    connector: HttpsConnector<HttpConnector>,
    /// Scheme and authority.
    target: Uri,
    timeouts: UpstreamTimeouts,
    /// The one used last is on top, so that those there are too many of grow old. A connection stays on the worker that opened it.
    idle: PerWorker<Mutex<Vec<Connection>>>,
}

/// A connection that one exchange has for itself.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    traffic: Arc<Traffic>,
    /// When its last exchange ended.
    used: Instant,
}

/// Why there was no answer.
pub(super) enum ExchangeError {
    /// No connection could be made: nothing was sent.
    Connect(BoxError),
    /// The connection broke before anything was written to it: nothing was sent.
    Unsent(hyper::Error),
    /// Not in time.
    Timeout,
    /// The connection broke, or what came is not HTTP.
    Broken(hyper::Error),
}

/// A request that got no answer on a connection.
struct SendFailed {
    /// `None` if no answer came by the deadline.
    failure: Option<TrySendError<Request<Full<Bytes>>>>,
    /// Whether no byte of the request was written.
    is_unwritten: bool,
    /// Whether no byte of an answer came.
    is_unanswered: bool,
}

impl SendFailed {
    fn is_late(&self) -> bool {
        self.failure.is_none()
    }

    /// The request, where hyper has not begun to write it.
    fn take_unsent(&mut self) -> Option<Request<Full<Bytes>>> {
        let unsent = self.failure.as_mut()?.take_message();
        self.is_unwritten |= unsent.is_some();
        unsent
    }
}

impl From<SendFailed> for ExchangeError {
    fn from(mut failed: SendFailed) -> Self {
        let _ = failed.take_unsent();
        match failed.failure {
            None => Self::Timeout,
            Some(failure) if failed.is_unwritten => Self::Unsent(failure.into_error()),
            Some(failure) => Self::Broken(failure.into_error()),
        }
    }
}

impl Pool {
    pub(super) fn new(name: &'static str, target: Uri, timeouts: UpstreamTimeouts) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeouts.connect));
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .unwrap_or_else(|error| {
                // A container without CA certificates still reaches upstreams over plain HTTP.
                tracing::warn!(%error, upstream = name, "no CA certificates: https will be refused");
                let nobody = ClientConfig::builder().with_root_certificates(RootCertStore::empty());
                HttpsConnectorBuilder::new().with_tls_config(nobody.with_no_client_auth())
            })
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Self { connector, target, timeouts, idle: PerWorker::default() }
    }

    /// Sends a request and answers with the head that comes by `due`, and the connection: its owner checks it in once it has read
    /// the body. A request is sent again once, on a new connection, where it went to a connection that had been used before, no
    /// byte of an answer came, and either it only reads or no byte of it was written.
    pub(super) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        started: Instant,
        due: Instant,
    ) -> Result<(Response<Incoming>, Connection), ExchangeError> {
        // What only a new connection takes is boxed, so that an exchange on an idle one does not carry it about.
        let Some(connection) = self.checkout(started).await else {
            return Box::pin(self.exchange_on_new(request, due)).await;
        };
        let only_reads = matches!(*request.method(), Method::GET | Method::HEAD);
        // hyper keeps what it has begun to write. A copy is worth it where the upstream may have thought the connection idle.
        let copy = (only_reads || connection.idle_since(started) >= LOOK_AFTER).then(|| Box::new(request.clone()));
        let mut failed = match connection.send(request, due).await {
            Ok(answered) => return Ok(answered),
            Err(failed) => failed,
        };
        let copy = copy.filter(|_| !failed.is_late() && failed.is_unanswered && (only_reads || failed.is_unwritten));
        match failed.take_unsent().or(copy.map(|copy| *copy)) {
            Some(again) => Box::pin(self.exchange_on_new(again, due)).await,
            None => Err(failed.into()),
        }
    }

    async fn exchange_on_new(
        &self,
        request: Request<Full<Bytes>>,
        due: Instant,
    ) -> Result<(Response<Incoming>, Connection), ExchangeError> {
        let connection = self.connect_by(due).await?;
        Ok(connection.send(request, due).await?)
    }

    /// A new connection, within the connect timeout as a whole: name, TCP and TLS.
    async fn connect_by(&self, due: Instant) -> Result<Connection, ExchangeError> {
        let by = Instant::now() + self.timeouts.connect;
        match timeout_at(by.min(due), self.connect()).await {
            Ok(Ok(connected)) => Ok(connected),
            Ok(Err(error)) => Err(ExchangeError::Connect(error)),
            Err(_) if by <= due => {
                Err(ExchangeError::Connect("no connection within backend_connect_timeout_ms".into()))
            }
            Err(_) => Err(ExchangeError::Connect("no connection by the call's deadline".into())),
        }
    }

    async fn connect(&self) -> Result<Connection, BoxError> {
        let mut connector = self.connector.clone();
        poll_fn(|cx| connector.poll_ready(cx)).await?;
        let stream = TokioIo::new(connector.call(self.target.clone()).await?);
        let link = Link::new(stream, self.timeouts.idle_connection);
        let traffic = link.traffic();
        let (sender, connection) = http1::handshake(TokioIo::new(link)).await?;
        tokio::spawn(async move {
            // The request that uses the connection gets its error.
            let _ = connection.with_upgrades().await;
        });
        Ok(Connection { sender, traffic, used: Instant::now() })
    }

    /// The connection used last of those that can be used at once.
    async fn checkout(&self, now: Instant) -> Option<Connection> {
        loop {
            let connection = self.take_idle(now)?;
            if connection.idle_since(now) < LOOK_AFTER {
                return Some(connection);
            }
            // The runtime looks at what has come from the network before it goes on here.
            tokio::task::yield_now().await;
            if self.is_usable(&connection, now) {
                return Some(connection);
            }
        }
    }

    fn take_idle(&self, now: Instant) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        loop {
            let top =
                idle.iter().rposition(|connection| connection.sender.is_ready() || connection.sender.is_closed())?;
            // What is above has just been given back, and is about to be ready.
            let connection = idle.remove(top);
            if self.is_usable(&connection, now) {
                return Some(connection);
            }
        }
    }

    fn is_usable(&self, connection: &Connection, now: Instant) -> bool {
        !connection.sender.is_closed()
            && !connection.traffic.is_broken()
            && connection.idle_since(now) < connection.traffic.idle()
            // An upstream that has moved to another address is found again.
            && now.saturating_duration_since(connection.traffic.opened()) < self.timeouts.connection_age
    }

    pub(super) fn connector(&self) -> HttpsConnector<HttpConnector> {
        self.connector.clone()
    }

    pub(super) fn target(&self) -> &Uri {
        &self.target
    }

    /// Takes back a connection whose answer was read to its end. If the body came with its head, `used` is already right.
    pub(super) fn check_in(&self, mut connection: Connection, has_waited: bool) {
        if has_waited {
            connection.used_at(Instant::now());
        }
        lock(&self.idle).push(connection);
    }

    /// Closes what has been idle for too long. Call it now and then.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        for worker in self.idle.iter() {
            lock(worker).retain(|connection| self.is_usable(connection, now));
        }
    }
}

fn lock(idle: &Mutex<Vec<Connection>>) -> MutexGuard<'_, Vec<Connection>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    /// Sends a request, and answers with the head that comes by `due`.
    async fn send(
        mut self,
        request: Request<Full<Bytes>>,
        due: Instant,
    ) -> Result<(Response<Incoming>, Self), SendFailed> {
        let before = self.traffic.now();
        let failure = match timeout_at(due, self.sender.try_send_request(request)).await {
            Ok(Ok(answer)) => return Ok((answer, self)),
            Ok(Err(failure)) => Some(failure),
            Err(_late) => None,
        };
        let after = self.traffic.now();
        Err(SendFailed {
            failure,
            is_unwritten: after.written == before.written,
            is_unanswered: after.read == before.read,
        })
    }

    /// Notes when the connection was last used.
    pub(super) fn used_at(&mut self, now: Instant) {
        self.used = now;
    }

    fn idle_since(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.used)
    }

    /// Obeys an answer's `Keep-Alive: timeout=` (seconds): the connection is left a second before.
    pub(super) fn obey(&self, headers: &HeaderMap) {
        let Some(hint) = headers.get("keep-alive").and_then(|value| value.to_str().ok()) else { return };
        let seconds = hint.split(',').find_map(|field| {
            let (name, value) = field.split_once('=')?;
            name.trim().eq_ignore_ascii_case("timeout").then(|| value.trim().trim_matches('"').parse::<u64>().ok())?
        });
        if let Some(seconds) = seconds {
            self.traffic.shorten_idle(Duration::from_secs(seconds.saturating_sub(1)));
        }
    }
}
