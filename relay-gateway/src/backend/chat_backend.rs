//! A verified call to the chat backend: it goes to `<base>/<rest>` under HMAC#2, and the answer streams back. PROTOCOL.md, section 4.

use std::{mem, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::Full;
use secrecy::ExposeSecret as _;
use service::ApiError;
use uuid::Uuid;
use wire::{
    TenantId,
    signature::{BodyDigest, RelayKey, RelayedCall, Signature, relay_headers},
};

use crate::{config::BackendConfig, metrics::GatewayMetrics};

use super::{
    headers,
    streamed::Streamed,
    upload_client::{UploadClient, upload_client},
    upstream::Upstream,
    upstream_error::UpstreamError,
};

/// The chat backend.
pub(crate) struct Backend {
    key: RelayKey,
    pub(super) upstream: Upstream,
    pub(super) uploads: UploadClient,
}

/// A verified call on its way to the backend.
pub(crate) struct Relayed<'a> {
    pub(crate) method: &'a Method,
    /// What follows `/relay/`, as it was sent.
    pub(crate) rest: &'a str,
    pub(crate) query: Option<&'a str>,
    /// Left empty: they are moved into what is sent.
    pub(crate) headers: &'a mut HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) digest: &'a BodyDigest,
    pub(crate) tenant_id: TenantId,
    /// `tenant`, `visitor:<session>` or `operator:<id>`.
    pub(crate) actor: &'a str,
    /// Unix milliseconds.
    pub(crate) at_ms: i64,
    /// Until when its caller waits.
    pub(crate) deadline: Instant,
}

impl Backend {
    pub(crate) fn new(config: &BackendConfig, metrics: GatewayMetrics) -> Self {
        let upstream = Upstream::that_authenticates("chat-backend", &config.url, config.timeouts, metrics);
        let key = RelayKey::new(config.relay_secret.first().expose_secret().as_bytes());
        Self { key, uploads: upload_client(upstream.connector()), upstream }
    }

    /// Whether it could be reached, and accepted the relay's signature, when it was last tried.
    pub(crate) fn is_reachable(&self) -> bool {
        self.upstream.is_reachable() && !self.upstream.refuses_relay()
    }

    /// Closes connections that have been idle for too long. Call it now and then.
    pub(crate) fn sweep(&self) {
        self.upstream.sweep();
    }

    /// Sends the call on. A call that changes something and may have arrived is never sent twice.
    ///
    /// # Errors
    /// `backend_*`, each of which says whether the call may have arrived.
    pub(crate) async fn relay(&self, call: Relayed<'_>) -> Result<Response<Streamed>, ApiError> {
        let path = self.upstream.path(call.rest, call.query)?;
        headers::strip_call(call.headers);
        let mut request = Request::new(Full::new(call.body));
        *request.headers_mut() = mem::take(call.headers);
        let signed =
            Signed { tenant_id: call.tenant_id, actor: call.actor, at_ms: call.at_ms, body: Some(call.digest) };
        self.sign(request.headers_mut(), call.method, path.as_str(), &signed);
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = path.into();
        self.upstream.send(request, Some(call.deadline)).await.map_err(UpstreamError::into_backend_error)
    }

    pub(super) fn sign(&self, headers: &mut HeaderMap, method: &Method, path_and_query: &str, signed: &Signed<'_>) {
        let (mut id, mut time, mut digits) = (Uuid::encode_buffer(), itoa::Buffer::new(), [0; Signature::DIGITS]);
        let tenant_id = &*signed.tenant_id.as_uuid().hyphenated().encode_lower(&mut id);
        let timestamp = time.format(signed.at_ms);
        let actor = signed.actor;
        let call = RelayedCall { timestamp, method: method.as_str(), path_and_query, tenant_id, actor };
        let signature = match signed.body {
            Some(digest) => self.key.sign(&call, digest),
            None => self.key.sign_without_body(&call),
        };
        for (name, text) in [
            (relay_headers::TENANT_ID, tenant_id),
            (relay_headers::TIMESTAMP, timestamp),
            (relay_headers::ACTOR, actor),
            (relay_headers::SIGNATURE, signature.write_hex(&mut digits)),
        ] {
            headers.insert(name, HeaderValue::from_str(text).expect("ids, digits and actors are visible ASCII"));
        }
    }
}

/// What a signature is about, beside the request's line.
pub(super) struct Signed<'a> {
    pub(super) tenant_id: TenantId,
    pub(super) actor: &'a str,
    /// Unix milliseconds.
    pub(super) at_ms: i64,
    /// `None` where the body is sent on as it arrives.
    pub(super) body: Option<&'a BodyDigest>,
}
