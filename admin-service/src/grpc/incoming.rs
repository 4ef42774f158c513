//! The connections of the gRPC listener, with mutual TLS where it is set.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::StreamExt as _;
use service::serve::{Accepted, NoTls, Tls};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
};
use tokio_rustls::server::TlsStream;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::transport::server::{Connected, TcpConnectInfo, TcpIncoming};

/// How long a handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Handshakes at once; further connections wait in the kernel's queue.
const HANDSHAKES_AT_ONCE: usize = 256;

/// A connection of a gateway or an internal service.
pub(super) enum Connection {
    Plain(TcpStream),
    Tls(Box<Proven>),
}

/// A connection whose client has proved itself.
pub(super) struct Proven {
    stream: Box<TlsStream<TcpStream>>,
    /// Ready once the authority of clients or its list of revoked certificates has changed.
    clients_changed: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// The connections to a listener.
pub(super) fn incoming(
    listener: TcpListener,
    tls: Option<Tls>,
) -> Pin<Box<dyn Stream<Item = io::Result<Connection>> + Send>> {
    let Some(tls) = tls else {
        let plain = TcpIncoming::from(listener).with_nodelay(Some(true));
        return Box::pin(plain.map(|accepted| accepted.map(Connection::Plain)));
    };
    let (to, proven) = mpsc::channel(16);
    tokio::spawn(async move {
        tokio::select! {
            () = accept_all(&listener, &tls, &to) => {}
            () = to.closed() => {}
        }
    });
    Box::pin(ReceiverStream::new(proven))
}

async fn accept_all(listener: &TcpListener, tls: &Tls, to: &mpsc::Sender<io::Result<Connection>>) {
    let room = Arc::new(Semaphore::new(HANDSHAKES_AT_ONCE));
    loop {
        // Never closed, so a permit always comes.
        let permit = Arc::clone(&room).acquire_owned().await.ok();
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, or the peer has left: the listener goes on. The pause keeps the loop from spinning.
                tracing::debug!(%error, "no connection was accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (tls, to) = (tls.clone(), to.clone());
        tokio::spawn(async move {
            let accepted = tls.accept(stream, |stream| stream, HANDSHAKE_WITHIN).await;
            drop(permit);
            match accepted {
                Ok(Accepted { stream, clients_changed }) => {
                    let clients_changed = Box::pin(clients_changed.cancelled_owned());
                    let _ = to.send(Ok(Connection::Tls(Box::new(Proven { stream, clients_changed })))).await;
                }
                Err(NoTls::Left) => {}
                Err(NoTls::Plain(_)) => {
                    tracing::warn!("a gRPC client without TLS was refused: its URL must begin with https://");
                }
                Err(NoTls::Failed(error)) => tracing::warn!(%error, "a gRPC client was refused in its handshake"),
            }
        });
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        match self {
            Self::Plain(stream) => stream.connect_info(),
            Self::Tls(proven) => proven.stream.get_ref().0.connect_info(),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(proven) => {
                if proven.clients_changed.as_mut().poll(cx).is_ready() {
                    // The connection ends, as if the client had left. A client that is still let in comes back at once.
                    return Poll::Ready(Ok(()));
                }
                Pin::new(&mut proven.stream).poll_read(cx, buffer)
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(proven) => Pin::new(&mut proven.stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(proven) => Pin::new(&mut proven.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(proven) => Pin::new(&mut proven.stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(proven) => Pin::new(&mut proven.stream).poll_write_vectored(cx, slices),
        }
    }
}
