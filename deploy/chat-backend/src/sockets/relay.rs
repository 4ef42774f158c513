//! The relay at the other end of a socket: frames sent to it and received from it, and how the socket ends.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Map, Value};
use service::{ApiError, websocket::Socket};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as WsMessage;
use wire::frames::ServerFrame;

/// How long the relay may take to send `hello`, and to read a frame.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The relay sends pings. If nothing comes from it for this long, the backend takes the connection for lost.
const SILENCE: Duration = Duration::from_secs(180);

/// What woke a socket.
pub(super) enum Heard {
    /// A frame: a JSON object, not checked yet.
    Frame(Map<String, Value>),
    /// There may be something new in the database.
    News,
    /// A person writes in the conversation.
    Writing,
}

/// Why a socket ends.
pub(super) enum Ended {
    /// The relay has left.
    Left,
    /// The chat backend stops.
    Stopping,
    /// What the relay sent makes no sense, or it does not read what it is sent.
    Relay(&'static str),
    /// The database failed.
    Store,
}

impl Ended {
    /// The close code and its reason; `None` if the relay has left already.
    pub(super) fn close(&self) -> Option<(u16, &'static str)> {
        match self {
            Self::Left => None,
            Self::Stopping => Some((1012, "the chat backend restarts")),
            Self::Relay(why) => Some((1002, why)),
            Self::Store => Some((1011, "the chat backend's database does not answer")),
        }
    }
}

impl From<ApiError> for Ended {
    fn from(error: ApiError) -> Self {
        tracing::error!(error_code = error.code().as_str(), cause = error.cause(), "a visitor's socket failed");
        Self::Store
    }
}

/// Sends a frame.
pub(super) async fn send(socket: &mut Socket, frame: &ServerFrame) -> Result<(), Ended> {
    send_text(socket, frame.to_json()).await
}

/// Sends a frame that is JSON already.
pub(super) async fn send_text(socket: &mut Socket, frame: String) -> Result<(), Ended> {
    match timeout(PATIENCE, socket.send(WsMessage::text(frame))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Ended::Left),
        Err(_) => Err(Ended::Relay("frames are not read")),
    }
}

/// The next frame: text that is a JSON object; or a ping.
pub(super) async fn receive(socket: &mut Socket) -> Result<Heard, Ended> {
    let message = timeout(SILENCE, socket.next()).await.map_err(|_| Ended::Left)?;
    match message.ok_or(Ended::Left)?.map_err(|_| Ended::Left)? {
        WsMessage::Text(text) => {
            serde_json::from_str(&text).map(Heard::Frame).map_err(|_| Ended::Relay("frames are JSON objects"))
        }
        WsMessage::Close(_) => Err(Ended::Left),
        WsMessage::Binary(_) => Err(Ended::Relay("frames are text")),
        // Look into the database: a process may have committed a message and died before it told the sockets.
        WsMessage::Ping(_) | WsMessage::Pong(_) | WsMessage::Frame(_) => Ok(Heard::News),
    }
}

/// The first frame, which must come soon.
pub(super) async fn hello(socket: &mut Socket) -> Result<Map<String, Value>, Ended> {
    let hello = async {
        loop {
            if let Heard::Frame(hello) = receive(socket).await? {
                return Ok::<_, Ended>(hello);
            }
        }
    };
    timeout(PATIENCE, hello).await.map_err(|_| Ended::Relay("nobody said hello"))?
}
