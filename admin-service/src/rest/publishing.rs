//! Publishing over HTTP, for chat backends that speak no gRPC. Calls are signed with the relay secret (HMAC#2), actor `backend`.

use std::time::Duration;

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::Value;
use service::{
    ApiError, Envelope, Failure, Success,
    body::{self, BodyBounds},
};
use utoipa::ToSchema;
use wire::{
    ErrorCode, FieldError, TenantId,
    signature::{RelayKeys, RelayedCall, Signature, WINDOW_MS, relay_headers},
    time::now_unix_ms,
};

use crate::{errors::UseCaseError, events::Events};

const BODY: BodyBounds =
    BodyBounds { limit: 1024 * 1024, idle_timeout: Duration::from_secs(10), total_timeout: Duration::from_secs(30) };

/// The one actor that publishes.
const ACTOR: &str = "backend";

/// What a chat backend publishes: all of it is taken, or nothing.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the documented shape of what is read field by field")]
pub(super) struct NewEvents {
    /// PROTOCOL.md, section 7, has their fields.
    #[schema(value_type = Vec<Object>, max_items = 100)]
    events: Vec<Value>,
    /// Messages that count: `message_id` and `created_at`.
    #[schema(value_type = Option<Vec<Object>>, max_items = 100)]
    usage: Option<Vec<Value>>,
}

/// The numbers of what was published.
#[derive(Serialize, ToSchema)]
pub(super) struct Published {
    items: Vec<PublishedItem>,
}

#[derive(Serialize, ToSchema)]
struct PublishedItem {
    event_id: String,
    /// 1, 2, 3, … in the tenant.
    seq: u64,
}

/// Whose events a verified call publishes.
#[derive(Clone)]
pub(super) struct Publisher {
    tenant_id: TenantId,
    body: Bytes,
}

/// Take events and usage of a tenant, all of them or none. They are on disk when this returns.
#[utoipa::path(
    post, path = "/internal/publish/events", tag = "internal", request_body = NewEvents,
    security(("relay_signature" = [])),
    responses(
        (status = 200, description = "Taken. An event that came before has its number again", body = Envelope<Published>),
        (status = 404, description = "`tenant_not_found`", body = Failure),
        (status = 409, description = "`event_id_reused`", body = Failure),
        (status = 422, description = "`validation_failed`: `errors` names each field, as in `events[3].event_type`", body = Failure),
    ),
)]
pub(super) async fn publish_events(
    State(events): State<Events>,
    Extension(Publisher { tenant_id, body }): Extension<Publisher>,
) -> Result<Success<Published>, ApiError> {
    let mut fields = body::json_object(&body)?;
    let mut refused = Vec::new();
    let mut list = |name: &str| match fields.remove(name) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items,
        Some(_) => {
            refused.push(FieldError { field: name.to_owned(), message: "must be a list".to_owned() });
            Vec::new()
        }
    };
    let (published, usage) = (list("events"), list("usage"));
    if !refused.is_empty() {
        return Err(UseCaseError::invalid(refused).into());
    }
    let numbers = events.publish(tenant_id, published, usage).await?;
    let items = numbers.into_iter().map(|(event_id, seq)| PublishedItem { event_id, seq }).collect();
    Ok(Success::ok(Published { items }, "Events taken."))
}

/// Lets calls through that the relay secret signed.
pub(super) async fn require_backend(State(keys): State<RelayKeys>, request: Request, next: Next) -> Response {
    match verified(&keys, request).await {
        Ok(request) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

async fn verified(keys: &RelayKeys, request: Request) -> Result<Request, ApiError> {
    let (mut parts, body) = request.into_parts();
    // The cheap checks come before the body is read.
    let timestamp = single(&parts.headers, &relay_headers::TIMESTAMP)?;
    let signed_at: i64 = timestamp.parse().map_err(|_| refused("the timestamp is no number"))?;
    if signed_at.saturating_sub(now_unix_ms()).unsigned_abs() > WINDOW_MS.unsigned_abs() {
        return Err(refused("the timestamp is out of the window: check both clocks"));
    }
    let tenant_text = single(&parts.headers, &relay_headers::TENANT_ID)?;
    let tenant_id: TenantId = tenant_text.parse().map_err(|_| refused("the tenant id is no UUID"))?;
    let actor = single(&parts.headers, &relay_headers::ACTOR)?;
    if actor != ACTOR {
        return Err(refused("the actor must be `backend`"));
    }
    let signature = Signature::from_hex(single(&parts.headers, &relay_headers::SIGNATURE)?.as_bytes())
        .ok_or_else(|| refused("the signature is not 64 hexadecimal digits"))?;
    body::check_not_encoded(&parts.headers)?;
    let (bytes, digest) = body::read(&parts.headers, body, BODY, &mut ()).await?;
    let call = RelayedCall {
        timestamp,
        method: parts.method.as_str(),
        path_and_query: parts.uri.path_and_query().map_or("/", |path| path.as_str()),
        tenant_id: tenant_text,
        actor,
    };
    if !keys.verify(&call, &digest, &signature) {
        return Err(refused("the signature does not match"));
    }
    parts.extensions.insert(Publisher { tenant_id, body: bytes });
    Ok(Request::from_parts(parts, Body::empty()))
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, ApiError> {
    let mut values = headers.get_all(name).iter();
    match (values.next().map(HeaderValue::to_str), values.next()) {
        (Some(Ok(text)), None) => Ok(text),
        _ => Err(refused("a signature header is missing, repeated or unreadable")),
    }
}

/// The one answer to every refused call. The log says what was wrong.
fn refused(cause: &str) -> ApiError {
    tracing::warn!(cause, "refused a publication that no relay secret signed");
    ApiError::new(
        ErrorCode::InvalidRelaySignature,
        "This call must be signed with one of the admin service's ADMIN_RELAY_SECRETS, with the actor `backend`.",
    )
}
