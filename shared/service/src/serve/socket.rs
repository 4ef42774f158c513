//! The socket under a connection, with TLS above it or not: it notes whether its peer takes what is written.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use super::progress::Progress;

/// The first byte of a TLS connection: a record with a handshake.
pub(super) const HANDSHAKE: u8 = 0x16;

/// A connection's socket.
pub(super) struct Socket {
    tcp: TcpStream,
    progress: Arc<Progress>,
    /// Whether nothing was read yet. The first byte tells whether the peer speaks TLS, which this port does not.
    is_unread: bool,
}

/// What a connection reads from and writes to.
pub(super) trait Carrier: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The socket under it.
    fn socket(&self) -> &Socket;
}

impl Carrier for Socket {
    fn socket(&self) -> &Socket {
        self
    }
}

impl Carrier for Box<TlsStream<Socket>> {
    fn socket(&self) -> &Socket {
        self.get_ref().0
    }
}

impl Socket {
    /// One that carries HTTP itself.
    pub(super) fn plain(tcp: TcpStream, progress: &Arc<Progress>) -> Self {
        Self { tcp, progress: Arc::clone(progress), is_unread: true }
    }

    /// One that carries TLS.
    pub(super) fn under_tls(tcp: TcpStream, progress: &Arc<Progress>) -> Self {
        Self { tcp, progress: Arc::clone(progress), is_unread: false }
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    pub(super) fn into_tcp(self) -> TcpStream {
        self.tcp
    }

    fn note(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.progress.is_blocked.store(polled.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(Ok(written)) = &polled {
            self.progress.written.fetch_add(*written as u64, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.tcp).poll_read(cx, buffer);
        if self.is_unread && polled.is_ready() {
            self.is_unread = false;
            let speaks_tls = buffer.filled().get(before) == Some(&HANDSHAKE);
            self.progress.speaks_tls.store(speaks_tls, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        self.note(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.tcp).poll_write_vectored(cx, slices);
        self.note(polled)
    }
}
