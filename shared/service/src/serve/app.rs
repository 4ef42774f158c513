//! What a listener serves, to whom, and within which bounds.

use std::{
    any::Any,
    error::Error,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use bytes::Bytes;
use hyper::{Request, Response};
use tower::Service as _;

use super::request_body::RequestBody;
use crate::error::ApiError;

/// What is served: a router, or what knows a shorter way for some requests.
pub trait App: Clone + Send + Sync + 'static {
    /// The answers' bodies.
    type Body: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static;

    /// Answers one request of a connection.
    fn answer(&self, request: Request<RequestBody>, peer: &Peer) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// Handlers find the [`Peer`] in the request's extensions.
impl App for Router {
    type Body = Body;

    async fn answer(&self, mut request: Request<RequestBody>, peer: &Peer) -> Response<Body> {
        request.extensions_mut().insert(peer.clone());
        let Ok(response) = self.clone().call(request.map(Body::new)).await;
        response
    }
}

/// The peer of a connection. A task that outlives the request, such as a WebSocket, must keep this value: it counts the connection
/// against its worker.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address it came from.
    pub address: SocketAddr,
    pub(super) _place: Arc<WorkerShare>,
}

/// Bounds of one listener.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How long a request's head may take to arrive, and how long a connection may idle between requests.
    pub header_timeout: Duration,
    /// How long a peer may read nothing of what is written to it.
    pub write_timeout: Duration,
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
            write_timeout: Duration::from_secs(30),
            max_connections: 20_000,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(25),
        }
    }
}

/// Says who may have a connection, by the address it comes from.
pub trait Gate: Send + Sync + 'static {
    /// Lets a connection in. What it answers is kept until the connection ends.
    ///
    /// # Errors
    /// What the peer is answered before its connection is closed.
    fn enter(&self, address: IpAddr) -> Result<Box<dyn Any + Send>, ApiError>;
}

/// Everybody may.
impl Gate for () {
    fn enter(&self, _: IpAddr) -> Result<Box<dyn Any + Send>, ApiError> {
        Ok(Box::new(()))
    }
}

/// A connection's place among those of its worker.
#[derive(Debug)]
pub(super) struct WorkerShare {
    open: Arc<[AtomicUsize]>,
    worker: usize,
}

impl WorkerShare {
    pub(super) fn taken(open: &Arc<[AtomicUsize]>, worker: usize) -> Self {
        open[worker].fetch_add(1, Ordering::Relaxed);
        Self { open: Arc::clone(open), worker }
    }
}

impl Drop for WorkerShare {
    fn drop(&mut self) {
        self.open[self.worker].fetch_sub(1, Ordering::Relaxed);
    }
}
