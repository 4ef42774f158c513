//! An operator sends a file. PROTOCOL.md, section 5.12.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use service::{ApiError, Envelope, Failure};
use wire::attachments::Attachment;

use super::caller::authenticate;
use crate::{
    directory::TenantDirectory,
    ingress::{
        held::until_sent,
        refused_socket::refused,
        request::{client_address, request_id},
        shapes::operators::TAG,
        state::Gateway,
        uploads::{Declared, store},
    },
    sockets::{Closing, Operator},
};

/// Send a file, to be named by a message afterwards.
///
/// The body is the file itself, as for `POST /api/v1/upload/attachment`; the answer is an attachment.
#[utoipa::path(
    post, path = "/api/v1/operator/upload/attachment", tag = TAG,
    params(
        ("name" = String, Query, description = "The file's name, for people: 255 characters at most"),
        ("content-length" = u64, Header, description = "Bytes"),
        ("content-type" = String, Header, description = "A media type such as `image/png`"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "Kept", body = Envelope<Attachment>),
        (status = 403, description = "`feature_disabled`, `storage_quota_exceeded`", body = Failure),
        (status = 408, description = "`request_timeout`", body = Failure),
        (status = 413, description = "`body_too_large`", body = Failure),
        (status = 415, description = "`unsupported_media_type`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn upload<D: TenantDirectory>(State(gateway): State<Arc<Gateway<D>>>, request: Request) -> Response {
    send(&gateway, request).await.unwrap_or_else(|error| {
        gateway.metrics.refused(error.code());
        error.into_response()
    })
}

/// The operator is judged like one with a socket, and holds a place like one: a revocation or suspension ends the call.
async fn send<D: TenantDirectory>(gateway: &Gateway<D>, request: Request) -> Result<Response, ApiError> {
    let client = client_address(&request, &gateway.trusted_proxies);
    let (parts, body) = request.into_parts();
    let request_id = request_id(&parts.extensions);
    let caller = authenticate(gateway, &parts, client, &request_id).await?;
    gateway.limits.admit_operator_call(caller.token.operator_id, Instant::now())?;
    let declared = Declared::read(&parts, &gateway.attachments)?;
    let tenant = Arc::clone(&caller.tenant);
    let id = request_id.clone();
    let operator = Operator::new(gateway.operator_sockets.judge(), caller.token, client, request_id);
    let sockets = &gateway.operator_sockets;
    let (stored, held) =
        sockets.act(&operator, async |actor| Ok(store(gateway, &tenant, (&actor, &id), declared, body).await)).await;
    let stored = stored.unwrap_or_else(|closing| {
        Err(match closing {
            Closing::Token => ApiError::operator_token_superseded(),
            closing => refused(&closing),
        })
    });
    let response = stored.unwrap_or_else(|error| {
        gateway.metrics.refused(error.code());
        error.into_response()
    });
    Ok(until_sent(response, held))
}
