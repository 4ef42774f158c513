//! The server's side of a WebSocket's handshake (RFC 6455, section 4.2), and the sockets that come of it. What is then spoken is
//! the caller's.

use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

use crate::error::ApiError;
use wire::ErrorCode;

mod metered;

pub use metered::{Admit, Metered, TooMuch};

/// A connection that has become a WebSocket.
pub type Socket = WebSocketStream<Metered>;

/// Frames are small; thousands of sockets are not.
const READ_BUFFER: usize = 2048;

/// One end of a WebSocket that takes frames, and messages, of at most `frame_limit` bytes. `admit` is asked for what comes,
/// frame by frame, before the library sees it: an unfinished message never reaches the caller, however many frames it has.
pub async fn socket(upgraded: Upgraded, role: Role, frame_limit: usize, admit: Option<Admit>) -> Socket {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(frame_limit))
        .max_frame_size(Some(frame_limit));
    Socket::from_raw_socket(Metered::new(upgraded, admit), role, Some(config)).await
}

/// Answers a handshake: the connection, once it has switched, and the response that switches it.
///
/// # Errors
/// 426 in the envelope, where it is no handshake: it says what is missing, for a proxy may have removed it.
pub fn accept(request: &mut Request) -> Result<(OnUpgrade, Response), Box<Response>> {
    let accept = match accept_key(request) {
        Ok(accept) => accept,
        Err(missing) => {
            let error = ApiError::new(
                ErrorCode::UpgradeRequired,
                format!(
                    "A WebSocket (RFC 6455, version 13) is spoken here, and this request is no handshake: {missing}."
                ),
            );
            let mut response = error.into_response();
            response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            return Err(Box::new(response));
        }
    };
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok((hyper::upgrade::on(request), response))
}

/// What the handshake's key is answered, or what the request lacks. Proxies without WebSocket support send HTTP/1.0 and
/// remove `Upgrade` and `Connection`, so each is named.
fn accept_key<B>(request: &http::Request<B>) -> Result<HeaderValue, &'static str> {
    let headers = request.headers();
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .filter(|key| key.len() == 24)
        .ok_or("it lacks a Sec-WebSocket-Key: connect with a WebSocket client")?;
    if request.method() != Method::GET {
        return Err("its method must be GET");
    }
    if request.version() != Version::HTTP_11 {
        return Err("it came as HTTP/1.0, so a proxy on the way passes no WebSockets on: in nginx set \
                    `proxy_http_version 1.1`, and `proxy_set_header` for Upgrade and Connection");
    }
    if !lists(headers, &header::UPGRADE, "websocket") {
        return Err("it lacks `Upgrade: websocket`, which a proxy on the way may have removed: in nginx set \
                    `proxy_set_header Upgrade $http_upgrade`");
    }
    if !lists(headers, &header::CONNECTION, "upgrade") {
        return Err("it lacks `Connection: Upgrade`, which a proxy on the way may have removed: in nginx set \
                    `proxy_set_header Connection \"upgrade\"`");
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err("its Sec-WebSocket-Version must be 13");
    }
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| "its Sec-WebSocket-Key is malformed")
}

/// Whether a header's list has this token.
fn lists(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    list(headers, name).any(|token| token.eq_ignore_ascii_case(wanted))
}

/// A header's list.
fn list(headers: &HeaderMap, name: impl header::AsHeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|text| text.split(',')).map(str::trim)
}

/// The subprotocols that a handshake offers (RFC 6455, section 11.3.4).
pub fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    list(headers, header::SEC_WEBSOCKET_PROTOCOL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, fields: &[(&'static str, &'static str)]) -> http::Request<()> {
        let mut request = http::Request::new(());
        *request.version_mut() = version;
        for (name, value) in fields {
            request.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        request
    }

    #[test]
    fn a_handshake_is_answered_and_what_is_missing_from_another_is_named() {
        let good = [
            // The key and its answer of RFC 6455, section 1.3.
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
        ];
        let accepted = accept_key(&request(Version::HTTP_11, &good)).expect("answered");
        assert_eq!(accepted, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let names = ["Sec-WebSocket-Key", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version"];
        for (missing, name) in names.into_iter().enumerate() {
            let mut fields = good.to_vec();
            fields.remove(missing);
            let told = accept_key(&request(Version::HTTP_11, &fields)).expect_err("no handshake");
            assert!(told.contains(name), "{told}");
        }
        assert!(accept_key(&request(Version::HTTP_10, &good)).expect_err("a proxy's").contains("HTTP/1.0"));
        let mut old = good;
        old[3].1 = "8";
        assert!(accept_key(&request(Version::HTTP_11, &old)).is_err());
        let mut head = request(Version::HTTP_11, &good);
        *head.method_mut() = Method::HEAD;
        assert!(accept_key(&head).is_err());
    }

    #[test]
    fn subprotocols_are_read_from_all_lines() {
        let mut headers = HeaderMap::new();
        headers.append(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("chat-relay.v1, bearer.a.b"));
        headers.append(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("other"));
        assert_eq!(subprotocols(&headers).collect::<Vec<_>>(), ["chat-relay.v1", "bearer.a.b", "other"]);
    }
}
