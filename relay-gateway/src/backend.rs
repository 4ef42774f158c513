//! The chat backend: calls go to `<base>/<rest>` under HMAC#2, answers stream back. Contract, section 4.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::Full;
use secrecy::ExposeSecret as _;
use shared::{
    ApiError, TenantId,
    signature::{BodyDigest, RelayKey, RelayedCall, relay_headers},
    time::now_unix_ms,
};

use crate::{config::BackendConfig, metrics::GatewayMetrics};

mod headers;
mod pool;
mod streamed;
mod upstream;
mod visitors;

pub(crate) use headers::strip_request;
pub(crate) use streamed::Streamed;
pub(crate) use upstream::{Upstream, UpstreamError};

/// The chat backend.
pub(crate) struct Backend {
    key: RelayKey,
    upstream: Upstream,
}

/// A verified call on its way to the backend.
pub(crate) struct Relayed<'a> {
    pub(crate) method: Method,
    /// What follows `/relay/`, as it was sent.
    pub(crate) rest: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) digest: &'a BodyDigest,
    pub(crate) tenant_id: TenantId,
    /// `tenant`, `visitor:<session>` or `operator:<id>`.
    pub(crate) actor: &'a str,
}

impl Backend {
    pub(crate) fn new(config: &BackendConfig, metrics: GatewayMetrics) -> Self {
        Self {
            key: RelayKey::new(config.relay_secret.expose_secret().as_bytes()),
            upstream: Upstream::new("chat-backend", &config.url, config.timeouts, metrics),
        }
    }

    /// Whether it could be reached when it was last tried.
    pub(crate) fn is_reachable(&self) -> bool {
        self.upstream.is_reachable()
    }

    /// Closes connections that have been free for too long. Call it now and then.
    pub(crate) fn tidy(&self) {
        self.upstream.tidy();
    }

    /// Sends the call on. A call that may have arrived is never sent twice.
    ///
    /// # Errors
    /// `backend_*`, each of which says whether the call may have arrived.
    pub(crate) async fn relay(&self, call: Relayed<'_>) -> Result<Response<Streamed>, ApiError> {
        let path = self.upstream.path(call.rest, call.query)?;
        let mut headers = call.headers;
        strip_request(&mut headers);
        headers::strip_credentials(&mut headers);
        self.sign(&mut headers, &call.method, path.as_str(), call.tenant_id, call.actor, call.digest);
        let mut request = Request::new(Full::new(call.body));
        *request.method_mut() = call.method;
        *request.uri_mut() = path.into();
        *request.headers_mut() = headers;
        self.upstream.send(request).await.map_err(UpstreamError::into_backend_error)
    }

    fn sign(
        &self,
        headers: &mut HeaderMap,
        method: &Method,
        path_and_query: &str,
        tenant_id: TenantId,
        actor: &str,
        body: &BodyDigest,
    ) {
        let (timestamp, tenant_id) = (now_unix_ms().to_string(), tenant_id.to_string());
        let call = RelayedCall {
            timestamp: &timestamp,
            method: method.as_str(),
            path_and_query,
            tenant_id: &tenant_id,
            actor,
        };
        let signature = self.key.sign(&call, body).to_hex();
        for (name, text) in [
            (relay_headers::TENANT_ID, tenant_id.as_str()),
            (relay_headers::TIMESTAMP, &timestamp),
            (relay_headers::ACTOR, actor),
            (relay_headers::SIGNATURE, &signature),
        ] {
            headers.insert(name, HeaderValue::from_str(text).expect("ids, digits and actors are visible ASCII"));
        }
    }
}
