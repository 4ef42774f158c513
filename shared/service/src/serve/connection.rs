//! One connection: how long it may wait for a request, how long its peer may read nothing, and how it ends.
//!
//! With each request it asks whether the process stops. A flag answers: to poll the token takes a lock that all connections share.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http_body::{Body, Frame, SizeHint};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioTimer;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    app::{App, Bounds, Peer},
    progress::{Progress, Turn},
    request_body::RequestBody,
    socket::Carrier,
    watched::Watched,
};

/// What hyper keeps of one connection's unread bytes, at most; a request's head must fit into it.
const READ_BUFFER: usize = 128 * 1024;

/// How long a peer that reads nothing is waited for once the process stops.
const STALL_WHILE_DRAINING: Duration = Duration::from_secs(5);

/// What is still read of a request that was refused early, so that its sender gets to read the answer: a connection that is
/// closed over unread bytes is reset, and the answer is lost with it.
const LINGER_BYTES: u64 = 16 * 1024 * 1024;
const LINGER_FOR: Duration = Duration::from_secs(2);

/// Serves one connection to its end.
pub(super) async fn serve<A: App, S: Carrier>(
    (stream, progress): (S, Arc<Progress>),
    peer: &Peer,
    app: A,
    bounds: Bounds,
    draining: &Draining,
) {
    let (app, state) = (&app, &progress);
    let service = service_fn(move |request: Request<Incoming>| {
        let turn = state.begin();
        let request = request.map(|body| RequestBody::new(body, state));
        async move {
            let response = app.answer(request, peer).await;
            if state.has_unread_body.load(Ordering::Relaxed) {
                // hyper looks at the rest of the body before it writes the answer: then the answer says that the connection
                // closes, and what comes is not taken for the next request.
                tokio::task::yield_now().await;
            }
            Ok::<_, Infallible>(response.map(|body| Answer { body, _turn: turn }))
        }
    });
    let stream = Watched::new(stream, Arc::clone(&progress));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(bounds.header_timeout).max_buf_size(READ_BUFFER);
    let mut connection = builder.serve_connection(stream, service).with_upgrades();
    let mut stall_due = pin!(sleep(bounds.write_timeout));
    let mut told = pin!(draining.told.cancelled());
    let (mut is_watching, mut is_closing) = (false, false);
    let mut stalled_at = None;

    let ended = poll_fn(|cx| {
        let mut polled = Pin::new(&mut connection).poll(cx);
        if !is_closing && (!is_watching || draining.has_begun.load(Ordering::Acquire)) {
            is_watching = true;
            if told.as_mut().poll(cx).is_ready() {
                is_closing = true;
                stalled_at = None;
                Pin::new(&mut connection).graceful_shutdown();
                if polled.is_pending() {
                    polled = Pin::new(&mut connection).poll(cx);
                }
            }
        }
        if let Poll::Ready(ended) = polled {
            return Poll::Ready(ended.map_err(Ended::Hyper));
        }
        if !progress.is_blocked.load(Ordering::Relaxed) {
            stalled_at = None;
            return Poll::Pending;
        }
        // A peer that reads slowly gets its time anew with whatever it takes. One that reads nothing is left.
        let written = progress.written.load(Ordering::Relaxed);
        if stalled_at != Some(written) {
            stalled_at = Some(written);
            let patience =
                if is_closing { bounds.write_timeout.min(STALL_WHILE_DRAINING) } else { bounds.write_timeout };
            stall_due.as_mut().reset(Instant::now() + patience);
        }
        stall_due.as_mut().poll(cx).map(|()| Err(Ended::Unread))
    })
    .await;
    let is_refused = progress.has_unread_body.load(Ordering::Relaxed) || progress.is_refused.load(Ordering::Relaxed);
    // A connection that breaks concerns its client only.
    match ended {
        Ok(()) => {}
        Err(Ended::Hyper(error)) if error.is_timeout() => {
            tracing::debug!(peer = %peer.address, "no request came within header_timeout_ms");
        }
        Err(Ended::Hyper(error)) => tracing::debug!(%error, peer = %peer.address, "connection ended"),
        Err(Ended::Unread) => {
            tracing::info!(peer = %peer.address, "an answer was cut: its reader took nothing within write_timeout_ms");
            if let Some(parts) = connection.into_parts() {
                // What waits in the kernel is thrown away: nobody reads it.
                let _ = parts.io.into_stream().socket().tcp().set_zero_linger();
            }
            return;
        }
    }
    if is_refused && let Some(parts) = connection.into_parts() {
        Box::pin(linger(parts.io.into_stream())).await;
    }
}

/// Says that nothing more is sent, and reads on for a while.
pub(super) async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let _ = timeout(LINGER_FOR, async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await
    })
    .await;
}

/// Why a connection ended, where its client did not simply leave.
enum Ended {
    Hyper(hyper::Error),
    Unread,
}

/// Told to all connections at once: finish what is in flight, and close.
#[derive(Default)]
pub(super) struct Draining {
    has_begun: AtomicBool,
    told: CancellationToken,
}

impl Draining {
    /// Resolves once it begins.
    pub(super) async fn told(&self) {
        self.told.cancelled().await;
    }

