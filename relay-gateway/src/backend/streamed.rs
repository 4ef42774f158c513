//! The body of an upstream's answer, as it streams.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::HeaderValue;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};
use tracing::Span;

use super::{pool::Connection, upstream_state::UpstreamState};

/// An answer's body, each piece within the upstream's idle timeout. Read to its end, its connection is free for the next.
pub(crate) struct Streamed {
    body: Incoming,
    connection: Option<Connection>,
    /// Until when a piece must come; made when one is first waited for.
    silence: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
    exchange: Exchange,
    request_id: Option<HeaderValue>,
}

/// An exchange with an upstream.
pub(super) struct Exchange {
    pub(super) upstream: Arc<UpstreamState>,
    pub(super) started: Instant,
    pub(super) span: Span,
}

/// Why an answer broke off.
#[derive(Debug)]
pub(crate) enum BrokenOff {
    Silence,
    Connection(hyper::Error),
}

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence => f.write_str("nothing came within backend_idle_timeout_ms"),
            Self::Connection(error) => error.fmt(f),
        }
    }
}

impl Error for BrokenOff {}

impl Streamed {
    pub(super) fn new(
        body: Incoming,
        connection: Connection,
        exchange: Exchange,
        request_id: Option<HeaderValue>,
    ) -> Self {
        let mut streamed =
            Self { body, connection: Some(connection), silence: None, is_waiting: false, exchange, request_id };
        streamed.check_in_at_end();
        streamed
    }

    fn check_in_at_end(&mut self) {
        if self.body.is_end_stream() {
            self.check_in();
        }
    }

    fn check_in(&mut self) {
        if let Some(connection) = self.connection.take() {
            let has_waited = self.silence.is_some();
            self.exchange.upstream.pool.check_in(connection, has_waited);
        }
    }

    /// Whether nothing has come for too long.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let patience = self.exchange.upstream.timeouts.idle;
        let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(patience)));
        if !self.is_waiting {
            self.is_waiting = true;
            silence.as_mut().reset(tokio::time::Instant::now() + patience);
        }
        silence.as_mut().poll(cx)
    }

    /// The head is out, so the caller sees a broken connection: only here is it known why.
    fn broke_off(&mut self, why: &BrokenOff) {
        self.connection = None;
        let (Exchange { upstream, started, span }, request_id) = (&self.exchange, &self.request_id);
        span.in_scope(|| tracing::warn!(?request_id, error = %why, "an answer broke off half-way"));
        upstream.metrics.upstream_answered(upstream.name, "broken_body", started.elapsed());
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let broken = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(piece))) => {
                self.is_waiting = false;
                if piece.is_trailers() {
                    // Trailers are the last piece, and hyper does not poll again after them.
                    self.check_in();
                }
                self.check_in_at_end();
                return Poll::Ready(Some(Ok(piece)));
            }
            Poll::Ready(None) => {
                self.check_in();
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(error))) => BrokenOff::Connection(error),
            Poll::Pending => {
                ready!(self.poll_silence(cx));
                BrokenOff::Silence
            }
        };
        self.broke_off(&broken);
        Poll::Ready(Some(Err(broken)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
