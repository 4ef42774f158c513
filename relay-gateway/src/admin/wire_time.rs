//! Times in calls of the admin service, and in its answers.

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

/// A time as the admin service is told it.
pub(super) fn sent(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}
