//! Why a socket is closed, as its browser is told. PROTOCOL.md, section 5.

use service::{ApiError, websocket::TooMuch};
use tokio_tungstenite::tungstenite::{
    Error as WsError,
    error::{CapacityError, ProtocolError},
    protocol::{CloseFrame, frame::coding::CloseCode},
};

/// Why a socket is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// The browser closed it.
    Left,
    /// The connection broke, or nothing answers at its other end: no close frame can be sent.
    Gone,
    /// The browser breaks the WebSocket protocol.
    Protocol,
    /// A frame that is not text.
    NotText,
    /// Text that is not UTF-8.
    NotUtf8,
    /// The gateway stops.
    Restarting,
    /// The gateway holds as many sockets as it may, or cannot check this one's tenant right now.
    TryAgain(&'static str),
    /// The chat backend is away, or has closed.
    BackendAway,
    /// The chat backend closed it with a code from 4000 to 4999, which the backend chooses.
    Backend(CloseFrame),
    /// The token opens no session, or the session is over.
    Token,
    /// The participant may not have the socket: the reason begins with the `error_code` that a call would be refused with.
    Forbidden(&'static str),
    /// The participant has sent nothing for long, or reads nothing.
    Idle(&'static str),
    /// A frame beyond the limit.
    TooLarge,
    /// More frames, or more sockets, than the participant may have.
    TooFast(&'static str),
}

/// A socket that cannot be judged is closed with this: it may be forbidden.
pub(super) const UNCHECKED: Closing =
    Closing::TryAgain("the relay cannot check the tenant right now: connect again later");

pub(super) fn unchecked(error: &ApiError) -> Closing {
    tracing::debug!(cause = error.cause(), "a socket's tenant cannot be checked");
    UNCHECKED
}

impl Closing {
    /// Whether the relay could not check the participant's tenant.
    pub(crate) fn is_unchecked(&self) -> bool {
        *self == UNCHECKED
    }

    /// What went wrong with reading from a browser.
    pub(super) fn of_browser(error: &WsError) -> Self {
        match error {
            WsError::Capacity(CapacityError::MessageTooLong { .. }) => Self::TooLarge,
            WsError::Utf8(_) => Self::NotUtf8,
            WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Gone,
            WsError::Protocol(_) => Self::Protocol,
            WsError::Io(error) if error.get_ref().is_some_and(|cause| cause.is::<TooMuch>()) => {
                Self::TooFast("too many frames: send fewer")
            }
            WsError::ConnectionClosed | WsError::AlreadyClosed => Self::Left,
            _ => Self::Gone,
        }
    }

    /// The code in the close frame, and in metrics; 1006 where none can be sent.
    pub(crate) fn code(&self) -> u16 {
        match self {
            Self::Left => 1000,
            Self::Protocol => 1002,
            Self::NotText => 1003,
            Self::Gone => 1006,
            Self::NotUtf8 => 1007,
            Self::Restarting => 1012,
            Self::TryAgain(_) | Self::BackendAway => 1013,
            Self::Backend(frame) => frame.code.into(),
            Self::Token => 4401,
            Self::Forbidden(_) => 4403,
            Self::Idle(_) => 4408,
            Self::TooLarge => 4413,
            Self::TooFast(_) => 4429,
        }
    }

    /// The close frame; `None` where the connection is gone, or the browser has sent its own close frame.
    pub(super) fn frame(&self) -> Option<CloseFrame> {
        let reason = match self {
            Self::Left | Self::Gone => return None,
            Self::Backend(frame) => return Some(frame.clone()),
            Self::Protocol => "not WebSocket as RFC 6455 has it",
            Self::NotText => "frames are JSON text",
            Self::NotUtf8 => "frames are UTF-8",
            Self::Restarting => "the relay restarts: connect again",
            Self::BackendAway => "the chat backend is away: connect again later",
            Self::Token => "the token opens no session: refresh it",
            Self::TooLarge => "the frame is too large",
            Self::TryAgain(reason) | Self::Forbidden(reason) | Self::Idle(reason) | Self::TooFast(reason) => reason,
        };
        Some(CloseFrame { code: CloseCode::from(self.code()), reason: reason.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_fits_into_a_close_frame() {
        for closing in [
            Closing::Protocol,
            Closing::NotText,
            Closing::NotUtf8,
            Closing::Restarting,
            Closing::BackendAway,
            Closing::Token,
            Closing::TooLarge,
        ] {
            let frame = closing.frame().expect("a frame");
            // RFC 6455, section 5.5: a control frame's payload is at most 125 bytes, two of which are the code.
            assert!(frame.reason.len() <= 123 && frame.code.is_allowed(), "{frame:?}");
        }
        assert!(Closing::Left.frame().is_none() && Closing::Gone.frame().is_none());
    }
}
