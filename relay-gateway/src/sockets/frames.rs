//! The frames that the gateway writes itself: `hello` to the chat backend, `config` and `error` to a visitor. It passes all others
//! on.

use proto::visitors::v1::Session;
use service::ApiError;
use wire::{
    SessionId,
    frames::{Hello, Mode, ServerFrame},
    origin::Origin,
};

use crate::domain::widget_access::Widget;

/// The chat backend's first frame: whose conversation the socket is for.
///
/// # Errors
/// An internal one, if the admin service names a mode that this build does not know.
pub(super) fn hello(
    session_id: SessionId,
    session: Session,
    origin: Option<Origin>,
    visitor_user_id: Option<String>,
) -> Result<Hello, ApiError> {
    let Session { bot_id, locale, metadata_json, routing_key, mode, .. } = session;
    let mode = Mode::from_wire(&mode).ok_or_else(|| ApiError::internal("a session of an unknown mode"))?;
    let metadata = serde_json::from_str(&metadata_json).unwrap_or_default();
    Ok(Hello { session_id, bot_id, locale, metadata, routing_key, mode, origin, visitor_user_id })
}

/// Tells a widget its new look.
pub(super) fn config(widget: &Widget) -> ServerFrame {
    ServerFrame::Config { widget_config: widget.config() }
}

/// Tells a visitor that a frame was refused.
pub(super) fn error(error: &ApiError, client_id: Option<&str>) -> ServerFrame {
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
    use std::num::NonZeroU32;

    use serde_json::{Value, json};
    use uuid::Uuid;
    use wire::ErrorCode;

    use super::*;
    use crate::domain::frame::Malformed;

    fn golden(kind: &str, name: &str) -> Value {
        let golden: Value = serde_json::from_str(include_str!("../../../tests/vectors/frames.json")).expect("JSON");
        golden[kind][name].clone()
    }

    #[test]
    fn hello_is_the_golden_one() {
        let id: SessionId = "vs_019e4ae71a2b7c3d8e4f5a6b7c8d9e0f".parse().expect("an id");
        let session = Session {
            bot_id: "019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e10".to_owned(),
            locale: "fr".to_owned(),
            metadata_json: r#"{"plan":"pro"}"#.to_owned(),
            routing_key: Some("sales".to_owned()),
            mode: "human".to_owned(),
            ..Session::default()
        };
        let origin = "https://shop.example.com".parse().expect("an origin");
        let sent = hello(id, session.clone(), Some(origin), None).expect("a known mode");
        assert_eq!(json!(sent), golden("hello", "session"));
        let minted = Session {
            locale: "en".to_owned(),
            metadata_json: String::new(),
            routing_key: None,
            mode: "bot".to_owned(),
            ..session.clone()
        };
        let sent = hello(id, minted, None, Some("customer-42".to_owned())).expect("a known mode");
        assert_eq!(json!(sent), golden("hello", "minted_token"));
        assert!(hello(id, Session { mode: "oracle".to_owned(), ..session }, None, None).is_err());
    }

    #[test]
    fn a_new_look_is_the_golden_config() {
        let config = r##"{"customization":{"theme_color":"#0055cc","position":"bottom-left"}}"##.into();
        let widget = Widget { key_id: Uuid::nil(), sessions_per_hour: NonZeroU32::MIN, config };
        assert_eq!(json!(super::config(&widget)), golden("server", "config"));
    }

    #[test]
    fn a_refusal_is_the_golden_error() {
        let id = Some("6f1c1a52-5a0e-4a53-9d5f-0a4e6f0f3b11");
        let too_long = ApiError::field("content", "must have at most 4000 characters");
        assert_eq!(json!(error(&too_long, id)), golden("server", "error"));
        let unchecked = ApiError::new(
            ErrorCode::DirectoryUnavailable,
            "The relay cannot check this tenant right now. Nothing was sent on: send it again.",
        )
        .retry_after_seconds(1);
        assert_eq!(json!(error(&unchecked, id)), golden("server", "error_to_come_back_from"));
        assert_eq!(json!(error(&Malformed::NoObject.into(), None)), golden("server", "error_of_no_message"));
    }
}
