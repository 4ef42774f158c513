//! Canned replies: fetched, written and removed.

use axum::extract::State;
use service::{ApiError, Envelope, Failure, Success};
use wire::ErrorCode;

use super::bodies::NewCannedReply;
use crate::{
    extract::{Acting, Object, Params, Tenant},
    records::canned_replies,
    store::{Store, unavailable},
    views::{
        given,
        inbox::{CannedReplies, CannedReply, TAG},
    },
};

/// All canned replies of the tenant, by shortcut.
#[utoipa::path(
    get, path = "/operator/canned-replies", tag = TAG,
    responses(
        (status = 200, description = "The replies", body = Envelope<CannedReplies>),
    )
)]
pub(crate) async fn fetch(
    State(store): State<Store>,
    Tenant(tenant_id): Tenant,
    _: Acting,
) -> Result<Success<CannedReplies>, ApiError> {
    let items = canned_replies::all(&store.of(tenant_id)).await.map_err(unavailable)?;
    let items = items.into_iter().map(CannedReply::from).collect();
    Ok(Success::ok(CannedReplies { items }, "Canned replies fetched."))
}

/// Write a canned reply. It replaces the text of a shortcut that exists.
#[utoipa::path(
    post, path = "/operator/canned-replies", tag = TAG, request_body = NewCannedReply,
    responses(
        (status = 201, description = "Written", body = Envelope<CannedReply>),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn put(
    State(store): State<Store>,
    Tenant(tenant_id): Tenant,
    _: Acting,
    Object(object): Object,
) -> Result<Success<CannedReply>, ApiError> {
    let NewCannedReply { shortcut, content } = NewCannedReply::read(object)?;
    let written = canned_replies::put(&store.of(tenant_id), &shortcut, &content).await.map_err(unavailable)?;
    let written = written.ok_or_else(|| ApiError::internal("a canned reply that was just written is not there"))?;
    Ok(Success::created(written.into(), "Canned reply written."))
}

/// Remove a canned reply.
#[utoipa::path(
    delete, path = "/operator/canned-replies", tag = TAG,
    params(
        ("id" = String, Query),
    ),
    responses(
        (status = 200, description = "The replies that are left", body = Envelope<CannedReplies>),
        (status = 404, description = "`canned_reply_not_found`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn delete(
    State(store): State<Store>,
    Tenant(tenant_id): Tenant,
    _: Acting,
    Params(mut query): Params,
) -> Result<Success<CannedReplies>, ApiError> {
    let id = query.required::<String>("id");
    query.finish()?;
    let rows = store.of(tenant_id);
    if !canned_replies::delete(&rows, &given(id)?).await.map_err(unavailable)? {
        return Err(ApiError::new(ErrorCode::CannedReplyNotFound, "This tenant has no such canned reply."));
    }
    let items = canned_replies::all(&rows).await.map_err(unavailable)?;
    let items = items.into_iter().map(CannedReply::from).collect();
    Ok(Success::ok(CannedReplies { items }, "Canned reply removed."))
}
