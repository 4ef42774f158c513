//! The calls that keep, read and delete files. Visitors and operators send files; the tenant deletes them. PROTOCOL.md, section 5.12.

use axum::{
    body::Body,
    extract::{Extension, Request, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use service::{ApiError, Envelope, Failure, Success};
use utoipa::ToSchema;
use wire::{ErrorCode, attachments::Attachment, fields::Fields, frames::limits::ATTACHMENT_NAME_CHARS};

use super::{
    extract::{Object, Params, Tenant},
    files::Files,
    records::files::NewFile,
    state::Backend,
    verify::Actor,
    views::given,
};

/// Keep a file that a visitor or an operator sends.
///
/// The body is the file, with its `Content-Length` and `Content-Type`. The signature does not cover the body: `UNSIGNED-PAYLOAD` stands in the
/// place of its hash.
#[utoipa::path(
    post, path = "/upload/attachment", tag = "attachments",
    params(
        ("name" = String, Query, description = "The file's name, for people"),
        ("quota_bytes" = Option<u64>, Query, description = "What all files of the tenant may have; without it, there is no limit"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "Kept", body = Envelope<Attachment>),
        (status = 403, description = "`storage_quota_exceeded`; `feature_disabled`: files are not kept here", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn upload_attachment(
    State(backend): State<Backend>,
    Tenant(tenant_id): Tenant,
    Extension(Actor(uploader)): Extension<Actor>,
    Params(mut query): Params,
    request: Request,
) -> Result<Success<Attachment>, ApiError> {
    let files = kept_by(&backend)?;
    if !uploader.starts_with("visitor:") && !uploader.starts_with("operator:") {
        return Err(ApiError::new(ErrorCode::NotFound, "Files are sent by visitors and operators."));
    }
    let name = query.required::<String>("name");
    if name.as_ref().is_some_and(|name| name.chars().count() > ATTACHMENT_NAME_CHARS) {
        query.refuse("name", format!("must have at most {ATTACHMENT_NAME_CHARS} characters"));
    }
    let quota = query.optional::<u64>("quota_bytes");
    let (parts, body) = request.into_parts();
    let text = |name: header::HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let bytes = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    let mime = text(header::CONTENT_TYPE).map(str::to_owned);
    if bytes.is_none() {
        query.refuse("Content-Length", "is required");
    }
    if mime.is_none() {
        query.refuse("Content-Type", "is required");
    }
    query.finish()?;
    let new = NewFile { uploader, mime: given(mime)?, name: given(name)?, bytes: given(bytes)?, quota };
    let kept = files.keep(tenant_id, new, body).await?;
    Ok(Success::created(kept, "File kept."))
}

/// A file's bytes, for the gateway, which serves them.
#[utoipa::path(
    get, path = "/fetch/attachment", tag = "attachments",
    params(("id" = String, Query, description = "What follows the tenant in the file's address")),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "The caller has it"),
        (status = 404, description = "`not_found`", body = Failure),
    )
)]
pub(crate) async fn fetch_attachment(
    State(backend): State<Backend>,
    Tenant(tenant_id): Tenant,
    Params(mut query): Params,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = query.required::<String>("id");
    query.finish()?;
    let files = kept_by(&backend)?;
    let row = files.find(tenant_id, &given(id)?).await?;
    // A file never changes under its id.
    let tag = HeaderValue::try_from(format!("\"{}\"", row.id)).map_err(ApiError::internal)?;
    if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let mime = HeaderValue::try_from(row.shown_as.as_deref().unwrap_or("application/octet-stream"));
    let stream = files.read(tenant_id, &row.id).await?;
    let headers = [
        (header::CONTENT_TYPE, mime.map_err(ApiError::internal)?),
        (header::CONTENT_LENGTH, HeaderValue::from(row.size)),
        (header::ETAG, tag),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
}

/// Which file is meant.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is read field by field")]
pub(crate) struct NamedFile {
    /// What follows the tenant in the file's address.
    #[schema(max_length = 64)]
    id: String,
}

/// A file that is gone.
#[derive(Serialize, ToSchema)]
pub(crate) struct Deleted {
    id: String,
}

/// Delete a file, for example when a person asks for it. Messages keep its name, and its address answers 404 from then on.
#[utoipa::path(
    post, path = "/delete/attachment", tag = "attachments", request_body = NamedFile,
    responses(
        (status = 200, description = "Deleted", body = Envelope<Deleted>),
        (status = 404, description = "`not_found`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn delete_attachment(
    State(backend): State<Backend>,
    Tenant(tenant_id): Tenant,
    Object(object): Object,
) -> Result<Success<Deleted>, ApiError> {
    let mut fields = Fields::new(object);
    let id = fields.text("id", 64);
    fields.finish()?;
    kept_by(&backend)?.delete(tenant_id, &id).await?;
    Ok(Success::ok(Deleted { id }, "File deleted."))
}

fn kept_by(backend: &Backend) -> Result<&Files, ApiError> {
    backend.files.as_ref().ok_or_else(|| ApiError::new(ErrorCode::FeatureDisabled, "This chat backend keeps no files."))
}
