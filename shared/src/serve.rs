//! One HTTP/1.1 listener: accepts, bounds and drains connections. What is served is the caller's.
//!
//! `axum::serve` has no header timeout and no bound on connections, and both are what keeps a slow or a
//! hostile client from holding a public listener; so the accept loop is ours. A connection that becomes a WebSocket leaves it:
//! neither its bounds nor its draining reach what another protocol made of the connection.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service as _;

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
pub async fn serve(listener: TcpListener, app: Router, bounds: Bounds, stopping: CancellationToken) {
    let (connections, draining) = (TaskTracker::new(), CancellationToken::new());
    let room = Arc::new(Semaphore::new(bounds.max_connections));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.header_timeout);

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
        let app = app.clone();
        let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(PeerAddr(peer));
            app.clone().call(request.map(Body::new))
        });
        let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let draining = draining.clone();
        connections.spawn(async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = draining.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            // A connection that breaks concerns its client only.
            if let Err(error) = ended {
                tracing::debug!(%error, %peer, "connection ended");
            }
            drop(permit);
        });
    }

    drop(listener);
    draining.cancel();
    connections.close();
    if tokio::time::timeout(bounds.drain_timeout, connections.wait()).await.is_err() {
        tracing::warn!("some requests did not finish within the drain timeout");
    }
}
