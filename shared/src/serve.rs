//! One HTTP/1.1 listener: accepts, bounds and drains connections. What is served is the caller's.
//!
//! `axum::serve` has no header timeout and no bound on connections, and both are what keeps a slow or a
//! hostile client from holding a public listener; so the accept loop is ours. A connection that becomes a WebSocket leaves it:
//! neither its bounds nor its draining reach what another protocol made of the connection.

use std::{
    error::Error,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use bytes::Bytes;
use hyper::{Request, Response, body::Incoming};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service as _;

use connection::Draining;

use crate::lanes::Lanes;

mod connection;

/// What is served: a router, or what knows a shorter way for some requests.
pub trait App: Clone + Send + Sync + 'static {
    /// The answers' bodies.
    type Body: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static;

    /// Answers one request of a connection from `peer`.
    fn answer(&self, request: Request<Incoming>, peer: SocketAddr)
    -> impl Future<Output = Response<Self::Body>> + Send;
}

/// Handlers find the connection's address in the request's extensions, as [`PeerAddr`].
impl App for Router {
    type Body = Body;

    async fn answer(&self, mut request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        request.extensions_mut().insert(PeerAddr(peer));
        let Ok(response) = self.clone().call(request.map(Body::new)).await;
        response
    }
}

/// The address a connection came from, as a request extension.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddr(pub SocketAddr);

/// Bounds of one listener.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How long a request's head may take to arrive, and how long a connection may idle between requests.
    pub header_timeout: Duration,
    /// How many connections are open at once; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// How long new connections are still taken once the process stops, with `/readyz` saying so: as long as the load
    /// balancer needs to notice.
    pub drain_delay: Duration,
    /// How long requests in flight then get to finish.
    pub drain_timeout: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            max_connections: 20_000,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(25),
        }
    }
}

/// Opens a listening socket.
///
/// # Errors
/// The system's, naming the address.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
}

/// Serves `app` until `stopping` is cancelled and [`Bounds::drain_delay`] is over, then stops accepting, lets requests in
/// flight finish for [`Bounds::drain_timeout`], and returns.
pub async fn serve<A: App>(listener: TcpListener, app: A, bounds: Bounds, stopping: CancellationToken) {
    serve_on(Lanes::one(), listener, app, bounds, stopping).await;
}

/// The same, with the connections spread over lanes.
pub async fn serve_on<A: App>(
    lanes: Lanes,
    listener: TcpListener,
    app: A,
    bounds: Bounds,
    stopping: CancellationToken,
) {
    let open: Arc<[AtomicUsize]> = lanes.runtimes().iter().map(|_| AtomicUsize::new(0)).collect();
    let connections = TaskTracker::new();
    let draining = Arc::new(Draining::default());
    let room = Arc::new(Semaphore::new(bounds.max_connections));

    let told_to_stop = async {
        stopping.cancelled().await;
        tokio::time::sleep(bounds.drain_delay).await;
    };
    tokio::pin!(told_to_stop);
    loop {
        let accept = async {
            // Never closed, so a permit always comes.
            let permit = Arc::clone(&room).acquire_owned().await.ok();
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            biased;
            () = &mut told_to_stop => break,
            accepted = accept => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the peer left: neither ends the listener. The pause keeps the
                // first from spinning.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        // An answer's head and body are written together; waiting to fill a segment only adds latency.
        let _ = stream.set_nodelay(true);
        // To the lane that has the fewest: connections live long, so it is they that have to be even.
        let lane = (0..open.len()).min_by_key(|lane| open[*lane].load(Ordering::Relaxed)).unwrap_or_default();
        let place = Place { open: Arc::clone(&open), lane, _permit: permit };
        open[lane].fetch_add(1, Ordering::Relaxed);
        let (app, draining) = (app.clone(), Arc::clone(&draining));
        let served = async move {
            match moved_here(stream, lane) {
                Ok(stream) => connection::serve(stream, peer, app, bounds.header_timeout, &draining).await,
                Err(error) => tracing::warn!(%error, "a connection was lost on its way to its lane"),
            }
            drop(place);
        };
        connections.spawn_on(served, &lanes.runtimes()[lane]);
    }

    drop(listener);
    draining.begin();
    connections.close();
    if tokio::time::timeout(bounds.drain_timeout, connections.wait()).await.is_err() {
        tracing::warn!("some requests did not finish within the drain timeout");
    }
}

/// A connection's place: in its lane, and among all there may be.
struct Place {
    open: Arc<[AtomicUsize]>,
    lane: usize,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open[self.lane].fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream is woken by the runtime it was made on: on another lane it has to be made anew.
fn moved_here(stream: TcpStream, lane: usize) -> io::Result<TcpStream> {
    if lane == 0 { Ok(stream) } else { TcpStream::from_std(stream.into_std()?) }
}
