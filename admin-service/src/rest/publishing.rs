//! Publishing over HTTP, for chat backends that speak no gRPC. Calls are signed with the relay secret (HMAC#2), actor `backend`.

use std::time::Duration;

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use serde_json::Value;
use service::{
    ApiError, Envelope, Failure, Success,
    body::{self, BodyBounds},
    relayed::{self, NotRelayed, Relayed},
};
use utoipa::ToSchema;
use wire::{ErrorCode, FieldError, signature::RelayKeys};

use crate::{errors::UseCaseError, events::Events};

const BODY: BodyBounds =
    BodyBounds { limit: 1024 * 1024, idle_timeout: Duration::from_secs(10), total_timeout: Duration::from_secs(30) };

/// The one actor that publishes.
const ACTOR: &str = "backend";

/// What a chat backend publishes: all of it is taken, or nothing.
#[derive(ToSchema)]
pub(super) struct NewEvents {
    /// PROTOCOL.md, section 7, has their fields.
    #[schema(value_type = Vec<Object>, max_items = 100)]
    events: Vec<Value>,
    /// Messages that count: `message_id` and `created_at`.
    #[schema(required = false, nullable, value_type = Vec<Object>, max_items = 100)]
    usage: Vec<Value>,
}

impl NewEvents {
    /// Reads the lists. What is in them is the use case's to check.
    fn read(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = body::json_object(body)?;
        let mut refused = Vec::new();
        let mut list = |name: &str| match fields.remove(name) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items,
            Some(_) => {
                refused.push(FieldError { field: name.to_owned(), message: "must be a list".to_owned() });
                Vec::new()
            }
        };
        let read = Self { events: list("events"), usage: list("usage") };
        if refused.is_empty() { Ok(read) } else { Err(UseCaseError::invalid(refused).into()) }
    }
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
    Extension(Relayed { tenant_id, body, .. }): Extension<Relayed>,
) -> Result<Success<Published>, ApiError> {
    let NewEvents { events: published, usage } = NewEvents::read(&body)?;
    let numbers = events.publish(tenant_id, published, usage, None).await?;
    let items = numbers.into_iter().map(|(event_id, seq)| PublishedItem { event_id, seq }).collect();
    Ok(Success::ok(Published { items }, "Events taken."))
}

/// Lets calls through that a chat backend signed with a relay secret.
pub(super) async fn require_backend(State(keys): State<RelayKeys>, request: Request, next: Next) -> Response {
    match relayed::verify(&keys, BODY, request).await {
        Ok((_, call)) if call.actor != ACTOR => refused("the actor is not `backend`").into_response(),
        Ok((mut parts, call)) => match body::check_not_encoded(&parts.headers) {
            Ok(()) => {
                parts.extensions.insert(call);
                next.run(Request::from_parts(parts, Body::empty())).await
            }
            Err(error) => error.into_response(),
        },
        Err(NotRelayed::Body(error)) => error.into_response(),
        Err(NotRelayed::Signature(cause)) => refused(cause).into_response(),
    }
}

/// The one answer to every refused call. The log says what was wrong.
fn refused(cause: &str) -> ApiError {
    tracing::warn!(cause, "refused a publication that no chat backend signed");
    ApiError::new(
        ErrorCode::InvalidRelaySignature,
        "This call must be signed with one of the admin service's ADMIN_RELAY_SECRETS, with the actor `backend`.",
    )
}
