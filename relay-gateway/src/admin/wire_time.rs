//! Times in the admin service's answers.

use jiff::Timestamp;
use service::ApiError;
use wire::time::WireTime;

/// A time as callers are shown it.
///
/// # Errors
/// `internal` where there is none: the admin service sends one with each answer that has the field.
pub(super) fn time(at: Option<prost_types::Timestamp>) -> Result<WireTime, ApiError> {
    at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok())
        .map(WireTime::from)
        .ok_or_else(|| ApiError::internal("the admin service sent no time"))
}
