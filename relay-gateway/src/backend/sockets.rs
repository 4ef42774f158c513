//! The chat backend's end of a socket: a WebSocket of its own for each, under HMAC#2.

use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use service::{
    ApiError,
    websocket::{self, Socket},
};
use tokio_tungstenite::tungstenite::{
    handshake::{client::generate_key, derive_accept_key},
    protocol::Role,
};
use wire::{TenantId, frames::limits::SERVER_FRAME_BYTES, signature::BodyDigest, time::now_unix_ms};

use super::{
    chat_backend::{Backend, Signed},
    upstream_error::UpstreamError,
};

impl Backend {
    /// Opens a socket at a path below the backend's base URL, as an actor such as `visitor:<session>`.
    ///
    /// # Errors
    /// `backend_*`.
    pub(crate) async fn open_socket(
        &self,
        tenant_id: TenantId,
        below: &'static str,
        actor: &str,
    ) -> Result<Socket, ApiError> {
        let path = self.upstream.path(below, None)?;
        let key = generate_key();
        let mut headers = HeaderMap::new();
        for (name, value) in
            [(header::CONNECTION, "Upgrade"), (header::UPGRADE, "websocket"), (header::SEC_WEBSOCKET_VERSION, "13")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_str(&key).map_err(ApiError::internal)?);
        let signed = Signed { tenant_id, actor, at_ms: now_unix_ms(), body: Some(&BodyDigest::of(b"")) };
        self.sign(&mut headers, &Method::GET, path.as_str(), &signed);
        let mut request = Request::new(Full::default());
        *request.uri_mut() = path.into();
        *request.headers_mut() = headers;
        let answer = self.upstream.upgrade(request).await.map_err(UpstreamError::into_backend_error)?;
        let accepted = answer.headers().get(header::SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS
            || accepted != Some(derive_accept_key(key.as_bytes()).as_bytes())
        {
            let cause = format!("GET /{below} was answered {} instead of a WebSocket", answer.status());
            return Err(UpstreamError::Broken(cause).into_backend_error());
        }
        let upgraded = hyper::upgrade::on(answer).await;
        let upgraded = upgraded.map_err(|error| UpstreamError::Broken(error.to_string()).into_backend_error())?;
        Ok(websocket::socket(upgraded, Role::Client, SERVER_FRAME_BYTES, None).await)
    }
}
