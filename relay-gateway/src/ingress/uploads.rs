//! A file that a visitor or an operator sends: what is checked before its first byte is read, and how it goes to the chat backend.
//! PROTOCOL.md, section 5.12.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use service::{ApiError, body, query::Query};
use wire::{
    ErrorCode,
    frames::limits::{ATTACHMENT_MIME_CHARS, ATTACHMENT_NAME_CHARS},
    request_id::RequestId,
};

use super::state::Gateway;
use crate::{
    backend,
    config::{AttachmentConfig, is_token},
    directory::TenantDirectory,
    domain::tenant::TenantState,
    errors::files_disabled,
};

/// A gigabyte of the tenant's `storage_gb_quota`.
const GIGABYTE: u64 = 1_000_000_000;

/// What a call declares of its file.
pub(super) struct Declared {
    name: String,
    mime: HeaderValue,
    bytes: u64,
}

impl Declared {
    /// Reads it, and checks it against what files may be.
    ///
    /// # Errors
    /// `validation_failed`, `body_too_large`, `unsupported_media_type`.
    pub(super) fn read(parts: &Parts, allowed: &AttachmentConfig) -> Result<Self, ApiError> {
        body::check_not_encoded(&parts.headers)?;
        let mut query = Query::parse(parts.uri.query());
        let name = query.required::<String>("name");
        if name.as_deref().is_some_and(|name| !is_file_name(name)) {
            let most = ATTACHMENT_NAME_CHARS;
            query.refuse(
                "name",
                format!("must be a file's name: {most} characters at most, without slashes and control characters"),
            );
        }
        let bytes =
            parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        match bytes {
            Some(0) => query.refuse("Content-Length", "must not be 0: the file is empty"),
            None => query.refuse("Content-Length", "is required: declare how many bytes the file has"),
            Some(_) => {}
        }
        query.finish()?;
        let (Some(name), Some(bytes)) = (name, bytes) else {
            return Err(ApiError::internal("a name or a length was neither read nor refused"));
        };
        if bytes > allowed.limit {
            let message = format!("The file may have at most {} bytes. Send a smaller one.", allowed.limit);
            return Err(ApiError::new(ErrorCode::BodyTooLarge, message));
        }
        let mime = media_type(&parts.headers).filter(|mime| allowed.types.iter().any(|range| range.holds(mime)));
        let mime = mime.and_then(|mime| HeaderValue::try_from(mime).ok()).ok_or_else(|| {
            ApiError::new(
                ErrorCode::UnsupportedMediaType,
                "Files of this type are not taken. Declare the file's Content-Type, such as image/png or application/pdf.",
            )
        })?;
        Ok(Self { name, mime, bytes })
    }
}

/// Whether a text can be a file's name, and a segment of the file's address.
fn is_file_name(text: &str) -> bool {
    let is_long = text.chars().count() > ATTACHMENT_NAME_CHARS;
    // Browsers take a segment of dots out of an address.
    let is_nothing = ["", ".", ".."].contains(&text.trim());
    !is_long && !is_nothing && !text.chars().any(|letter| letter.is_control() || "/\\".contains(letter))
}

/// The declared media type, in lower case and without parameters.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let text = text.split(';').next()?.trim().to_ascii_lowercase();
    let is_whole = text.split_once('/').is_some_and(|(kind, rest)| is_token(kind) && is_token(rest));
    (is_whole && text.len() <= ATTACHMENT_MIME_CHARS).then_some(text)
}

/// Sends the file on in the name of `actor`, who was admitted.
///
/// # Errors
/// `feature_disabled`, `request_timeout`, `backend_*`.
pub(super) async fn store<D: TenantDirectory>(
    gateway: &Gateway<D>,
    tenant: &TenantState,
    (actor, request_id): (&str, &RequestId),
    declared: Declared,
    body: axum::body::Body,
) -> Result<Response, ApiError> {
    if !tenant.file_upload_enabled {
        return Err(files_disabled());
    }
    let mut query = format!("name={}", utf8_percent_encode(&declared.name, NON_ALPHANUMERIC));
    if tenant.storage_gb_quota > 0 {
        query.push_str(&format!("&quota_bytes={}", tenant.storage_gb_quota.saturating_mul(GIGABYTE)));
    }
    let upload = backend::Upload {
        tenant_id: tenant.id,
        actor,
        request_id,
        query: &query,
        mime: declared.mime,
        bytes: declared.bytes,
        body,
        patience: gateway.body.idle_timeout,
    };
    let (status, body) = gateway.backend.upload(upload).await?;
    // A proxy before the chat backend may answer in its place.
    let envelope = serde_json::from_slice::<Value>(&body).ok().filter(|answer| answer["success"].is_boolean());
    let envelope = envelope.ok_or_else(|| {
        ApiError::new(
            ErrorCode::BackendBadResponse,
            "The chat backend did not say whether it has kept the file. Send it again.",
        )
        .caused_by(format!("{status} without an envelope"))
    })?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let mut answer = (status, headers, body).into_response();
    if let Some(seconds) = envelope["retry_after_seconds"].as_u64() {
        answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::config::List;

    fn declared(uri: &str, headers: &[(&str, &str)]) -> Result<Declared, ErrorCode> {
        let types: List<crate::config::MediaRange> = "image/*,application/pdf".parse().expect("ranges");
        let allowed = AttachmentConfig { limit: 100, types: types.0.into() };
        let mut request = Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        Declared::read(&parts, &allowed).map_err(|error| error.code())
    }

    #[test]
    fn a_file_is_judged_by_what_is_declared_of_it() {
        let png = ("content-type", "Image/PNG; a=b");
        let ten = ("content-length", "10");
        let good = declared("/u?name=%C3%A9t%C3%A9%202.png", &[png, ten]).expect("declared");
        assert_eq!((good.name.as_str(), good.bytes), ("\u{e9}t\u{e9} 2.png", 10));
        assert_eq!(good.mime, "image/png");
        for (uri, headers, code) in [
            ("/u", &[png, ten][..], ErrorCode::ValidationFailed),
            ("/u?name=", &[png, ten], ErrorCode::ValidationFailed),
            ("/u?name=..%2Fa.png", &[png, ten], ErrorCode::ValidationFailed),
            ("/u?name=a%0Ab", &[png, ten], ErrorCode::ValidationFailed),
            ("/u?name=%20", &[png, ten], ErrorCode::ValidationFailed),
            ("/u?name=..", &[png, ten], ErrorCode::ValidationFailed),
            ("/u?name=a", &[("content-type", "image/"), ten], ErrorCode::UnsupportedMediaType),
            ("/u?name=a", &[png], ErrorCode::ValidationFailed),
            ("/u?name=a", &[png, ("content-length", "0")], ErrorCode::ValidationFailed),
            ("/u?name=a", &[png, ("content-length", "101")], ErrorCode::BodyTooLarge),
            ("/u?name=a", &[ten], ErrorCode::UnsupportedMediaType),
            ("/u?name=a", &[("content-type", "text/html"), ten], ErrorCode::UnsupportedMediaType),
            ("/u?name=a", &[("content-type", "nonsense"), ten], ErrorCode::UnsupportedMediaType),
            ("/u?name=a", &[png, ten, ("content-encoding", "gzip")], ErrorCode::UnsupportedMediaType),
        ] {
            assert_eq!(declared(uri, headers).map(|_| ()), Err(code), "{uri} {headers:?}");
        }
    }
}
