//! One connection: how long it may wait for a request, and how it is drained.
//!
//! Both are looked at once a request, so neither may cost one anything: hyper's own header timeout allocates and arms a timer for
//! every request, and waiting for a token takes a lock that all connections share.

use std::{
    convert::Infallible,
    future::poll_fn,
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http_body::{Body, Frame, SizeHint};
use hyper::{
    Request,
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{App, Peer};

/// Serves one connection to its end. Its requests' heads get `head_timeout` each, counted from the end of the answer before.
pub(super) async fn serve<A: App>(stream: TcpStream, peer: &Peer, app: A, head_timeout: Duration, draining: &Draining) {
    let (turns, stream) = (Turns::default(), Watched::new(stream));
    let (app, requests, is_blocked) = (&app, &turns, Arc::clone(&stream.is_blocked));
    let service = service_fn(move |request: Request<Incoming>| {
        let turn = requests.begin();
        async move { Ok::<_, Infallible>(app.answer(request, peer).await.map(|body| Answer { body, _turn: turn })) }
    });
    let connection = http1::Builder::new().serve_connection(stream, service).with_upgrades();
    let mut connection = pin!(connection);
    let mut head_due = pin!(sleep(head_timeout));
    let mut told = pin!(draining.told.cancelled());
    let (mut seen_turn, mut is_watching, mut is_closing) = (0, false, false);

    let ended = poll_fn(|cx| {
        let mut polled = connection.as_mut().poll(cx);
        if !is_closing && (!is_watching || draining.has_begun.load(Ordering::Acquire)) {
            is_watching = true;
            if told.as_mut().poll(cx).is_ready() {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
                if polled.is_pending() {
                    polled = connection.as_mut().poll(cx);
                }
            }
        }
        if let Poll::Ready(ended) = polled {
            return Poll::Ready(ended.map_err(|error| error.to_string()));
        }
        let turn = turns.now();
        if is_blocked.load(Ordering::Relaxed) {
            // Who reads slowly is not late with the next request: its time begins anew.
            seen_turn = u64::MAX;
        } else if turn.is_multiple_of(2) {
            if turn != seen_turn {
                // To a later time: that is one store, and the timer's wheel is not touched.
                head_due.as_mut().reset(Instant::now() + head_timeout);
                seen_turn = turn;
            }
            if head_due.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err("no request came in time".to_owned()));
            }
        }
        Poll::Pending
    })
    .await;
    // A connection that breaks concerns its client only.
    if let Err(error) = ended {
        tracing::debug!(error, peer = %peer.address, "connection ended");
    }
}

/// A stream that knows whether the other end takes what is written to it.
struct Watched {
    io: TokioIo<TcpStream>,
    is_blocked: Arc<AtomicBool>,
}

impl Watched {
    fn new(stream: TcpStream) -> Self {
        Self { io: TokioIo::new(stream), is_blocked: Arc::default() }
    }

    fn wrote<T>(&self, polled: Poll<T>) -> Poll<T> {
        self.is_blocked.store(polled.is_pending(), Ordering::Relaxed);
        polled
    }
}

impl Read for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl Write for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.wrote(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.wrote(polled)
    }
}

/// Told to all connections at once: finish what is in flight, and close.
#[derive(Default)]
pub(super) struct Draining {
    has_begun: AtomicBool,
    told: CancellationToken,
}

impl Draining {
    pub(super) fn begin(&self) {
        self.has_begun.store(true, Ordering::Release);
        self.told.cancel();
    }
}

/// Whose turn it is: even while a request is awaited, odd while one is answered.
#[derive(Clone, Default)]
struct Turns(Arc<AtomicU64>);

impl Turns {
    fn begin(&self) -> Turn {
        self.0.fetch_add(1, Ordering::Relaxed);
        Turn(self.clone())
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Ours, until all of the answer is written to the connection's buffer, or it is given up.
struct Turn(Turns);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
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
        let listener = bind(([127, 0, 0, 1], 0).into()).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let stopping = CancellationToken::new();
        let bounds = Bounds { header_timeout: head_timeout, drain_timeout: PATIENCE * 2, ..Bounds::default() };
        let workers = Workers::start(NonZeroUsize::new(2).expect("not zero")).expect("threads");
        let served = tokio::spawn(serve_on(workers, listener, router, bounds, stopping.clone()));
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
    async fn whoever_reads_slowly_gets_all_of_it() {
        let server = server(Duration::from_millis(100)).await;
        let mut slow = connect(&server).await;
        ask(&mut slow, "/large").await;
        // The answer is made and buffered; were it time for the next request, it would be over twice.
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
