//! Connections to one upstream, kept open between exchanges.
//!
//! hyper's own connections, and a stack of those that are idle. A pooled client for any host and either protocol spawns a task,
//! hashes a key and boxes two futures for each request; here is one host, and HTTP/1.1.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, RootCertStore};
use shared::workers::PerWorker;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tower::{BoxError, Service as _};

/// Connections are used no more after this. An upstream that closes sooner may close just as a call is sent, which is a 502.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Connections to one upstream.
pub(super) struct Pool {
    connector: HttpsConnector<HttpConnector>,
    /// Scheme and authority.
    target: Uri,
    /// The one used last is on top, so that those there are too many of grow old. A connection stays on the worker that opened it.
    idle: PerWorker<Mutex<Vec<Connection>>>,
}

/// A connection that one exchange has for itself.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// One timer for every wait there is: to be moved later costs it a store, and to be made anew a lock and an allocation.
    timer: Pin<Box<Sleep>>,
    /// When its last exchange began; a stream longer than the idle timeout is its last.
    used: Instant,
}

/// Why there was no answer.
pub(super) enum ExchangeError {
    /// There is no connection to be had: nothing was sent.
    Connect(BoxError),
    /// Not in time.
    Timeout,
    /// The connection broke, or what came is not HTTP.
    Broken(hyper::Error),
}

impl Pool {
    pub(super) fn new(name: &'static str, target: Uri, connect_timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_timeout));
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
        Self { connector, target, idle: PerWorker::default() }
    }

    /// Sends a request and answers with the head that comes in time, and the connection: its owner checks it in once it has read
    /// the body. Only what was never written, because the connection had closed meanwhile, is sent again.
    pub(super) async fn exchange(
        &self,
        mut request: Request<Full<Bytes>>,
        started: Instant,
        timeout: Duration,
    ) -> Result<(Response<Incoming>, Connection), ExchangeError> {
        let due = started + timeout;
        loop {
            let (mut connection, is_new) = match self.checkout(started) {
                Some(idle) => (idle, false),
                // Boxed, so that an exchange on an idle connection does not carry about what connecting takes.
                None => match Box::pin(timeout_at(due, self.connect())).await {
                    Ok(Ok(connected)) => (connected, true),
                    // One may have become idle meanwhile.
                    Ok(Err(error)) => (self.checkout(started).ok_or(ExchangeError::Connect(error))?, false),
                    Err(_) => return Err(ExchangeError::Timeout),
                },
            };
            connection.used = started;
            connection.due(due);
            let Connection { sender, timer, .. } = &mut connection;
            let mut answer = pin!(sender.try_send_request(request));
            let answered = poll_fn(|cx| match answer.as_mut().poll(cx) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
            });
            match answered.await {
                Some(Ok(answer)) => return Ok((answer, connection)),
                Some(Err(mut failed)) => match failed.take_message() {
                    Some(unsent) if !is_new => request = unsent,
                    Some(_) => return Err(ExchangeError::Connect(failed.into_error().into())),
                    None => return Err(ExchangeError::Broken(failed.into_error())),
                },
                None => return Err(ExchangeError::Timeout),
            }
        }
    }

    async fn connect(&self) -> Result<Connection, BoxError> {
        let mut connector = self.connector.clone();
        poll_fn(|cx| connector.poll_ready(cx)).await?;
        let stream = connector.call(self.target.clone()).await?;
        let (sender, connection) = http1::handshake(stream).await?;
        tokio::spawn(async move {
            // Whoever uses it is told.
            let _ = connection.with_upgrades().await;
        });
        let now = Instant::now();
        Ok(Connection { sender, timer: Box::pin(sleep_until(now)), used: now })
    }

    /// The connection used last of those that can be used at once.
    fn checkout(&self, now: Instant) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        loop {
            let top =
                idle.iter().rposition(|connection| connection.sender.is_ready() || connection.sender.is_closed())?;
            // What is above has just been given back, and is about to be ready.
            let connection = idle.remove(top);
            if connection.is_fresh(now) {
                return Some(connection);
            }
        }
    }

    pub(super) fn target(&self) -> &Uri {
        &self.target
    }

    /// Takes back a connection whose answer was read to its end.
    pub(super) fn check_in(&self, connection: Connection) {
        lock(&self.idle).push(connection);
    }

    /// Closes what has been idle for too long. Call it now and then.
    pub(super) fn tidy(&self) {
        let now = Instant::now();
        for worker in self.idle.iter() {
            lock(worker).retain(|connection| connection.is_fresh(now));
        }
    }
}

fn lock(idle: &Mutex<Vec<Connection>>) -> MutexGuard<'_, Vec<Connection>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    fn is_fresh(&self, now: Instant) -> bool {
        !self.sender.is_closed() && now.saturating_duration_since(self.used) < IDLE_TIMEOUT
    }

    /// Sets the timer.
    pub(super) fn due(&mut self, at: Instant) {
        self.timer.as_mut().reset(at);
    }

    pub(super) fn timer(&mut self) -> Pin<&mut Sleep> {
        self.timer.as_mut()
    }
}
