//! What the refusals of `admission` and `frame` mean to a caller, and the errors that several lanes share.

use serde_json::json;
use service::ApiError;
use wire::{ErrorCode, signature::WINDOW_MS, time::WireTime};

use crate::domain::{
    admission::{Received, Rejection},
    frame::Malformed,
};

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Missing(names) => {
                Self::new(ErrorCode::MissingSignatureHeaders, format!("Sign the call: it lacks {}.", names.join(", ")))
            }
            Rejection::Malformed { header, must_be } => {
                Self::new(ErrorCode::MalformedSignatureHeaders, format!("{header} must be {must_be}, once."))
            }
            Rejection::OutOfWindow { ahead_ms, now_ms } => {
                let (difference, side) = (ahead_ms.unsigned_abs(), if ahead_ms < 0 { "behind" } else { "ahead of" });
                Self::new(
                    ErrorCode::TimestampOutOfWindow,
                    format!(
                        "X-Bloonio-Timestamp is {difference} ms {side} the relay, whose time is {now_ms} ({}). It may differ by \
                         {WINDOW_MS} ms: sign with the current time in Unix milliseconds, and check your clock.",
                        WireTime::from_unix_ms(now_ms)
                    ),
                )
            }
            Rejection::WrongSignature(Received { timestamp, body_bytes, body_sha256, signing_string }) => Self::new(
                ErrorCode::InvalidSignature,
                "The signature does not match. X-Bloonio-Signature is hex(hmac_sha256(tenant_secret, signing_string)): \
                 compare `received` with what your code signed, then the tenant id and secret you use.",
            )
            .received(json!({
                "timestamp": timestamp,
                "body_bytes": body_bytes,
                "body_sha256": body_sha256,
                "signing_string": signing_string,
            })),
        }
    }
}

impl From<Malformed> for ApiError {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::NoObject => Self::new(ErrorCode::MalformedJson, "A frame must be a JSON object."),
            Malformed::Fields(errors) => Self::validation(errors),
        }
    }
}

/// A suspended tenant, once its signature is proven.
pub(crate) fn suspended() -> ApiError {
    ApiError::new(ErrorCode::TenantSuspended, "This tenant is suspended. Ask the platform's operator to reactivate it.")
}

/// A signature that was used before.
pub(crate) fn replayed() -> ApiError {
    ApiError::new(
        ErrorCode::ReplayedRequest,
        "This signature was already used. A signature with a body is good once for each method, path and conversation_id (128 at \
         most); one without a body is good once. To send a call again, sign it with a later time.",
    )
}

/// A message with attachments to a tenant that takes none.
pub(crate) fn files_disabled() -> ApiError {
    ApiError::new(
        ErrorCode::FeatureDisabled,
        "This tenant takes no files (file_upload_enabled is false): send the message without attachments.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_time_is_told_with_the_difference_and_the_relays_time() {
        let now_ms = 1_718_960_000_000;
        for (ahead_ms, told) in [(-31_000, "31000 ms behind"), (31_000, "31000 ms ahead of")] {
            let error = ApiError::from(Rejection::OutOfWindow { ahead_ms, now_ms });
            assert_eq!(error.code(), ErrorCode::TimestampOutOfWindow);
            assert!(error.message().contains(told) && error.message().contains(&now_ms.to_string()), "{error}");
        }
    }

    #[test]
    fn a_frame_that_is_no_object_gets_the_golden_refusal() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/frames.json")).expect("JSON");
        let told = ApiError::from(Malformed::NoObject).frame(None);
        assert_eq!(serde_json::json!(told), golden["server"]["error_of_no_message"]);
    }

    #[test]
    fn a_wrong_signature_explains_itself() {
        let received =
            Received { timestamp: "1".into(), body_bytes: 4, body_sha256: "ab".into(), signing_string: "1.ab".into() };
        let body = ApiError::from(Rejection::WrongSignature(received)).body("r");
        let text = String::from_utf8(body).expect("utf-8");
        assert!(text.contains("\"signing_string\":\"1.ab\"") && text.contains("\"body_bytes\":4"), "{text}");
    }
}
