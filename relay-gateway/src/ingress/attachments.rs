//! `GET /api/v1/attachments/<tenant>/<id>/<name>`: a file that a visitor or an operator has sent. PROTOCOL.md, section 5.12.
//!
//! Anybody who has the address may read the file, unless the tenant is suspended. Nobody can guess an address: its id has 122 random bits.
//! A stranger has made the file, so the answer tells browsers to save it, or to show it as a picture, and never to run it.

use std::{net::IpAddr, sync::Arc, time::Instant};

use axum::{
    extract::{Path, Request, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use service::{ApiError, Failure, edge::ConcernedTenant};
use wire::{
    ErrorCode, TenantId, attachments::SHOWN_PICTURES, request_id::X_REQUEST_ID, signature::BodyDigest,
    time::now_unix_ms,
};

use super::{
    body::Body,
    request::{client_address, request_id},
    state::Gateway,
};
use crate::{backend::Relayed, directory::TenantDirectory, errors::suspended, limits::Lane};

/// A file that a visitor or an operator has sent, by its address.
///
/// Browsers save it; they show pictures alone (PNG, JPEG, WebP, GIF).
#[utoipa::path(
    get, path = "/api/v1/attachments/{tenant_id}/{id}/{name}", tag = "visitors",
    params(
        ("tenant_id" = Uuid, Path), ("id" = String, Path),
        ("name" = String, Path, description = "The name that it is saved under"),
    ),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "The caller has it"),
        (status = 403, description = "`tenant_suspended`", body = Failure),
        (status = 404, description = "`not_found`: there is no such file, or not any more", body = Failure),
        (status = 429, description = "`rate_limited`: too many addresses that do not exist", body = Failure),
    )
)]
pub(super) async fn fetch<D: TenantDirectory>(
    State(gateway): State<Arc<Gateway<D>>>,
    Path((tenant_id, id, name)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let client = client_address(&request, &gateway.trusted_proxies);
    let (parts, _) = request.into_parts();
    read(&gateway, client, (&tenant_id, &id, &name), &parts).await.unwrap_or_else(|error| {
        gateway.metrics.refused(error.code());
        error.into_response()
    })
}

async fn read<D: TenantDirectory>(
    gateway: &Gateway<D>,
    client: IpAddr,
    (tenant_id, id, name): (&str, &str, &str),
    parts: &Parts,
) -> Result<Response, ApiError> {
    // A caller who tries addresses at random makes the gateway look each of them up, so each failed try is charged to the caller's address.
    let charged = gateway.limits.charge_failure(Lane::Visitor, client, Instant::now())?;
    let found = find(gateway, (tenant_id, id), parts).await;
    let is_guess = found.as_ref().is_err_and(|error| error.code() == ErrorCode::NotFound);
    if !is_guess {
        charged.disarm();
    }
    Ok(safe(found?, name))
}

async fn find<D: TenantDirectory>(
    gateway: &Gateway<D>,
    (tenant_id, id): (&str, &str),
    parts: &Parts,
) -> Result<Response, ApiError> {
    let tenant_id = tenant_id.parse::<TenantId>().map_err(|_| not_found())?;
    if id.len() != ID_DIGITS || !id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(not_found());
    }
    ConcernedTenant::note(&parts.extensions, tenant_id);
    let request_id = request_id(&parts.extensions);
    let known = gateway.directory.lookup(tenant_id, &request_id).await?;
    let tenant = known.tenant.ok_or_else(not_found)?;
    if tenant.suspended {
        return Err(suspended());
    }
    let mut headers = HeaderMap::new();
    if let Some(known) = parts.headers.get(header::IF_NONE_MATCH) {
        headers.insert(header::IF_NONE_MATCH, known.clone());
    }
    if let Ok(request_id) = HeaderValue::from_str(request_id.as_str()) {
        headers.insert(X_REQUEST_ID, request_id);
    }
    let call = Relayed {
        method: &Method::GET,
        rest: "fetch/attachment",
        query: Some(&format!("id={id}")),
        headers: &mut headers,
        body: bytes::Bytes::new(),
        digest: &BodyDigest::of(b""),
        tenant_id,
        actor: "tenant",
        at_ms: now_unix_ms(),
        deadline: Instant::now() + gateway.call_deadline,
    };
    let answer = gateway.backend.relay(call).await?;
    match answer.status() {
        StatusCode::OK | StatusCode::NOT_MODIFIED => Ok(answer.map(|body| axum::body::Body::new(Body::Streamed(body)))),
        StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Err(not_found()),
        status => Err(ApiError::new(ErrorCode::BackendUnreachable, "The file cannot be read right now. Ask again.")
            .retry_after_seconds(5)
            .caused_by(format!("fetch/attachment was answered {status}"))),
    }
}

/// Digits of a file's id.
const ID_DIGITS: usize = 32;

/// The answer with the headers that make it safe. Of the chat backend's headers, it keeps those that describe the content.
fn safe(answer: Response, name: &str) -> Response {
    let (mut parts, body) = answer.into_parts();
    let from_backend = std::mem::take(&mut parts.headers);
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::ETAG] {
        if let Some(value) = from_backend.get(&name) {
            parts.headers.insert(name, value.clone());
        }
    }
    let mime = from_backend.get(header::CONTENT_TYPE);
    let is_shown = mime.is_some_and(|mime| SHOWN_PICTURES.iter().any(|shown| mime == shown));
    let how = if is_shown { "inline" } else { "attachment" };
    // Every browser reads the encoded form of RFC 6266, so the plain form is left out.
    let disposition = format!("{how}; filename*=UTF-8''{}", utf8_percent_encode(name, NON_ALPHANUMERIC));
    for (name, value) in [
        (header::CONTENT_DISPOSITION, HeaderValue::try_from(disposition).expect("an encoded name is ASCII")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'")),
        // A browser that has the file asks again before it shows it, so a suspension reaches that browser too.
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ] {
        parts.headers.insert(name, value);
    }
    parts.headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    Response::from_parts(parts, body)
}

fn not_found() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "There is no such file, or not any more.")
}
