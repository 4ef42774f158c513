//! The chat backend's end of a participant's conversation: what is heard from it, and how it is left. The same for a socket and for
//! calls without one.

use futures_util::StreamExt as _;
use service::websocket::Socket;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};

use super::{close::FAREWELL, closing::Closing};

/// The chat backend's end of a conversation.
pub(super) struct BackendEnd {
    pub(super) socket: Socket,
    /// When the participant's admission ends, in Unix milliseconds.
    pub(super) ends_at_ms: i64,
}

/// What the chat backend has said: a frame's text, or `None` for what is no frame of its conversation.
///
/// # Errors
/// The chat backend has left, or does not keep to the protocol.
pub(super) fn heard(answered: Option<Result<Message, WsError>>) -> Result<Option<Utf8Bytes>, Closing> {
    let message = answered.ok_or(Closing::BackendAway)?.map_err(|error| {
        tracing::warn!(%error, "the chat backend's socket broke");
        Closing::BackendAway
    })?;
    match message {
        Message::Text(text) => Ok(Some(text)),
        Message::Binary(_) => {
            tracing::warn!("the chat backend sent a frame that is not text");
            Err(Closing::BackendAway)
        }
        Message::Close(frame) => Err(match frame {
            Some(frame) if (4000..5000).contains(&u16::from(frame.code)) => Closing::Backend(frame),
            _ => Closing::BackendAway,
        }),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(None),
    }
}

/// Leaves, and waits a short time until the chat backend has read all that was sent: it may lose what it has not read of a connection
/// that is dropped.
pub(super) async fn leave(mut socket: Socket) {
    let _ = timeout(FAREWELL, async {
        if socket.close(None).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    })
    .await;
}
