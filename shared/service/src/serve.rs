//! One HTTP/1.1 listener: accepts, bounds and drains connections. What is served is the caller's.
//!
//! `axum::serve` has no header timeout and no bound on connections, and both are what keeps a slow or a
//! hostile client from holding a public listener; so the accept loop is ours. A connection that becomes a WebSocket leaves it:
//! neither its bounds nor its draining reach what another protocol made of the connection.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wire::request_id::RequestId;

use crate::{error::ApiError, workers::Workers};
use app::WorkerShare;
use connection::Draining;
use socket::Socket;

mod app;
mod connection;
mod listener;
mod progress;
mod request_body;
mod socket;
mod tls;
mod tls_files;
mod watched;

pub use app::{App, Bounds, Gate, Peer};
pub use listener::{ListenError, bind, from_this_machine};
pub use request_body::RequestBody;
pub use tls::{Accepted, NoTls, Tls};
pub use tls_files::{TlsError, TlsFiles};

/// Peers without a place that are answered at once; further ones are closed without a word.
const TURNED_AWAY_AT_ONCE: usize = 64;

/// Serves `app` until `stopping` is cancelled and [`Bounds::drain_delay`] is over, then stops accepting, lets requests in
/// flight finish for [`Bounds::drain_timeout`], and returns.
pub async fn serve<A: App>(listener: TcpListener, app: A, bounds: Bounds, stopping: CancellationToken) {
    serve_on(Workers::one(), listener, None, app, Arc::new(()), bounds, stopping).await;
}

/// The same, with the connections spread over workers, a gate before them, and TLS on them where `tls` is given.
pub async fn serve_on<A: App>(
    workers: Workers,
    listener: TcpListener,
    tls: Option<Tls>,
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
            // To tell the peer why would take a handshake, which costs more than the gate spares.
            Err(_) if tls.is_some() => continue,
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
        let (app, tls, draining) = (app.clone(), tls.clone(), Arc::clone(&draining));
        let served = async move {
            match moved_here(stream, worker) {
                Ok(stream) => match tls {
                    None => {
                        let progress = Arc::default();
                        let socket = Socket::plain(stream, &progress);
                        connection::serve((socket, progress), &peer, app, bounds, &draining).await;
                    }
                    // Boxed, so that connections without TLS do not carry about what it takes.
                    Some(tls) => Box::pin(serve_with_tls(tls, stream, &peer, app, bounds, &draining)).await,
                },
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

async fn serve_with_tls<A: App>(tls: Tls, stream: TcpStream, peer: &Peer, app: A, bounds: Bounds, draining: &Draining) {
    let progress = Arc::default();
    let socket = Socket::under_tls(stream, &progress);
    let accepted = tokio::select! {
        accepted = tls.accept(socket, Socket::tcp, bounds.header_timeout) => accepted,
        // No request has come over the connection yet, so nothing is cut.
        () = draining.told() => return,
    };
    match accepted {
        Ok(Accepted { stream, .. }) => connection::serve((stream, progress), peer, app, bounds, draining).await,
        Err(NoTls::Left) => {}
        Err(NoTls::Plain(socket)) => turn_away(socket.into_tcp(), &tls::speaks_plainly()).await,
        Err(NoTls::Failed(error)) => tracing::debug!(%error, peer = %peer.address, "no TLS connection came about"),
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
