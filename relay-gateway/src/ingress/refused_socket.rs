//! What a call is refused with where a socket would be closed.

use service::ApiError;
use wire::ErrorCode;

use crate::sockets::Closing;

/// Seconds after which a caller may come back who sends too much.
const TOO_FAST_S: u64 = 10;

/// Seconds after which the relay, or the chat backend, may be back.
const AWAY_S: u64 = 1;

pub(super) fn without_token() -> ApiError {
    ApiError::new(
        ErrorCode::InvalidVisitorToken,
        "Send `Authorization: Bearer <visitor_token>`: POST /api/v1/create/visitor-session gives one.",
    )
}

/// The refusal that says what the close code would have said.
pub(super) fn refused(closing: &Closing) -> ApiError {
    match closing {
        Closing::Token => ApiError::new(
            ErrorCode::InvalidVisitorToken,
            "The token opens no session, or has ended: POST /api/v1/refresh/visitor-token gives the next one, \
             POST /api/v1/create/visitor-session begins another session.",
        ),
        Closing::Forbidden(reason) => {
            let (code, advice) = reason.split_once(": ").unwrap_or((reason, reason));
            let code = ErrorCode::from_wire(code).unwrap_or(ErrorCode::OriginNotAllowed);
            ApiError::new(code, format!("The conversation is forbidden: {advice}."))
        }
        Closing::TooFast(reason) => {
            ApiError::new(ErrorCode::RateLimited, sentence(reason)).retry_after_seconds(TOO_FAST_S)
        }
        Closing::TryAgain(reason) if closing.is_unchecked() => {
            ApiError::new(ErrorCode::DirectoryUnavailable, sentence(reason)).retry_after_seconds(AWAY_S)
        }
        Closing::TryAgain(reason) => {
            ApiError::new(ErrorCode::Overloaded, sentence(reason)).retry_after_seconds(AWAY_S)
        }
        Closing::Restarting => {
            ApiError::new(ErrorCode::Overloaded, "The relay restarts: call again.").retry_after_seconds(AWAY_S)
        }
        Closing::BackendAway => ApiError::new(
            ErrorCode::BackendUnreachable,
            "The chat backend is away, or did not answer in time. Call again; a frame with the same client_id is taken once.",
        )
        .retry_after_seconds(AWAY_S),
        Closing::Backend(frame) => ApiError::new(
            ErrorCode::BackendBadResponse,
            format!("The chat backend has ended the conversation with {}: {}", u16::from(frame.code), frame.reason),
        ),
        Closing::Left
        | Closing::Gone
        | Closing::Protocol
        | Closing::NotText
        | Closing::NotUtf8
        | Closing::Idle(_)
        | Closing::TooLarge => ApiError::internal(format!("a call has no socket to close with {}", closing.code())),
    }
}

fn sentence(reason: &str) -> String {
    let mut letters = reason.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).chain(['.']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_code_that_the_close_reason_begins_with() {
        let forbidden = refused(&Closing::Forbidden("tenant_suspended: ask the platform's operator"));
        assert_eq!(forbidden.code(), ErrorCode::TenantSuspended);
        assert_eq!(forbidden.message(), "The conversation is forbidden: ask the platform's operator.");
        let unknown = refused(&Closing::Forbidden("no code at all"));
        assert_eq!(unknown.code(), ErrorCode::OriginNotAllowed, "forbidden, whatever the reason says");
        let full = refused(&Closing::TryAgain("the relay holds as many sockets as it may: connect again later"));
        assert_eq!(full.code(), ErrorCode::Overloaded);
        assert_eq!(full.message(), "The relay holds as many sockets as it may: connect again later.");
        assert_eq!(refused(&Closing::TooFast("too many frames: send fewer")).retry_after(), Some(TOO_FAST_S));
    }
}
