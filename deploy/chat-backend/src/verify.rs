//! HMAC#2: refuses every call that the relay did not sign. PROTOCOL.md, section 4.11.

use std::time::Duration;

use axum::body::Bytes;
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName};
use service::{
    ApiError,
    body::{self, BodyBounds},
};
use wire::{
    ErrorCode, TenantId,
    signature::{RelayKeys, RelayedCall, Signature, WINDOW_MS, relay_headers},
    time::now_unix_ms,
};

/// The relay's own limit is lower. This one bounds callers that are not the relay.
const BODY: BodyBounds = BodyBounds {
    limit: 8 * 1024 * 1024,
    idle_timeout: Duration::from_secs(10),
    total_timeout: Duration::from_secs(30),
};

/// Who acts, as the signature vouched for it: `tenant`, `visitor:<session>` or `operator:<id>`.
#[derive(Clone)]
pub(crate) struct Actor(pub(crate) String);

/// The body the signature vouched for.
#[derive(Clone)]
pub(crate) struct VerifiedBody(pub(crate) Bytes);

pub(crate) async fn require_relay(State(keys): State<RelayKeys>, request: Request, next: Next) -> Response {
    match verified(&keys, request).await {
        Ok(request) => next.run(request).await,
        Err(error) => {
            let is_signature = error.code() == ErrorCode::InvalidRelaySignature;
            let mut response = error.into_response();
            if is_signature {
                // The gateway answers its caller 502, since a tenant cannot mend the relay's signature.
                response.headers_mut().insert(relay_headers::REFUSED, relay_headers::REFUSED_SIGNATURE);
            }
            response
        }
    }
}

async fn verified(keys: &RelayKeys, request: Request) -> Result<Request, ApiError> {
    let (mut parts, body) = request.into_parts();
    // The cheap checks come before the body is read.
    let (tenant_id, signature) = cheap_checks(&parts.headers)?;
    let (bytes, digest) = body::read(&parts.headers, body, BODY, &mut ()).await?;
    let call = RelayedCall {
        timestamp: single(&parts.headers, &relay_headers::TIMESTAMP)?,
        method: parts.method.as_str(),
        path_and_query: parts.uri.path_and_query().map_or("/", |path| path.as_str()),
        tenant_id: single(&parts.headers, &relay_headers::TENANT_ID)?,
        actor: single(&parts.headers, &relay_headers::ACTOR)?,
    };
    if !keys.verify(&call, &digest, &signature) {
        return Err(refused("the signature does not match"));
    }
    let actor = Actor(call.actor.to_owned());
    parts.extensions.insert(actor);
    parts.extensions.insert(tenant_id);
    parts.extensions.insert(VerifiedBody(bytes));
    Ok(Request::from_parts(parts, axum::body::Body::empty()))
}

fn cheap_checks(headers: &HeaderMap) -> Result<(TenantId, Signature), ApiError> {
    let timestamp: i64 =
        single(headers, &relay_headers::TIMESTAMP)?.parse().map_err(|_| refused("a timestamp that is no number"))?;
    if timestamp.saturating_sub(now_unix_ms()).unsigned_abs() > WINDOW_MS.unsigned_abs() {
        return Err(refused("the timestamp is out of the window: check both clocks"));
    }
    let tenant_id =
        single(headers, &relay_headers::TENANT_ID)?.parse().map_err(|_| refused("a tenant id that is no UUID"))?;
    let signature = Signature::from_hex(single(headers, &relay_headers::SIGNATURE)?.as_bytes())
        .ok_or_else(|| refused("a signature that is not 64 hexadecimal digits"))?;
    Ok((tenant_id, signature))
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, ApiError> {
    let mut values = headers.get_all(name).iter();
    match (values.next().map(http::HeaderValue::to_str), values.next()) {
        (Some(Ok(text)), None) => Ok(text),
        _ => Err(refused("a header is missing, repeated or unreadable")),
    }
}

/// The one answer to every refused call. The log says what was wrong.
fn refused(cause: &str) -> ApiError {
    tracing::warn!(cause, "refused a call that the relay did not sign");
    ApiError::new(ErrorCode::InvalidRelaySignature, "This backend takes calls from the relay only: send yours there.")
}
