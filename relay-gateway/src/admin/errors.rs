//! What a call to the admin service ends with where it has no answer that the gateway can use.

use service::ApiError;
use wire::ErrorCode;

/// No replica answers, or none in time.
pub(super) fn no_answer(cause: impl ToString) -> ApiError {
    ApiError::new(
        ErrorCode::DirectoryUnavailable,
        "The admin service gives no answer right now. What was asked may have been done; asking again does no harm.",
    )
    .retry_after_seconds(1)
    .caused_by(cause)
}

/// The admin service's own error, with what to do next in the words of the gateway's interface: the admin service speaks to callers of
/// its methods.
pub(super) fn for_http_callers(error: ApiError) -> ApiError {
    match error.code() {
        ErrorCode::OperatorNotFound => ApiError::operator_not_found(),
        ErrorCode::InvalidVisitorToken => ApiError::invalid_visitor_token(),
        ErrorCode::EventNotFound => ApiError::new(
            ErrorCode::EventNotFound,
            "This tenant has no such event. GET /api/v1/relay/fetch/events lists the events.",
        ),
        ErrorCode::NoEndpoint => ApiError::new(
            ErrorCode::NoEndpoint,
            "This tenant has no callback_url_base, so nothing can be sent. Ask the platform's operator to set it.",
        ),
        _ => error,
    }
}
