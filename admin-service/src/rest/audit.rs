//! The two logs over REST.

use axum::extract::State;
use service::{ApiError, Envelope, Success, query::Query};
use wire::TenantId;

use super::{
    dto::{AccessPage, AccessView, AuditPage, AuditView, next_cursor},
    input::Params,
};
use crate::{logs::Logs, paging};

/// Who changed what, newest first.
#[utoipa::path(
    get, path = "/api/v1/fetch/audit-log", tag = "audit",
    params(
        ("tenant_id" = Option<uuid::Uuid>, Query, description = "One tenant's; absent, every tenant's"),
        ("limit" = Option<u64>, Query, description = "1 to 500, default 100", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = Envelope<AuditPage>),
    )
)]
pub(super) async fn fetch_audit_log(
    State(logs): State<Logs>,
    Params(query): Params,
) -> Result<Success<AuditPage>, ApiError> {
    let Wanted { tenant_id, limit, after } = wanted(query)?;
    let page = logs.audit(tenant_id, after, limit).await?;
    let items = page.items.into_iter().map(AuditView::from).collect();
    Ok(Success::ok(AuditPage { items, limit, next_cursor: next_cursor(page.next) }, "Audit log fetched."))
}

/// Events that change nothing, such as issued tokens, wrong keys and secrets that were read. Newest first, kept for 90 days.
#[utoipa::path(
    get, path = "/api/v1/fetch/access-log", tag = "audit",
    params(
        ("tenant_id" = Option<uuid::Uuid>, Query, description = "One tenant's; absent, every tenant's and those of none"),
        ("limit" = Option<u64>, Query, description = "1 to 500, default 100", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = Envelope<AccessPage>),
    )
)]
pub(super) async fn fetch_access_log(
    State(logs): State<Logs>,
    Params(query): Params,
) -> Result<Success<AccessPage>, ApiError> {
    let Wanted { tenant_id, limit, after } = wanted(query)?;
    let page = logs.access(tenant_id, after, limit).await?;
    let items = page.items.into_iter().map(AccessView::from).collect();
    Ok(Success::ok(AccessPage { items, limit, next_cursor: next_cursor(page.next) }, "Access log fetched."))
}

/// Which page of a log.
struct Wanted {
    tenant_id: Option<TenantId>,
    limit: u64,
    after: Option<u64>,
}

fn wanted(mut query: Query) -> Result<Wanted, ApiError> {
    let tenant_id = query.optional::<TenantId>("tenant_id");
    let limit = query.number("limit", paging::ROWS, paging::DEFAULT_ROWS);
    let after = query
        .optional::<String>("cursor")
        .and_then(|text| paging::read_cursor(&text).map_err(|wrong| query.refuse("cursor", wrong)).ok());
    query.finish()?;
    Ok(Wanted { tenant_id, limit, after })
}
