//! Admin keys over REST: made, listed and revoked with a root key.

use axum::extract::State;
use serde::Serialize;
use service::{ApiError, Envelope, Failure, Success};
use utoipa::ToSchema;
use uuid::Uuid;
use wire::time::WireTime;

use super::input::{Fields, Known, Params};
use crate::{
    admin_keys::AdminKeys,
    domain::{
        admin_key::{AdminKey, NewAdminKey, Scope},
        credentials::KeySecret,
    },
};

/// An admin key, without its text.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminKey)]
pub(super) struct AdminKeyView {
    admin_key_id: Uuid,
    name: String,
    #[schema(value_type = Vec<Scope>)]
    scopes: Vec<&'static str>,
    /// The last four characters of its text.
    hint: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: WireTime,
    /// `null`: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<WireTime>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<WireTime>,
    /// To the minute, and written some seconds later.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<WireTime>,
}

impl From<AdminKey> for AdminKeyView {
    fn from(key: AdminKey) -> Self {
        Self {
            admin_key_id: key.id,
            name: key.name,
            scopes: key.scopes.into_iter().map(|scope| scope.as_str()).collect(),
            hint: key.hint,
            created_at: key.created_at.into(),
            expires_at: key.expires_at.map(WireTime::from),
            revoked_at: key.revoked_at.map(WireTime::from),
            last_used_at: key.last_used_at.map(WireTime::from),
        }
    }
}

/// A new admin key.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedAdminKey {
    /// Send it as `X-Admin-Key`, over gRPC as the metadata `x-admin-key`. Shown once.
    #[schema(pattern = "^adk_[A-Za-z0-9_-]{43}$")]
    admin_key: String,
    #[serde(flatten)]
    key: AdminKeyView,
}

impl CreatedAdminKey {
    fn new(key: AdminKey, secret: &KeySecret) -> Self {
        Self { admin_key: secret.expose().to_owned(), key: key.into() }
    }
}

/// Every admin key that was made, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct AdminKeyList {
    items: Vec<AdminKeyView>,
}

/// Make an admin key, which may do what its scopes say. Takes a root key. Its text is in this answer and in no other.
#[utoipa::path(
    post, path = "/api/v1/create/admin-key", tag = "admin keys", request_body = NewAdminKey,
    responses(
        (status = 201, description = "Made", body = Envelope<CreatedAdminKey>),
        (status = 409, description = "`limit_reached`: there may be 100 that are neither revoked nor expired", body = Failure),
    )
)]
pub(super) async fn create_admin_key(
    State(keys): State<AdminKeys>,
    Known(caller): Known,
    Fields(given): Fields,
) -> Result<Success<CreatedAdminKey>, ApiError> {
    let (key, secret) = keys.create(&caller, wire::fields::Fields::new(given)).await?;
    Ok(Success::created(
        CreatedAdminKey::new(key, &secret),
        "Admin key made. Save admin_key now: it will not be shown again.",
    ))
}

/// The admin keys that were made, newest first, revoked ones included. Takes a root key.
#[utoipa::path(
    get, path = "/api/v1/fetch/admin-keys", tag = "admin keys",
    responses((status = 200, description = "The keys", body = Envelope<AdminKeyList>))
)]
pub(super) async fn fetch_admin_keys(State(keys): State<AdminKeys>) -> Result<Success<AdminKeyList>, ApiError> {
    let items = keys.list().await?.into_iter().map(AdminKeyView::from).collect();
    Ok(Success::ok(AdminKeyList { items }, "Admin keys fetched."))
}

/// Revoke an admin key. Takes a root key. Once this returns, every call with the key is refused, and no change that was under way with it
/// is made. Repeating it is not an error.
#[utoipa::path(
    post, path = "/api/v1/revoke/admin-key", tag = "admin keys",
    params(("admin_key_id" = uuid::Uuid, Query, description = "The key's id, not its text")),
    responses(
        (status = 200, description = "Revoked", body = Envelope<AdminKeyView>),
        (status = 404, description = "`admin_key_not_found`", body = Failure),
    )
)]
pub(super) async fn revoke_admin_key(
    State(keys): State<AdminKeys>,
    Known(caller): Known,
    Params(mut query): Params,
) -> Result<Success<AdminKeyView>, ApiError> {
    let id = query.required::<Uuid>("admin_key_id");
    query.finish()?;
    let id = id.ok_or_else(|| ApiError::internal("a required parameter was neither read nor refused"))?;
    let key = keys.revoke(&caller, id).await?;
    Ok(Success::ok(key.into(), "Admin key revoked. Every call with it is refused from now on."))
}
