//! The frame that tells a visitor of a refusal.

use service::ApiError;
use wire::frames::ServerFrame;

/// Tells a visitor that a frame was refused.
pub(super) fn error(error: &ApiError, client_id: Option<String>) -> ServerFrame {
    ServerFrame::Error {
        error_code: error.code(),
        message: error.message().to_owned(),
        client_id,
        retry_after_seconds: error.retry_after(),
    }
}
