//! A connection on which nothing is written after a time, unless the first byte was written before it. A process that is paused between
//! its look at the lease and the write, and wakes when a change has returned, must not send what it has signed.

use std::{
    io::{Error, IoSlice, Result},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wire::time::since_boot_ms;

/// Nothing was written in time, and nothing will be.
const TOO_LATE: u64 = 0;
/// The first byte is out: the rest may follow whenever it likes.
const WRITTEN: u64 = u64::MAX;

/// Before when the first byte must be written. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(super) struct FirstByte(Arc<AtomicU64>);

impl FirstByte {
    /// Lets the first byte be written before a time: milliseconds since boot.
    pub(super) fn allow_before(&self, at: u64) {
        self.0.store(at.min(WRITTEN - 1), Ordering::Relaxed);
    }

    /// Whether the time was over before anything was written.
    pub(super) fn is_too_late(&self) -> bool {
        self.0.load(Ordering::Relaxed) == TOO_LATE
    }

    fn check(&self) -> Result<()> {
        let before = self.0.load(Ordering::Relaxed);
        if before == WRITTEN {
            return Ok(());
        }
        let is_in_time = since_boot_ms() < before;
        self.0.store(if is_in_time { WRITTEN } else { TOO_LATE }, Ordering::Relaxed);
        if is_in_time { Ok(()) } else { Err(Error::other("nothing vouches for the request any more")) }
    }
}

/// A connection that [`FirstByte`] guards.
#[derive(Debug)]
pub(super) struct Guarded<C> {
    inner: C,
    first_byte: FirstByte,
}

impl<C> Guarded<C> {
    pub(super) fn new(inner: C, first_byte: FirstByte) -> Self {
        Self { inner, first_byte }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Guarded<C> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Guarded<C> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.first_byte.check()?;
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.first_byte.check()?;
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
