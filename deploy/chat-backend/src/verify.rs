//! HMAC#2: refuses every call that the relay did not sign. PROTOCOL.md, section 4.11.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use service::{
    ApiError,
    body::BodyBounds,
    relayed::{self, NotRelayed},
};
use wire::{
    ErrorCode,
    signature::{RelayKeys, relay_headers},
};

/// The relay's own limit is lower. This one bounds callers that are not the relay.
const BODY: BodyBounds = BodyBounds {
    limit: 8 * 1024 * 1024,
    idle_timeout: Duration::from_secs(10),
    total_timeout: Duration::from_secs(30),
};

const UPLOAD: &str = "/upload/attachment";

/// Who acts, as the signature vouched for it: `tenant`, `visitor:<session>` or `operator:<id>`.
#[derive(Clone)]
pub(crate) struct Actor(pub(crate) String);

/// The body the signature vouched for.
#[derive(Clone)]
pub(crate) struct VerifiedBody(pub(crate) Bytes);

pub(crate) async fn require_relay(State(keys): State<RelayKeys>, request: Request, next: Next) -> Response {
    // The one path whose bodies may be unsigned: a file is kept as it arrives.
    let request = if request.uri().path() == UPLOAD {
        let (mut parts, body) = request.into_parts();
        if let Ok(call) = relayed::verify_without_body(&keys, &parts) {
            parts.extensions.insert(Actor(call.actor));
            parts.extensions.insert(call.tenant_id);
            return next.run(Request::from_parts(parts, body)).await;
        }
        Request::from_parts(parts, body)
    } else {
        request
    };
    match relayed::verify(&keys, BODY, request).await {
        Ok((mut parts, call)) => {
            parts.extensions.insert(Actor(call.actor));
            parts.extensions.insert(call.tenant_id);
            parts.extensions.insert(VerifiedBody(call.body));
            next.run(Request::from_parts(parts, Body::empty())).await
        }
        Err(NotRelayed::Body(error)) => error.into_response(),
        Err(NotRelayed::Signature(cause)) => {
            tracing::warn!(cause, "refused a call that the relay did not sign");
            let mut response = refused().into_response();
            // The gateway answers its caller 502, since a tenant cannot mend the relay's signature.
            response.headers_mut().insert(relay_headers::REFUSED, relay_headers::REFUSED_SIGNATURE);
            response
        }
    }
}

/// The one answer to every refused call. The log says what was wrong.
fn refused() -> ApiError {
    ApiError::new(ErrorCode::InvalidRelaySignature, "This backend takes calls from the relay only: send yours there.")
}
