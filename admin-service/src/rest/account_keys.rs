//! Account keys over REST: made, listed and revoked by operators.

use axum::extract::State;
use serde::Serialize;
use service::{ApiError, Envelope, Failure, Success};
use utoipa::ToSchema;
use uuid::Uuid;
use wire::{TenantId, time::WireTime};

use super::input::{Fields, Known, Params};
use crate::{
    account_keys::AccountKeys,
    domain::{
        account_key::{AccountKey, NewAccountKey},
        credentials::KeySecret,
    },
};

/// An account key, without its text.
#[derive(Serialize, ToSchema)]
#[schema(as = AccountKey)]
pub(super) struct AccountKeyView {
    account_key_id: Uuid,
    #[schema(value_type = Uuid)]
    tenant_id: TenantId,
    name: String,
    abilities: Vec<&'static str>,
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

impl From<AccountKey> for AccountKeyView {
    fn from(key: AccountKey) -> Self {
        Self {
            account_key_id: key.id,
            tenant_id: key.tenant_id,
            name: key.name,
            abilities: key.abilities.into_iter().map(|ability| ability.as_str()).collect(),
            hint: key.hint,
            created_at: key.created_at.into(),
            expires_at: key.expires_at.map(WireTime::from),
            revoked_at: key.revoked_at.map(WireTime::from),
            last_used_at: key.last_used_at.map(WireTime::from),
        }
    }
}

/// A new account key.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedAccountKey {
    /// Send it as `Authorization: Bearer`, from a server only. Shown once.
    #[schema(pattern = "^ak_[A-Za-z0-9_-]{43}$")]
    account_key: String,
    #[serde(flatten)]
    key: AccountKeyView,
}

impl CreatedAccountKey {
    fn new(key: AccountKey, secret: &KeySecret) -> Self {
        Self { account_key: secret.expose().to_owned(), key: key.into() }
    }
}

/// A tenant's account keys, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct AccountKeyList {
    items: Vec<AccountKeyView>,
}

/// Make an account key, with which a tenant's developers call the widget surface. Its text is in this answer and in no other.
#[utoipa::path(
    post, path = "/api/v1/create/account-key", tag = "account keys", request_body = NewAccountKey,
    params(("tenant_id" = uuid::Uuid, Query, description = "The tenant")),
    responses(
        (status = 201, description = "Made", body = Envelope<CreatedAccountKey>),
        (status = 404, description = "`tenant_not_found`", body = Failure),
        (status = 409, description = "`limit_reached`: a tenant may have 100 that are neither revoked nor expired", body = Failure),
    )
)]
pub(super) async fn create_account_key(
    State(keys): State<AccountKeys>,
    Known(caller): Known,
    params: Params,
    Fields(given): Fields,
) -> Result<Success<CreatedAccountKey>, ApiError> {
    let (key, secret) = keys.create(&caller, params.tenant_id()?, wire::fields::Fields::new(given)).await?;
    Ok(Success::created(
        CreatedAccountKey::new(key, &secret),
        "Account key made. Save account_key now: it will not be shown again.",
    ))
}

/// A tenant's account keys, newest first, revoked ones included.
#[utoipa::path(
    get, path = "/api/v1/fetch/account-keys", tag = "account keys",
    params(("tenant_id" = uuid::Uuid, Query, description = "The tenant")),
    responses(
        (status = 200, description = "The keys", body = Envelope<AccountKeyList>),
        (status = 404, description = "`tenant_not_found`", body = Failure),
    )
)]
pub(super) async fn fetch_account_keys(
    State(keys): State<AccountKeys>,
    params: Params,
) -> Result<Success<AccountKeyList>, ApiError> {
    let items = keys.list(params.tenant_id()?).await?.into_iter().map(AccountKeyView::from).collect();
    Ok(Success::ok(AccountKeyList { items }, "Account keys fetched."))
}

/// Revoke an account key. It opens nothing from the moment this returns. Repeating it is not an error.
#[utoipa::path(
    post, path = "/api/v1/revoke/account-key", tag = "account keys",
    params(
        ("tenant_id" = uuid::Uuid, Query, description = "The tenant"),
        ("account_key_id" = uuid::Uuid, Query, description = "The key's id, not its text"),
    ),
    responses(
        (status = 200, description = "Revoked", body = Envelope<AccountKeyView>),
        (status = 404, description = "`account_key_not_found`", body = Failure),
    )
)]
pub(super) async fn revoke_account_key(
    State(keys): State<AccountKeys>,
    Known(caller): Known,
    Params(mut query): Params,
) -> Result<Success<AccountKeyView>, ApiError> {
    let (tenant_id, id) = (query.required::<TenantId>("tenant_id"), query.required::<Uuid>("account_key_id"));
    query.finish()?;
    let (Some(tenant_id), Some(id)) = (tenant_id, id) else {
        return Err(ApiError::internal("a required parameter was neither read nor refused"));
    };
    let key = keys.revoke(&caller, tenant_id, id).await?;
    Ok(Success::ok(key.into(), "Account key revoked. Every call with it is refused from now on."))
}
