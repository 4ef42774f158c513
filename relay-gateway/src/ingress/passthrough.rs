//! Paths passed through to the REST facade: developers' where `expose_developer_api` is on, operators' where
//! `expose_admin_api` is; elsewhere a 404 says what to do. The facade checks the key; the gateway adds nothing and knows nothing of it.

use std::{sync::Arc, time::Instant};

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use http::StatusCode;
use http_body_util::Full;
use service::{
    ApiError,
    body::{self, BodyBounds},
    laptop::Exposure,
    passed_on,
};
use wire::{ErrorCode, time::now_unix_ms};

use super::{request::client_address, state::Gateway};
use crate::{
    backend::{UpstreamError, strip_request},
    directory::TenantDirectory,
    limits::Lane,
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
pub(super) const ADMIN_PATHS: [&str; 26] = [
    "/api/v1/provision/tenant",
    "/api/v1/update/tenant",
    "/api/v1/rotate/tenant-secret",
    "/api/v1/revoke/previous-secret",
    "/api/v1/rotate/widget-key",
    "/api/v1/suspend/tenant",
    "/api/v1/reactivate/tenant",
    "/api/v1/fetch/tenant",
    "/api/v1/fetch/tenants",
    "/api/v1/fetch/access-log",
    "/api/v1/fetch/audit-log",
    "/api/v1/create/admin-key",
    "/api/v1/fetch/admin-keys",
    "/api/v1/revoke/admin-key",
    "/api/v1/create/account-key",
    "/api/v1/fetch/account-keys",
    "/api/v1/revoke/account-key",
    "/api/v1/rotate/signing-key",
    "/api/v1/fetch/signing-keys",
    "/api/v1/retire/signing-key",
    "/api/v1/fetch/events",
    "/api/v1/fetch/event",
    "/api/v1/replay/event",
    "/api/v1/replay/events",
    "/api/v1/send/test-event",
    "/api/v1/start/endpoint",
];

/// Bytes a body may have: the largest that is honest is a widget's copy.
const BODY_LIMIT: usize = 256 * 1024;

pub(super) async fn pass_admin<D: TenantDirectory>(
    State(gateway): State<Arc<Gateway<D>>>,
    request: Request,
) -> Result<Response, ApiError> {
    if !gateway.exposed.admin_api.admits(request.headers()) {
        let message = match gateway.exposed.admin_api {
            Exposure::Direct => {
                "A request that came through a proxy (it has Forwarded or X-Forwarded-*) is not passed on to the admin API. Call \
                 the admin service's own address (port 7812 by default), or set expose_admin_api = true here."
            }
            _ => {
                "The admin API is not passed on here. Call the admin service's own address (port 7812 by default), or set \
                 expose_admin_api = true here."
            }
        };
        return Err(ApiError::new(ErrorCode::NotFound, message));
    }
    pass_through(&gateway, Lane::Admin, request).await
}

pub(super) async fn pass_developer<D: TenantDirectory>(
    State(gateway): State<Arc<Gateway<D>>>,
    request: Request,
) -> Result<Response, ApiError> {
    if !gateway.exposed.developer_api {
        let message = "The developers' API is not passed on here. Call the admin service's own address (port 7812 by default), or \
                       set expose_developer_api = true here.";
        return Err(ApiError::new(ErrorCode::NotFound, message));
    }
    pass_through(&gateway, Lane::Developer, request).await
}

async fn pass_through<D: TenantDirectory>(
    gateway: &Gateway<D>,
    lane: Lane,
    request: Request,
) -> Result<Response, ApiError> {
    let upstream = &gateway.admin_rest;
    let client = client_address(&request, &gateway.trusted_proxies);
    // Keys are guessed no faster than signatures.
    let charged = gateway.limits.charge_failure(lane, client, Instant::now())?;
    let (parts, body) = request.into_parts();
    let mut held = gateway.limits.hold_body(client);
    let bounds = BodyBounds { limit: gateway.body.limit.min(BODY_LIMIT), ..gateway.body };
    let (body, _) = match body::read(&parts.headers, body, bounds, &mut held).await {
        Ok(read) => read,
        Err(error) => {
            if error.code() == ErrorCode::Overloaded {
                charged.disarm();
            }
            return Err(error);
        }
    };
    let mut sent = http::Request::new(Full::new(body));
    *sent.method_mut() = parts.method;
    *sent.uri_mut() = upstream.path(parts.uri.path().trim_start_matches('/'), parts.uri.query())?.into();
    *sent.headers_mut() = parts.headers;
    strip_request(sent.headers_mut());
    // Wrong keys count against the client there too, and not against this gateway, which other operators come through.
    sent.headers_mut().insert(passed_on::CLIENT, gateway.client_proof.name(client, now_unix_ms()));
    let answer = upstream.send(sent, None).await;
    if !matches!(&answer, Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED) {
        charged.disarm();
    }
    let answer = answer.map_err(|error| {
        let message = "The admin service gave no answer. Look what is there before you repeat a change.";
        match error {
            UpstreamError::Unreachable(cause)
            | UpstreamError::Unsent(cause)
            | UpstreamError::Broken(cause)
            | UpstreamError::RefusedRelay(cause) => {
                ApiError::new(ErrorCode::DirectoryUnavailable, message).caused_by(cause)
            }
            UpstreamError::Timeout(setting) => {
                ApiError::new(ErrorCode::DirectoryUnavailable, message).caused_by(format!("no answer within {setting}"))
            }
        }
        .retry_after_seconds(1)
    })?;
    Ok(answer.map(Body::new))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_documented_path_of_the_facade_is_passed_on() {
        let document = include_str!("../../../admin-service/openapi.json");
        let document: serde_json::Value = serde_json::from_str(document).expect("JSON");
        let documented = document["paths"].as_object().expect("paths").keys().map(String::as_str);
        let documented: BTreeSet<_> = documented.filter(|path| path.starts_with("/api/v1/")).collect();
        let passed: BTreeSet<_> = ADMIN_PATHS.into_iter().chain(DEVELOPER_PATHS).collect();
        assert_eq!(passed, documented);
    }
}
