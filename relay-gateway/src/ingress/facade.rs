//! Paths passed through to the REST facade: developers' where `expose_developer_api` is on, operators' where
//! `expose_admin_api` is. The facade checks the key; the gateway adds nothing and knows nothing of it.

use std::{sync::Arc, time::Instant};

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use http::StatusCode;
use http_body_util::Full;
use shared::{ApiError, ErrorCode, body};

use super::{Gateway, client_address};
use crate::{
    backend::{UpstreamError, strip_request},
    directory::TenantDirectory,
    domain::floods::Floods,
};

/// Every path of the facade that an account key opens.
pub(super) const DEVELOPER_PATHS: [&str; 5] = [
    "/api/v1/bots",
    "/api/v1/widgets/keys",
    "/api/v1/widgets/keys/{id}",
    "/api/v1/widgets/customization",
    "/api/v1/widgets/embed-code",
];

/// Every path of the facade that the operators' key opens.
pub(super) const ADMIN_PATHS: [&str; 12] = [
    "/api/v1/provision/tenant",
    "/api/v1/update/tenant",
    "/api/v1/rotate/tenant-secret",
    "/api/v1/rotate/widget-key",
    "/api/v1/suspend/tenant",
    "/api/v1/reactivate/tenant",
    "/api/v1/fetch/tenant",
    "/api/v1/fetch/tenants",
    "/api/v1/fetch/audit-log",
    "/api/v1/create/account-key",
    "/api/v1/fetch/account-keys",
    "/api/v1/revoke/account-key",
];

pub(super) async fn pass_operator<D: TenantDirectory>(
    State(gateway): State<Arc<Gateway<D>>>,
    request: Request,
) -> Result<Response, ApiError> {
    pass_through(&gateway, &gateway.admin_floods, request).await
}

pub(super) async fn pass_developer<D: TenantDirectory>(
    State(gateway): State<Arc<Gateway<D>>>,
    request: Request,
) -> Result<Response, ApiError> {
    pass_through(&gateway, &gateway.developer_floods, request).await
}

async fn pass_through<D>(gateway: &Gateway<D>, floods: &Floods, request: Request) -> Result<Response, ApiError> {
    let upstream = &gateway.admin_rest;
    let client = client_address(&request, &gateway.trusted_proxies);
    floods.admit(client)?;
    let (parts, body) = request.into_parts();
    let (body, _) = body::read(&parts.headers, body, gateway.body).await?;
    let mut sent = http::Request::new(Full::new(body));
    *sent.method_mut() = parts.method;
    *sent.uri_mut() = upstream.path(parts.uri.path().trim_start_matches('/'), parts.uri.query())?.into();
    *sent.headers_mut() = parts.headers;
    strip_request(sent.headers_mut());
    let answer = upstream.send(sent).await.map_err(|error| {
        let message = "The admin service gave no answer. Look what is there before you repeat a change.";
        match error {
            UpstreamError::Unreachable(cause) | UpstreamError::Broken(cause) => {
                ApiError::new(ErrorCode::DirectoryUnavailable, message).caused_by(cause)
            }
            UpstreamError::Timeout => ApiError::new(ErrorCode::DirectoryUnavailable, message).caused_by("timeout"),
        }
        .retry_after_seconds(1)
    })?;
    // Keys are guessed no faster than signatures.
    if answer.status() == StatusCode::UNAUTHORIZED {
        floods.refused(client, Instant::now());
    }
    Ok(answer.map(Body::new))
}
