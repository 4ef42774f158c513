//! The stream under a connection to an upstream: it counts what passes, and does not let a failed write hide an answer.
//!
//! An upstream may answer before it has read the body, and close. The write then fails while the answer waits to be read; hyper
//! would report the write. So a failed write is kept quiet here: the read that follows brings the answer, or the end.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};
use wire::time::as_millis;

/// What has passed over a connection, and what is known of it. It is apart from the connection, which is moved with each answer
/// and has to be small.
pub(super) struct Traffic {
    written: AtomicU64,
    read: AtomicU64,
    is_broken: AtomicBool,
    opened: Instant,
    /// How long the connection may be idle, in milliseconds.
    idle_ms: AtomicU64,
}

/// Bytes that have passed at one moment.
#[derive(Clone, Copy)]
pub(super) struct Passed {
    pub(super) written: u64,
    /// How often something was read.
    pub(super) read: u64,
}

impl Traffic {
    pub(super) fn now(&self) -> Passed {
        Passed { written: self.written.load(Ordering::Relaxed), read: self.read.load(Ordering::Relaxed) }
    }

    /// When the connection was made.
    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// How long the connection may be idle and still be used.
    pub(super) fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms.load(Ordering::Relaxed))
    }

    /// Lowers the time that the connection may be idle to `most`, if it is longer.
    pub(super) fn shorten_idle(&self, most: Duration) {
        self.idle_ms.fetch_min(as_millis(most), Ordering::Relaxed);
    }

    /// Whether nothing more can be written.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }
}

/// A stream whose traffic is counted.
pub(super) struct Link<S> {
    stream: S,
    traffic: Arc<Traffic>,
}

impl<S> Link<S> {
    pub(super) fn new(stream: S, idle: Duration) -> Self {
        let traffic = Traffic {
            written: AtomicU64::default(),
            read: AtomicU64::default(),
            is_broken: AtomicBool::default(),
            opened: Instant::now(),
            idle_ms: as_millis(idle).into(),
        };
        Self { stream, traffic: Arc::new(traffic) }
    }

    pub(super) fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    fn wrote(&self, polled: Poll<io::Result<usize>>, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Ready(Ok(written)) => {
                self.traffic.written.fetch_add(written as u64, Ordering::Relaxed);
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(_)) => {
                if !self.traffic.is_broken.swap(true, Ordering::Relaxed) {
                    // Once: the connection is polled again, and reads.
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Link<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() != before {
            self.traffic.read.fetch_add(1, Ordering::Relaxed);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Link<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(polled, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
