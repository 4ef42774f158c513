//! The server's side of a WebSocket's handshake (RFC 6455, section 4.2). What is then spoken is the caller's.

use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::WebSocketConfig},
};

use crate::{ApiError, ErrorCode};

/// A connection that has become a WebSocket.
pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Frames are small; thousands of sockets are not.
const READ_BUFFER: usize = 2048;

/// How an end is read and written that takes frames, and messages, of at most so many bytes.
#[must_use]
pub fn config(frame_limit: usize) -> WebSocketConfig {
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER).write_buffer_size(0);
    config.max_message_size(Some(frame_limit)).max_frame_size(Some(frame_limit))
}

/// Answers a handshake: the connection, once it has switched, and the response that switches it.
///
/// # Errors
/// 426 in the envelope, where it is no handshake.
pub fn accept(request: &mut Request) -> Result<(OnUpgrade, Response), Box<Response>> {
    let Some(accept) = accept_key(request.headers()) else {
        let error = ApiError::new(
            ErrorCode::UpgradeRequired,
            "A WebSocket (RFC 6455, version 13) is spoken here: connect with a WebSocket client.",
        );
        let mut response = error.into_response();
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(Box::new(response));
    };
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok((hyper::upgrade::on(request), response))
}

fn accept_key(headers: &HeaderMap) -> Option<HeaderValue> {
    let names = |name: &HeaderName, wanted: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(','))
            .any(|token| token.trim().eq_ignore_ascii_case(wanted))
    };
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24)?;
    let is_handshake = names(&header::CONNECTION, "upgrade")
        && names(&header::UPGRADE, "websocket")
        && headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    is_handshake.then(|| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_is_answered_and_nothing_else_is() {
        let good = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            // The key and its answer of RFC 6455, section 1.3.
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let headers = |fields: &[(&'static str, &'static str)]| {
            let fields =
                fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            fields.collect::<HeaderMap>()
        };
        assert_eq!(accept_key(&headers(&good)).expect("answered"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for missing in 0..good.len() {
            let mut fields = good.to_vec();
            fields.remove(missing);
            assert_eq!(accept_key(&headers(&fields)), None, "without {}", good[missing].0);
        }
        let mut old = good;
        old[2].1 = "8";
        assert_eq!(accept_key(&headers(&old)), None);
    }
}