    pub(super) fn begin(&self) {
        self.has_begun.store(true, Ordering::Release);
        self.told.cancel();
    }
}

/// An answer's body, which knows when it has been read.
struct Answer<B> {
    body: B,
    _turn: Turn,
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, num::NonZeroUsize, sync::Arc};

    use axum::{Router, routing::get};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
        sync::Semaphore,
        task::JoinHandle,
        time::timeout,
    };

    use super::*;
    use crate::{
        serve::{Bounds, bind, serve_on},
        workers::Workers,
    };

    /// Far longer than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(20);

    struct Server {
        address: SocketAddr,
        /// Lets as many calls of `/slow` be answered.
        slow: Arc<Semaphore>,
        stopping: CancellationToken,
        served: JoinHandle<()>,
    }

    async fn server(head_timeout: Duration) -> Server {
        let slow = Arc::new(Semaphore::new(0));
        let permits = Arc::clone(&slow);
        // More than buffers of the system's hold.
        let large = || async { format!("{}end", "x".repeat(32 * 1024 * 1024)) };
        let router = Router::new().route("/", get(|| async { "quick" })).route("/large", get(large)).route(
            "/slow",
            get(|| async move {
                permits.acquire().await.expect("open").forget();
                "slow"
            }),
        );
        let listener = bind("listen", ([127, 0, 0, 1], 0).into()).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let stopping = CancellationToken::new();
        let bounds = Bounds { header_timeout: head_timeout, drain_timeout: PATIENCE * 2, ..Bounds::default() };
        let workers = Workers::start(NonZeroUsize::new(2).expect("not zero")).expect("threads");
        let served = tokio::spawn(serve_on(workers, listener, None, router, Arc::new(()), bounds, stopping.clone()));
        Server { address, slow, stopping, served }
    }

    async fn connect(server: &Server) -> TcpStream {
        TcpStream::connect(server.address).await.expect("a connection")
    }

    async fn ask(stream: &mut TcpStream, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
    }

    /// Reads on until a body that ends like this.
    async fn answered(stream: &mut TcpStream, body: &str) {
        let mut text = Vec::new();
        while !text.ends_with(body.as_bytes()) {
            let read = timeout(PATIENCE, stream.read_buf(&mut text)).await.expect("in time").expect("read");
            assert!(read > 0, "closed after {}", String::from_utf8_lossy(&text));
        }
    }

    async fn closed(stream: &mut TcpStream) {
        let mut rest = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("in time").expect("read");
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }

    #[tokio::test]
    async fn a_connection_waits_for_the_next_head_as_long_as_for_the_first() {
        let server = server(Duration::from_millis(100)).await;
        let (mut silent, mut asked, mut half) =
            (connect(&server).await, connect(&server).await, connect(&server).await);
        ask(&mut asked, "/").await;
        answered(&mut asked, "quick").await;
        half.write_all(b"GET / HTTP/1.1\r\nho").await.expect("sent");
        closed(&mut silent).await;
        closed(&mut asked).await;
        closed(&mut half).await;
    }

    #[tokio::test]
    async fn a_connection_that_is_being_answered_is_left_alone() {
        let server = server(Duration::from_millis(100)).await;
        let mut slow = connect(&server).await;
        ask(&mut slow, "/slow").await;
        // Once this one is closed, the time is over for the other too, were it counted.
        closed(&mut connect(&server).await).await;
        closed(&mut connect(&server).await).await;
        server.slow.add_permits(1);
        answered(&mut slow, "slow").await;
        closed(&mut slow).await;
    }

    #[tokio::test]
    async fn a_client_that_reads_slowly_gets_the_whole_answer() {
        let server = server(Duration::from_millis(100)).await;
        let mut slow = connect(&server).await;
        ask(&mut slow, "/large").await;
        // The answer is made and buffered; were it time for the next request, it would be over twice.
        closed(&mut connect(&server).await).await;
        closed(&mut connect(&server).await).await;
        // Nor is it once some was read.
        slow.read_exact(&mut vec![0; 16 * 1024 * 1024]).await.expect("read");
        closed(&mut connect(&server).await).await;
        closed(&mut connect(&server).await).await;
        answered(&mut slow, "end").await;
        closed(&mut slow).await;
    }

    #[tokio::test]
    async fn what_is_idle_is_closed_at_once_and_what_is_answered_after_its_answer() {
        let server = server(PATIENCE * 4).await;
        let mut idle = Vec::new();
        // More than there are workers, so that each has one.
        for _ in 0..4 {
            let mut stream = connect(&server).await;
            ask(&mut stream, "/").await;
            answered(&mut stream, "quick").await;
            idle.push(stream);
        }
        let mut slow = connect(&server).await;
        ask(&mut slow, "/slow").await;
        // On its way, or it would be idle.
        let mut probe = connect(&server).await;
        ask(&mut probe, "/").await;
        answered(&mut probe, "quick").await;
        server.stopping.cancel();
        for stream in &mut idle {
            closed(stream).await;
        }
        assert!(!server.served.is_finished());
        server.slow.add_permits(1);
        answered(&mut slow, "slow").await;
        closed(&mut slow).await;
        timeout(PATIENCE, server.served).await.expect("in time").expect("it ends");
    }
}
