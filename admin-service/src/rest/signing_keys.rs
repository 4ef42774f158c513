//! The keys that sign tokens, over REST: rotated, listed and retired by operators, published to everybody.

use std::time::Duration;

use axum::{extract::State, response::IntoResponse};
use http::header;
use serde::Serialize;
use service::{ApiError, Envelope, Failure, Success};
use utoipa::ToSchema;
use uuid::Uuid;
use wire::time::WireTime;

use super::{
    dto::PropagationView,
    input::{Known, Params},
};
use crate::{
    propagation::{Changed, Propagation},
    signing_keys::{Listed, SigningKeys, public_text},
};

/// A day.
const LONGEST_DELAY_SECONDS: u64 = 86_400;
/// Twice as long as gateways let the key set be kept for.
const DELAY_SECONDS: u64 = 120;

/// The keys, and what spreads their changes.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) keys: SigningKeys,
    pub(crate) propagation: Propagation,
}

/// A key that signs tokens, without its private half.
#[derive(Serialize, ToSchema)]
#[schema(as = SigningKey)]
pub(super) struct SigningKeyView {
    /// The `kid` of tokens and of the key set.
    signing_key_id: Uuid,
    /// `next` (published, and not yet signing), `signs`, `verifies` (what it has signed is accepted), `retired`, or `unreadable`
    /// (the configured master keys do not open it).
    state: &'static str,
    /// The `x` of the key set: 32 bytes as base64url.
    public_key: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: WireTime,
    #[schema(value_type = String, format = DateTime)]
    signs_from: WireTime,
    /// `null`: not retired.
    #[schema(value_type = Option<String>, format = DateTime)]
    retired_at: Option<WireTime>,
}

impl From<Listed> for SigningKeyView {
    fn from(Listed { key, state }: Listed) -> Self {
        Self {
            signing_key_id: key.id,
            state: state.as_str(),
            public_key: public_text(&key),
            created_at: key.created_at.into(),
            signs_from: key.signs_from.into(),
            retired_at: key.retired_at.map(WireTime::from),
        }
    }
}

/// A key that was made or retired, as every gateway has it.
#[derive(Serialize, ToSchema)]
pub(super) struct ChangedSigningKey {
    #[serde(flatten)]
    key: SigningKeyView,
    propagation: PropagationView,
}

impl From<Changed<Listed>> for ChangedSigningKey {
    fn from(changed: Changed<Listed>) -> Self {
        Self { key: changed.value.into(), propagation: changed.report.into() }
    }
}

/// Every key there ever was, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct SigningKeyList {
    items: Vec<SigningKeyView>,
}

/// Make a key that signs tokens after a delay. Tokens that earlier keys signed stay valid until those keys are retired. An earlier key
/// that has not begun to sign is retired at once.
#[utoipa::path(
    post, path = "/api/v1/rotate/signing-key", tag = "signing keys",
    params(("signs_after_seconds" = Option<u64>, Query, description = "0 to 86400, default 120. Chat backends may keep the key set \
     for 60 seconds: with less they may meet a token whose key they do not know yet", minimum = 0, maximum = 86_400)),
    responses(
        (status = 200, description = "Made, and known to every gateway", body = Envelope<ChangedSigningKey>),
        (status = 409, description = "`limit_reached`: there may be 8 that are not retired", body = Failure),
    )
)]
pub(super) async fn rotate_signing_key(
    State(Keys { keys, propagation }): State<Keys>,
    Known(caller): Known,
    Params(mut query): Params,
) -> Result<Success<ChangedSigningKey>, ApiError> {
    let delay = query.number("signs_after_seconds", 0..=LONGEST_DELAY_SECONDS, DELAY_SECONDS);
    query.finish()?;
    let changed = keys.rotate(&propagation, &caller, Duration::from_secs(delay)).await?;
    Ok(Success::ok(
        changed.into(),
        "Signing key made. Retire the old one 30 days after it has stopped signing, or at once if it leaked.",
    ))
}

/// Every key that signs or has signed tokens, newest first.
#[utoipa::path(
    get, path = "/api/v1/fetch/signing-keys", tag = "signing keys",
    responses(
        (status = 200, description = "The keys", body = Envelope<SigningKeyList>),
    )
)]
pub(super) async fn fetch_signing_keys(
    State(Keys { keys, .. }): State<Keys>,
) -> Result<Success<SigningKeyList>, ApiError> {
    let items = keys.list().await?.into_iter().map(SigningKeyView::from).collect();
    Ok(Success::ok(SigningKeyList { items }, "Signing keys fetched."))
}

/// Retire a key, and erase its private half. From the moment this returns no gateway accepts a token that it signed: visitors' sockets
/// close, and visitors whose token it signed begin a new session. A session's token is refreshed for 30 days, so a planned retirement
/// waits that long after the key has stopped signing. Chat backends that keep the key set for 60 seconds, as its `Cache-Control` says,
/// accept operators' tokens until then. Repeating it is not an error.
#[utoipa::path(
    post, path = "/api/v1/retire/signing-key", tag = "signing keys",
    params(("signing_key_id" = Uuid, Query, description = "The key's id, which is the `kid` of its tokens")),
    responses(
        (status = 200, description = "Retired, on every gateway", body = Envelope<ChangedSigningKey>),
        (status = 404, description = "`signing_key_not_found`", body = Failure),
        (status = 409, description = "`signing_key_in_use`: it signs tokens now; rotate first", body = Failure),
    )
)]
pub(super) async fn retire_signing_key(
    State(Keys { keys, propagation }): State<Keys>,
    Known(caller): Known,
    Params(mut query): Params,
) -> Result<Success<ChangedSigningKey>, ApiError> {
    let id = query.required::<Uuid>("signing_key_id");
    query.finish()?;
    let id = id.ok_or_else(|| ApiError::internal("a required parameter was neither read nor refused"))?;
    let changed = keys.retire(&propagation, &caller, id).await?;
    Ok(Success::ok(changed.into(), "Signing key retired. No gateway accepts its tokens any more."))
}

/// The public keys, as a JSON Web Key Set.
pub(super) async fn jwks(State(Keys { keys, .. }): State<Keys>) -> Result<impl IntoResponse, ApiError> {
    let headers = [(header::CONTENT_TYPE, "application/jwk-set+json"), (header::CACHE_CONTROL, "public, max-age=60")];
    Ok((headers, keys.jwks().await?))
}
