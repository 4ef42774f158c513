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
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service as _;

use connection::Draining;

use crate::workers::Workers;

mod connection;

/// What is served: a router, or what knows a shorter way for some requests.
pub trait App: Clone + Send + Sync + 'static {
    /// The answers' bodies.
    type Body: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static;

    /// Answers one request of a connection.
    fn answer(&self, request: Request<Incoming>, peer: &Peer) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// Handlers find the [`Peer`] in the request's extensions.
impl App for Router {
    type Body = Body;

    async fn answer(&self, mut request: Request<Incoming>, peer: &Peer) -> Response<Body> {
        request.extensions_mut().insert(peer.clone());
        let Ok(response) = self.clone().call(request.map(Body::new)).await;
        response
    }
}

/// Who is at the other end of a connection. What becomes of the connection keeps it for as long as it lasts: by that its worker
/// counts as busy.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address it came from.
    pub address: SocketAddr,
    _place: Arc<Place>,
}

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
    serve_on(Workers::one(), listener, app, bounds, stopping).await;
}

/// The same, with the connections spread over workers.
pub async fn serve_on<A: App>(
    workers: Workers,
    listener: TcpListener,
    app: A,
    bounds: Bounds,
    stopping: CancellationToken,
) {
    let open: Arc<[AtomicUsize]> = workers.runtimes().iter().map(|_| AtomicUsize::new(0)).collect();
    let connections = TaskTracker::new();
    let draining = Arc::new(Draining::default());
    let mut accepted_so_far = 0_usize;
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
        let (stream, address) = match accepted {
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
        let worker = least_busy(&open, accepted_so_far);
        accepted_so_far = accepted_so_far.wrapping_add(1);
        let peer = Peer { address, _place: Arc::new(Place::taken(&open, worker)) };
        let (app, draining) = (app.clone(), Arc::clone(&draining));
        let served = async move {
            match moved_here(stream, worker) {
                Ok(stream) => connection::serve(stream, &peer, app, bounds.header_timeout, &draining).await,
                Err(error) => tracing::warn!(%error, "a connection was lost on its way to its worker"),
            }
            drop(permit);
        };
        connections.spawn_on(served, &workers.runtimes()[worker]);
    }

    drop(listener);
    draining.begin();
    connections.close();
    if tokio::time::timeout(bounds.drain_timeout, connections.wait()).await.is_err() {
        tracing::warn!("some requests did not finish within the drain timeout");
    }
}

/// The worker with the fewest connections, and of several each in its turn.
fn least_busy(open: &[AtomicUsize], turn: usize) -> usize {
    (0..open.len())
        .map(|after| (turn + after) % open.len())
        .min_by_key(|worker| open[*worker].load(Ordering::Relaxed))
        .unwrap_or_default()
}

/// A connection's place among those of its worker.
#[derive(Debug)]
struct Place {
    open: Arc<[AtomicUsize]>,
    worker: usize,
}

impl Place {
    fn taken(open: &Arc<[AtomicUsize]>, worker: usize) -> Self {
        open[worker].fetch_add(1, Ordering::Relaxed);
        Self { open: Arc::clone(open), worker }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open[self.worker].fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream is woken by the runtime it was made on: on another worker it has to be made anew.
fn moved_here(stream: TcpStream, worker: usize) -> io::Result<TcpStream> {
    if worker == 0 { Ok(stream) } else { TcpStream::from_std(stream.into_std()?) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_all_are_alike_each_worker_has_its_turn() {
        let open = [3, 3, 3].map(AtomicUsize::new);
        let picked: Vec<_> = (0..4).map(|turn| least_busy(&open, turn)).collect();
        assert_eq!(picked, [0, 1, 2, 0]);
        open[1].store(2, Ordering::Relaxed);
        assert!((0..4).all(|turn| least_busy(&open, turn) == 1));
    }
}
