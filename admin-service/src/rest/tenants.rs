//! The tenant lifecycle over REST.

use std::time::Duration;

use axum::{Extension, extract::State};
use secrecy::ExposeSecret as _;
use service::{ApiError, Envelope, Failure, Success};
use wire::TenantId;

use super::{
    dto::{
        ChangedTenant, FetchedTenant, NewTenant, ProvisionedTenant, RotatedSecret, RotatedWidgetKey, TenantPage,
        TenantPatch, TenantView, next_cursor,
    },
    input::{Fields, Known, Params},
    state::{RelayUrl, WebhookPublicKey},
};
use crate::{
    paging,
    propagation::Changed,
    store::PageStart,
    tenants::{MOST_OVERLAP_S, Tenants},
};

/// Create a tenant. Its secret is in this answer and in no other.
#[utoipa::path(
    post, path = "/api/v1/provision/tenant", tag = "tenants", request_body = NewTenant,
    responses(
        (status = 201, description = "Provisioned", body = Envelope<ProvisionedTenant>),
    )
)]
pub(super) async fn provision_tenant(
    State(tenants): State<Tenants>,
    Extension(RelayUrl(relay_url)): Extension<RelayUrl>,
    Known(caller): Known,
    Fields(fields): Fields,
) -> Result<Success<ProvisionedTenant>, ApiError> {
    let (tenant, secret) = tenants.provision(&caller, &fields).await?;
    Ok(Success::created(
        ProvisionedTenant::new(tenant, &secret, relay_url.to_string()),
        "Tenant provisioned. Save tenant_secret and widget_public_key now — the secret will not be shown again.",
    ))
}

/// Write some of a tenant's settings. Fields that are absent stay as they are.
#[utoipa::path(
    post, path = "/api/v1/update/tenant", tag = "tenants", request_body = TenantPatch,
    params(("tenant_id" = uuid::Uuid, Query, description = "The tenant")),
    responses(
        (status = 200, description = "Written, on every gateway", body = Envelope<ChangedTenant>),
        (status = 404, description = "`tenant_not_found`", body = Failure),
        (status = 409, description = "`conflict`: others kept changing it", body = Failure),
    )
)]
pub(super) async fn update_tenant(
    State(tenants): State<Tenants>,
    Known(caller): Known,
    params: Params,
    Fields(fields): Fields,
) -> Result<Success<ChangedTenant>, ApiError> {
    let tenant = tenants.update(&caller, params.tenant_id()?, &fields).await?;
    Ok(Success::ok(tenant.into(), "Tenant updated."))
}

/// Replace a tenant's secret. The old one is refused from the moment this returns, unless `grace_seconds` keeps it for that long.
#[utoipa::path(
    post, path = "/api/v1/rotate/tenant-secret", tag = "tenants",
    params(
        ("tenant_id" = uuid::Uuid, Query, description = "The tenant"),
        ("revoke_issued" = Option<bool>, Query, description = "Whether tokens that were issued before end with it: visitors' \
         minted ones, and their sockets, before this returns; operators' tokens name the generation that ended. `false` unless said \
         otherwise"),
        ("grace_seconds" = Option<u64>, Query, description = "How long the old secret is accepted beside the new one. 0 unless said \
         otherwise. A secret that an earlier rotation has kept ends with this one in any case", minimum = 0, maximum = 604_800),
    ),
    responses(
        (status = 200, description = "Rotated, on every gateway", body = Envelope<RotatedSecret>),
        (status = 404, description = "`tenant_not_found`", body = Failure),
    )
)]
pub(super) async fn rotate_tenant_secret(
    State(tenants): State<Tenants>,
    Known(caller): Known,
    mut params: Params,
) -> Result<Success<RotatedSecret>, ApiError> {
    let revokes_issued = params.flag("revoke_issued");
    let overlap = Duration::from_secs(params.0.number("grace_seconds", 0..=MOST_OVERLAP_S, 0));
    let tenant_id: TenantId = params.tenant_id()?;
    let Changed { value: (secret, tenant), report } =
        tenants.rotate_secret(&caller, tenant_id, overlap, revokes_issued).await?;
    let previous_secret_expires_at = tenant.previous_secret.map(|previous| previous.expires_at.into());
    let message = match overlap.is_zero() {
        true => "Secret rotated. Save the new tenant_secret — old secret is now invalid.",
        false => "Secret rotated. Save the new tenant_secret — old secret is valid until previous_secret_expires_at.",
    };
    let tenant_secret = secret.expose().to_owned();
    let webhook_secret = secret.to_webhook_secret().expose_secret().to_owned();
    Ok(Success::ok(
        RotatedSecret {
            tenant_id,
            tenant_secret,
            webhook_secret,
            rotated_at: tenant.updated_at.into(),
            previous_secret_expires_at,
            propagation: report.into(),
        },
        message,
    ))
}

/// End the secret before the last rotation, which `grace_seconds` has kept. It is refused from the moment this returns. Repeating it is not
/// an error.
#[utoipa::path(
    post, path = "/api/v1/revoke/previous-secret", tag = "tenants",
    params(("tenant_id" = uuid::Uuid, Query, description = "The tenant")),
    responses(
        (status = 200, description = "Ended, on every gateway", body = Envelope<ChangedTenant>),
        (status = 404, description = "`tenant_not_found`", body = Failure),
    )
)]
pub(super) async fn revoke_previous_secret(
    State(tenants): State<Tenants>,
    Known(caller): Known,
    params: Params,
) -> Result<Success<ChangedTenant>, ApiError> {
    let tenant = tenants.revoke_previous_secret(&caller, params.tenant_id()?).await?;
    Ok(Success::ok(tenant.into(), "The previous secret is invalid. Only the current one is accepted."))
}

