//! The stream under a connection: it replaces the bare answers that hyper gives by itself to what it cannot read, so that they too have
//! the envelope and a request id.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;

use super::{progress::Progress, socket::Carrier};
use crate::error::ApiError;
use wire::{ErrorCode, request_id::RequestId};

/// A connection's stream.
pub(super) struct Watched<S> {
    io: TokioIo<S>,
    progress: Arc<Progress>,
    /// The turn in which everything was written. hyper flushes only when it has nothing left to write.
    flushed_in: u64,
    instead: Option<Instead>,
}

/// An answer that is written in the place of hyper's own.
struct Instead {
    bytes: Vec<u8>,
    written: usize,
    /// How long hyper's is, which then counts as written.
    replaces: usize,
}

impl<S: Carrier> Watched<S> {
    pub(super) fn new(stream: S, progress: Arc<Progress>) -> Self {
        Self { io: TokioIo::new(stream), progress, flushed_in: 0, instead: None }
    }

    pub(super) fn into_stream(self) -> S {
        self.io.into_inner()
    }

    /// An answer that hyper gives by itself is one piece, and comes while no request is being answered and nothing of an
    /// earlier answer waits.
    fn replacement(&self, bytes: &[u8]) -> Option<Instead> {
        let turn = self.progress.turn();
        if turn != self.flushed_in || !turn.is_multiple_of(2) {
            return None;
        }
        let status = bytes.strip_prefix(b"HTTP/1.1 ").or_else(|| bytes.strip_prefix(b"HTTP/1.0 "))?;
        let error = match status.get(..4)? {
            b"400 " if self.progress.speaks_tls.load(Ordering::Relaxed) => ApiError::new(
                ErrorCode::MalformedRequest,
                "This port takes http, and what came is TLS. Send the request to http:// instead of https://.",
            ),
            b"400 " => ApiError::new(
                ErrorCode::MalformedRequest,
                "This could not be read as an HTTP/1.1 request: check its line, its header fields and its framing.",
            ),
            b"414 " => ApiError::new(ErrorCode::UriTooLong, "The request's URL is too long. Send less in it."),
            b"431 " => ApiError::new(
                ErrorCode::HeadersTooLarge,
                "The request's header fields are too many or too large. Send fewer or smaller ones.",
            ),
            _ => return None,
        };
        self.progress.is_refused.store(true, Ordering::Relaxed);
        let bytes_instead = error.to_http1(&RequestId::generate());
        Some(Instead { bytes: bytes_instead, written: 0, replaces: bytes.len() })
    }

    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        while let Some(Instead { bytes, written, replaces }) = self.instead.take() {
            if written == bytes.len() {
                return Poll::Ready(Ok(replaces));
            }
            let polled = Pin::new(&mut self.io).poll_write(cx, &bytes[written..]);
            let more = if let Poll::Ready(Ok(more)) = &polled { *more } else { 0 };
            self.instead = Some(Instead { bytes, written: written + more, replaces });
            if ready!(polled)? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Poll::Pending
    }
}

impl<S: Carrier> Read for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<S: Carrier> Write for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.instead.is_none() {
            self.instead = self.replacement(bytes);
        }
        if self.instead.is_some() {
            return self.poll_instead(cx);
        }
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushed_in = self.progress.turn();
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
        if self.instead.is_none() && slices.len() == 1 {
            self.instead = self.replacement(&slices[0]);
        }
        if self.instead.is_some() {
            return self.poll_instead(cx);
        }
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }
}
