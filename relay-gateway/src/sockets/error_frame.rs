//! The frame by which the gateway tells a participant that a frame was refused.

use service::ApiError;
use wire::frames::ServerFrame;

/// Tells a participant that a frame was refused; `client_id` names the message, if the frame named one.
pub(super) fn error_frame(error: &ApiError, client_id: Option<&str>) -> ServerFrame {
    let message = match error.errors().first() {
        Some(refused) => format!("{} {}", refused.field, refused.message),
        None => error.message().to_owned(),
    };
    ServerFrame::Error {
        error_code: error.code(),
        message,
        client_id: client_id.map(str::to_owned),
        retry_after_seconds: error.retry_after(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wire::ErrorCode;

    use super::*;
    use crate::domain::frame::Malformed;

    #[test]
    fn a_refusal_is_the_golden_error() {
        let golden: Value = serde_json::from_str(include_str!("../../../tests/vectors/frames.json")).expect("JSON");
        let golden = |name: &str| golden["server"][name].clone();
        let id = Some("6f1c1a52-5a0e-4a53-9d5f-0a4e6f0f3b11");
        let too_long = ApiError::field("content", "must have at most 4000 characters");
        assert_eq!(json!(error_frame(&too_long, id)), golden("error"));
        let unchecked = ApiError::new(
            ErrorCode::DirectoryUnavailable,
            "The relay cannot check this tenant right now. Nothing was sent on: send it again.",
        )
        .retry_after_seconds(1);
        assert_eq!(json!(error_frame(&unchecked, id)), golden("error_to_come_back_from"));
        assert_eq!(json!(error_frame(&Malformed::NoObject.into(), None)), golden("error_of_no_message"));
    }
}
