//! What gRPC callers pass beside their messages.

use http::HeaderMap;
use wire::request_id::X_REQUEST_ID;

/// The request id that a service passed on; empty where it passed none.
pub(super) fn request_id(headers: &HeaderMap) -> String {
    headers
        .get(X_REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| id.len() <= 64)
        .unwrap_or_default()
        .to_owned()
}
