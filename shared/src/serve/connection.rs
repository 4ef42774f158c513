//! One connection: how long it may wait for a request, and how it is drained.
//!
//! Both are looked at once a request, so neither may cost one anything: hyper's own header timeout allocates and arms a timer for
//! every request (a fifteenth of a small one's time), and waiting for a token takes a lock that all connections share.

use std::{
    convert::Infallible,
    future::poll_fn,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http_body::{Body, Frame, SizeHint};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::App;

/// Serves one connection to its end. Its requests' heads get `head_timeout` each, counted from the end of the answer before.
pub(super) async fn serve<A: App>(
    stream: TcpStream,
    peer: SocketAddr,
    app: A,
    head_timeout: Duration,
    draining: &Draining,
) {
    let turns = Turns::default();
    let (app, requests) = (&app, &turns);
    let service = service_fn(move |request: Request<Incoming>| {
        let turn = requests.begin();
        async move { Ok::<_, Infallible>(app.answer(request, peer).await.map(|body| Answer { body, _turn: turn })) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = pin!(connection);
    let mut head_due = pin!(sleep(head_timeout));
    let mut told = pin!(draining.told.cancelled());
    let (mut seen_turn, mut is_watching, mut is_closing) = (0, false, false);

    let ended = poll_fn(|cx| {
        if !is_closing && (!is_watching || draining.has_begun.load(Ordering::Acquire)) {
            is_watching = true;
            if told.as_mut().poll(cx).is_ready() {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
            }
        }
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(ended.map_err(|error| error.to_string()));
        }
        let turn = turns.now();
        if turn.is_multiple_of(2) {
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
        tracing::debug!(error, %peer, "connection ended");
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

/// Ours, until the answer is sent or given up.
struct Turn(Turns);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// An answer's body, which knows when it has been sent.
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
