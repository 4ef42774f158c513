//! Guards a connection: its first byte must be written before a given time. After that time nothing is written.
//!
//! An attempt looks at its lease, signs, and writes at once. If the process is paused in between and wakes after the lease, a change has
//! returned by then, and what was signed must not be sent. What is left is a pause within the write itself.

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

/// The first byte is written: the rest may follow at any time.
const WRITTEN: u64 = u64::MAX;

/// The time before which the first byte must be written: milliseconds since boot, and none at first. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(super) struct FirstByte(Arc<AtomicU64>);

impl FirstByte {
    /// Lets the first byte be written before a time: milliseconds since boot.
    pub(super) fn allow_before(&self, at: u64) {
        self.0.store(at.min(WRITTEN - 1), Ordering::Relaxed);
    }

    /// Whether the time is over and nothing was written.
    pub(super) fn came_too_late(&self) -> bool {
        since_boot_ms() >= self.0.load(Ordering::Relaxed)
    }

    fn check(&self) -> Result<()> {
        if self.came_too_late() { Err(Error::other("nothing vouches for the request any more")) } else { Ok(()) }
    }

    /// Notes what came of a write.
    fn note(&self, written: &Poll<Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.0.store(WRITTEN, Ordering::Relaxed);
        }
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
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.first_byte.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.first_byte.check()?;
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.first_byte.note(&written);
        written
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

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn what_follows_the_first_byte_may_come_at_any_time() {
        let first_byte = FirstByte::default();
        let mut written = Vec::new();
        let mut guarded = Guarded::new(&mut written, first_byte.clone());
        assert!(guarded.write_all(b"too early").await.is_err());
        first_byte.allow_before(since_boot_ms() + 60_000);
        assert!(!first_byte.came_too_late());
        guarded.write_all(b"fir").await.expect("in time");
        // As if an hour had gone by.
        assert_eq!(first_byte.0.load(Ordering::Relaxed), WRITTEN);
        guarded.write_all(b"st").await.expect("the rest");
        assert!(!first_byte.came_too_late());
        assert_eq!(written, b"first");
    }
}