/// Replace a tenant's widget key. Pages that still carry the old one are refused from the moment this returns.
#[utoipa::path(
    post, path = "/api/v1/rotate/widget-key", tag = "tenants",
    params(("tenant_id" = uuid::Uuid, Query, description = "The tenant")),
    responses(
        (status = 200, description = "Rotated, on every gateway", body = Envelope<RotatedWidgetKey>),
        (status = 404, description = "`tenant_not_found`", body = Failure),
    )
)]
pub(super) async fn rotate_widget_key(
    State(tenants): State<Tenants>,
    Known(caller): Known,
    params: Params,
) -> Result<Success<RotatedWidgetKey>, ApiError> {
    let tenant_id = params.tenant_id()?;
    let changed = tenants.rotate_widget_key(&caller, tenant_id).await?;
    Ok(Success::ok(
        RotatedWidgetKey::new(tenant_id, changed),
        "Widget public key rotated. Update <script data-public-key=...> on every tenant page; old key stops working immediately.",
    ))
}

/// Refuse a tenant's calls with 403 until it is reactivated. Repeating it is not an error.
#[utoipa::path(
    post, path = "/api/v1/suspend/tenant", tag = "tenants",
    params(("tenant_id" = uuid::Uuid, Query, description = "The tenant")),
    responses(
        (status = 200, description = "Suspended, on every gateway", body = Envelope<ChangedTenant>),
        (status = 404, description = "`tenant_not_found`", body = Failure),
    )
)]
pub(super) async fn suspend_tenant(
    State(tenants): State<Tenants>,
    Known(caller): Known,
    params: Params,
) -> Result<Success<ChangedTenant>, ApiError> {
    let tenant = tenants.suspend(&caller, params.tenant_id()?).await?;
    Ok(Success::ok(tenant.into(), "Tenant suspended. Its calls are refused until it is reactivated."))
}

/// Lift a suspension. Repeating it is not an error.
#[utoipa::path(
    post, path = "/api/v1/reactivate/tenant", tag = "tenants",
    params(("tenant_id" = uuid::Uuid, Query, description = "The tenant")),
    responses(
        (status = 200, description = "Active, on every gateway", body = Envelope<ChangedTenant>),
        (status = 404, description = "`tenant_not_found`", body = Failure),
    )
)]
pub(super) async fn reactivate_tenant(
    State(tenants): State<Tenants>,
    Known(caller): Known,
    params: Params,
) -> Result<Success<ChangedTenant>, ApiError> {
    let tenant = tenants.reactivate(&caller, params.tenant_id()?).await?;
    Ok(Success::ok(tenant.into(), "Tenant active. Its calls are taken."))
}

/// A tenant, without its secret.
#[utoipa::path(
    get, path = "/api/v1/fetch/tenant", tag = "tenants",
    params(("tenant_id" = uuid::Uuid, Query, description = "The tenant")),
    responses(
        (status = 200, description = "The tenant", body = Envelope<FetchedTenant>),
        (status = 404, description = "`tenant_not_found`", body = Failure),
    )
)]
pub(super) async fn fetch_tenant(
    State(tenants): State<Tenants>,
    Extension(WebhookPublicKey(webhook_public_key)): Extension<WebhookPublicKey>,
    params: Params,
) -> Result<Success<FetchedTenant>, ApiError> {
    let tenant = tenants.fetch(params.tenant_id()?).await?.into();
    Ok(Success::ok(FetchedTenant { tenant, webhook_public_key: webhook_public_key.to_string() }, "Tenant fetched."))
}

/// Tenants, newest first. Page by `cursor`: it costs the same however deep; `offset` costs what it skips.
#[utoipa::path(
    get, path = "/api/v1/fetch/tenants", tag = "tenants",
    params(
        ("limit" = Option<u64>, Query, description = "1 to 500, default 100", minimum = 1, maximum = 500),
        ("offset" = Option<u64>, Query, description = "Rows to skip; not together with cursor", minimum = 0, maximum = 10_000_000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = Envelope<TenantPage>),
    )
)]
pub(super) async fn fetch_tenants(
    State(tenants): State<Tenants>,
    Params(mut query): Params,
) -> Result<Success<TenantPage>, ApiError> {
    let limit = query.number("limit", paging::ROWS, paging::DEFAULT_ROWS);
    let offset = query.number("offset", paging::OFFSETS, 0);
    let start = match query.optional::<String>("cursor") {
        None => PageStart::Offset(offset),
        Some(_) if offset > 0 => {
            query.refuse("cursor", "cannot be given together with offset");
            PageStart::Offset(offset)
        }
        Some(text) => paging::read_cursor(&text).map_or_else(
            |wrong| {
                query.refuse("cursor", wrong);
                PageStart::Offset(0)
            },
            PageStart::After,
        ),
    };
    query.finish()?;
    let (page, total) = tenants.page(start, limit).await?;
    let items = page.items.into_iter().map(TenantView::from).collect();
    let page = TenantPage { items, total, limit, offset, next_cursor: next_cursor(page.next) };
    Ok(Success::ok(page, "Tenants fetched."))
}
