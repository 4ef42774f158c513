//! An error as a frame of a visitor's socket.

use wire::frames::ServerFrame;

use crate::error::ApiError;

impl ApiError {
    /// The frame that tells a client that its frame was refused; `client_id` names the message, if the frame named one. A frame has
    /// no list of fields, so the first refused field takes the message's place.
    #[must_use]
    pub fn frame(&self, client_id: Option<String>) -> ServerFrame {
        let message = match self.errors().first() {
            Some(refused) => format!("{} {}", refused.field, refused.message),
            None => self.message().to_owned(),
        };
        ServerFrame::Error { error_code: self.code(), message, client_id, retry_after_seconds: self.retry_after() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wire::ErrorCode;

    use super::*;

    #[test]
    fn a_refusal_is_the_golden_error() {
        let golden: Value = serde_json::from_str(include_str!("../../../tests/vectors/frames.json")).expect("JSON");
        let golden = |name: &str| golden["server"][name].clone();
        let id = || Some("6f1c1a52-5a0e-4a53-9d5f-0a4e6f0f3b11".to_owned());
        let too_long = ApiError::field("content", "must have at most 4000 characters");
        assert_eq!(json!(too_long.frame(id())), golden("error"));
        let unchecked = ApiError::new(
            ErrorCode::DirectoryUnavailable,
            "The relay cannot check this tenant right now. Nothing was sent on: send it again.",
        )
        .retry_after_seconds(1);
        assert_eq!(json!(unchecked.frame(id())), golden("error_to_come_back_from"));
    }
}
