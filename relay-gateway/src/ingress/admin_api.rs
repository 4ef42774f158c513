//! The admin paths, passed through to the REST facade where `expose_admin_api` is on: one base URL for everything.
//! The facade checks the key; the gateway adds nothing and knows nothing of it.

use std::{sync::Arc, time::Instant};

use axum::{
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
};

/// Every path of the facade that needs the key.
pub(super) const PATHS: [&str; 9] = [
    "/api/v1/provision/tenant",
    "/api/v1/update/tenant",
    "/api/v1/rotate/tenant-secret",
    "/api/v1/rotate/widget-key",
    "/api/v1/suspend/tenant",
    "/api/v1/reactivate/tenant",
    "/api/v1/fetch/tenant",
    "/api/v1/fetch/tenants",
    "/api/v1/fetch/audit-log",
];

pub(super) async fn pass_through<D: TenantDirectory>(
    State(gateway): State<Arc<Gateway<D>>>,
    request: Request,
) -> Result<Response, ApiError> {
    let Some((base, upstream)) = &gateway.admin_rest else {
        return Err(ApiError::internal("an admin path without its upstream"));
    };
    let client = client_address(&request, &gateway.trusted_proxies);
    gateway.admin_floods.admit(client, Instant::now())?;
    let (parts, body) = request.into_parts();
    let (body, _) = body::read(&parts.headers, body, gateway.body).await?;
    let mut sent = http::Request::new(Full::new(body));
    *sent.method_mut() = parts.method;
    *sent.uri_mut() = base.join(parts.uri.path().trim_start_matches('/'), parts.uri.query())?;
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
        gateway.admin_floods.refused(client, Instant::now());
    }
    Ok(answer)
}
