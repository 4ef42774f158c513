//! Browsers take each answer for what its `Content-Type` says, and for nothing else.

use axum::body::Body;
use http::{HeaderValue, Response, header};

/// Adds `X-Content-Type-Options: nosniff`.
pub(crate) async fn never_sniffed(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
