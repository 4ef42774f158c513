//! One HTTP/1.1 listener: accepts, bounds and drains connections. What is served is the caller's.
//!
//! `axum::serve` has no header timeout and no bound on connections, and both are what keeps a slow or a
//! hostile client from holding a public listener; so the accept loop is ours. A connection that becomes a WebSocket leaves it:
//! neither its bounds nor its draining reach what another protocol made of the connection.

use std::{
    any::Any,
    error::Error,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use bytes::Bytes;
use hyper::{Request, Response};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service as _;

use connection::Draining;
pub use connection::RequestBody;

use crate::{ApiError, workers::Workers};
use wire::request_id::RequestId;

mod connection;
mod watched;

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

/// Who is at the other end of a connection. What becomes of the connection keeps it for as long as it lasts: by that its worker
/// counts as busy.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address it came from.
    pub address: SocketAddr,
    _place: Arc<WorkerShare>,
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

/// Bytes that wait in the kernel for a peer to read them. Half as many again must be read before the kernel says that there is
/// room: with the megabytes it would give by itself, a peer that reads slowly could not be told from one that reads nothing.
const SEND_BUFFER: u32 = 256 * 1024;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Peers without a place that are answered at once; further ones are closed without a word.
const TURNED_AWAY_AT_ONCE: usize = 64;

/// A listener that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{setting} = {address}: {}", reason(source))]
pub struct ListenError {
    setting: &'static str,
    address: SocketAddr,
    source: io::Error,
}

impl ListenError {
    /// The same under the name that another program has for the setting.
    #[must_use]
    pub fn of_setting(self, setting: &'static str) -> Self {
        Self { setting, ..self }
    }

    /// The setting that names the address.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        self.setting
    }
}

/// Why the system gave no listener, and what to do.
fn reason(error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there: stop it, or set another address",
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: set one of its own, or 0.0.0.0 for all of them"
        }
        io::ErrorKind::PermissionDenied => "this user may not listen there: ports below 1024 need a privilege",
        _ => return format!("cannot listen: {error}"),
    };
    format!("{}: {advice}", error.kind())
}

/// Opens a listening socket at the address that `setting` names.
///
/// # Errors
/// [`ListenError`].
pub async fn bind(setting: &'static str, address: SocketAddr) -> Result<TcpListener, ListenError> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bound().map_err(|source| ListenError { setting, address, source })
}

/// Where this machine reaches a listener: one on all addresses is reached on loopback, for `0.0.0.0` is no address to call.
#[must_use]
pub fn from_this_machine(mut listener: SocketAddr) -> SocketAddr {
    match listener.ip() {
        IpAddr::V4(address) if address.is_unspecified() => listener.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(address) if address.is_unspecified() => listener.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listener
}

/// Serves `app` until `stopping` is cancelled and [`Bounds::drain_delay`] is over, then stops accepting, lets requests in
/// flight finish for [`Bounds::drain_timeout`], and returns.
pub async fn serve<A: App>(listener: TcpListener, app: A, bounds: Bounds, stopping: CancellationToken) {
    serve_on(Workers::one(), listener, app, Arc::new(()), bounds, stopping).await;
}

/// The same, with the connections spread over workers, and a gate before them.
pub async fn serve_on<A: App>(
    workers: Workers,
    listener: TcpListener,
    app: A,
    gate: Arc<dyn Gate>,
    bounds: Bounds,
    stopping: CancellationToken,
) {
    let open: Arc<[AtomicUsize]> = workers.runtimes().iter().map(|_| AtomicUsize::new(0)).collect();
    let connections = TaskTracker::new();
    let draining = Arc::new(Draining::default());
    let mut accepted_so_far = 0_usize;
    let room = Arc::new(Semaphore::new(bounds.max_connections));
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_AT_ONCE));
    let mut is_failing = false;

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
            Ok(accepted) => {
                if is_failing {
                    is_failing = false;
                    tracing::info!("connections are accepted again");
                }
                accepted
            }
            Err(error) if is_of_one_peer(&error) => continue,
            Err(error) => {
                // Out of descriptors or memory: that does not end the listener. It is said once, however long it lasts, and
                // the pause keeps the loop from spinning.
                if !is_failing {
                    is_failing = true;
                    tracing::warn!(%error, "no connection can be accepted: see the limit of descriptors and max_connections");
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let entered = match gate.enter(address.ip()) {
            Ok(entered) => entered,
            Err(error) => {
                if let Ok(place) = Arc::clone(&turned_away).try_acquire_owned() {
                    connections.spawn(async move {
                        turn_away(stream, &error).await;
                        drop(place);
                    });
                }
                continue;
            }
        };
        // An answer's head and body are written together; waiting to fill a segment only adds latency.
        let _ = stream.set_nodelay(true);
        let worker = least_busy(&open, accepted_so_far);
        accepted_so_far = accepted_so_far.wrapping_add(1);
        let peer = Peer { address, _place: Arc::new(WorkerShare::taken(&open, worker)) };
        let (app, draining) = (app.clone(), Arc::clone(&draining));
        let served = async move {
            match moved_here(stream, worker) {
                Ok(stream) => connection::serve(stream, &peer, app, bounds, &draining).await,
                Err(error) => tracing::warn!(%error, "a connection was lost on its way to its worker"),
            }
            // Leave the gate first: a connection that gets this permit must find a free place at the gate as well.
            drop(entered);
            drop(permit);
        };
        connections.spawn_on(served, &workers.runtimes()[worker]);
    }

    drop(listener);
    draining.begin();
    connections.close();
    if tokio::time::timeout(bounds.drain_timeout, connections.wait()).await.is_err() {
        tracing::warn!("some requests did not finish within drain_timeout_ms, and were cut");
    }
}

/// Whether accepting failed because of the peer that was to be accepted, which has left.
fn is_of_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// Tells a peer why it is not served, and closes.
async fn turn_away(mut stream: TcpStream, error: &ApiError) {
    let answer = error.to_http1(&RequestId::generate());
    if let Ok(Ok(())) = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&answer)).await {
        connection::linger(stream).await;
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
struct WorkerShare {
    open: Arc<[AtomicUsize]>,
    worker: usize,
}

impl WorkerShare {
    fn taken(open: &Arc<[AtomicUsize]>, worker: usize) -> Self {
        open[worker].fetch_add(1, Ordering::Relaxed);
        Self { open: Arc::clone(open), worker }
    }
}

impl Drop for WorkerShare {
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
