//! What a visitor says over its socket, checked before the chat backend gets it. PROTOCOL.md, section 5.5.

use serde_json::{Map, Value};
use wire::{
    FieldError,
    fields::RefusedFields,
    frames::{self, ClientFrame, PassedFrame},
};

/// A frame that is well formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    said: ClientFrame,
    /// The frame's own id, where it has one.
    pub client_id: Option<String>,
    /// Whether it is a message.
    pub is_message: bool,
    /// Whether it is a message with attachments, which not every tenant takes.
    pub has_attachments: bool,
}

/// Why a frame was refused, and its `client_id` where that could be read.
#[derive(Debug)]
pub struct Refused {
    pub why: Malformed,
    pub client_id: Option<String>,
}

/// What is wrong with a frame.
#[derive(Debug)]
pub enum Malformed {
    /// The frame is not a JSON object.
    NoObject,
    /// These fields are wrong.
    Fields(Vec<FieldError>),
}

impl Frame {
    /// Reads one.
    pub fn read(text: &str) -> Result<Self, Refused> {
        let object: Map<String, Value> =
            serde_json::from_str(text).map_err(|_| Refused { why: Malformed::NoObject, client_id: None })?;
        let given_id = frames::client_id(&object).map(str::to_owned);
        let refused = |why: RefusedFields| Refused { why: Malformed::Fields(why.0), client_id: given_id };
        let said = frames::read(object).map_err(refused)?;
        let (is_message, has_attachments) = match &said {
            ClientFrame::Message { attachments, .. } => (true, !attachments.is_empty()),
            _ => (false, false),
        };
        Ok(Self { client_id: said.client_id().map(str::to_owned), said, is_message, has_attachments })
    }

    /// Its JSON as the backend gets it, with the trace that it belongs to. It is written anew: no other field reaches the backend.
    #[must_use]
    pub fn passed(&self, traceparent: Option<&str>) -> String {
        PassedFrame { frame: &self.said, traceparent }.to_json()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wire::frames::limits::{CLIENT_FRAME_BYTES, MESSAGE_ATTACHMENTS, MESSAGE_CHARS};

    use super::*;

    const ID: &str = "6f1c1a52-5a0e-4a53-9d5f-0a4e6f0f3b11";

    fn attachment() -> Value {
        json!({"type": "image", "mime": "image/png", "size": 1, "url": "https://cdn.example.com/a.png"})
    }

    #[test]
    fn a_message_says_whether_it_has_attachments() {
        for (attachments, has) in [(json!([]), false), (json!(null), false), (json!([attachment()]), true)] {
            let sent = json!({"type": "message", "client_id": ID, "content": "hi", "attachments": attachments});
            let frame = Frame::read(&sent.to_string()).expect("well formed");
            assert_eq!(frame.has_attachments, has, "{attachments}");
        }
    }

    #[test]
    fn a_frame_is_written_anew_and_nothing_rides_along() {
        let sent = json!({
            "type": "message", "client_id": ID, "content": "hi", "role": "agent", "tenant_id": "x", "traceparent": "of the client"
        });
        let frame = Frame::read(&sent.to_string()).expect("well formed");
        assert_eq!(frame.client_id.as_deref(), Some(ID));
        let upper = json!({"type": "message", "client_id": ID.to_uppercase(), "content": "hi"}).to_string();
        assert!(
            Frame::read(&upper).expect("well formed").passed(None).contains(&ID.to_uppercase()),
            "as it was written"
        );
        let read: Value = serde_json::from_str(&frame.passed(None)).expect("JSON");
        assert_eq!(read, json!({"type": "message", "client_id": ID, "content": "hi", "attachments": []}));
        let traced: Value = serde_json::from_str(&frame.passed(Some("of the gateway"))).expect("JSON");
        assert_eq!(traced["traceparent"], "of the gateway");
        for (sent, written) in [
            (json!({"type": "typing", "client_id": ID}), json!({"type": "typing"})),
            (json!({"type": "read", "message_id": "m1"}), json!({"type": "read", "message_id": "m1"})),
            (json!({"type": "resume", "after": "m1"}), json!({"type": "resume", "after": "m1"})),
            (
                json!({"type": "history", "before": "m1", "tenant_id": "x"}),
                json!({"type": "history", "before": "m1", "limit": 50}),
            ),
            (
                json!({"type": "rate", "client_id": ID, "score": 5, "rated_at": "forged"}),
                json!({"type": "rate", "client_id": ID, "score": 5, "comment": null}),
            ),
            (
                json!({"type": "leave_email", "client_id": ID, "email": "ada@example.com", "content": "x"}),
                json!({"type": "leave_email", "client_id": ID, "email": "ada@example.com"}),
            ),
        ] {
            let frame = Frame::read(&sent.to_string()).expect("well formed");
            assert_eq!(serde_json::from_str::<Value>(&frame.passed(None)).expect("JSON"), written);
            assert_eq!(
                frame.client_id.as_deref(),
                written["client_id"].as_str(),
                "a refusal names the frame: {written}"
            );
        }
    }

    #[test]
    fn each_golden_frame_of_a_client_passes_as_it_stands() {
        let golden: Value = serde_json::from_str(include_str!("../../../tests/vectors/frames.json")).expect("JSON");
        for (name, sent) in golden["client"].as_object().expect("an object of frames") {
            let frame = Frame::read(&sent.to_string()).expect(name);
            assert_eq!(serde_json::from_str::<Value>(&frame.passed(None)).expect("JSON"), *sent, "{name}");
        }
    }

    #[test]
    fn the_default_of_the_frame_limit_is_the_documented_one() {
        let default = format!("\nsocket_frame_bytes = {CLIENT_FRAME_BYTES}\n");
        assert!(include_str!("../../config.default.toml").contains(&default));
    }

    #[test]
    fn hostile_frames_are_refused_and_the_message_is_named_where_it_can_be() {
        let long = "x".repeat(MESSAGE_CHARS + 1);
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let message = |field: &str, value: Value| {
            let mut frame = json!({"type": "message", "client_id": ID, "content": "hi"});
            frame[field] = value;
            frame.to_string()
        };
        for (hostile, names) in [
            (String::new(), false),
            ("null".to_owned(), false),
            ("[]".to_owned(), false),
            ("{\"type\":".to_owned(), false),
            (deep, false),
            (json!({"type": "hello"}).to_string(), false),
            (json!({"content": "hi"}).to_string(), false),
            (json!({"type": ["message"]}).to_string(), false),
            (json!({"type": "message", "content": "hi"}).to_string(), false),
            (message("client_id", json!("7")), false),
            (message("client_id", json!(7)), false),
            (message("content", json!("")), true),
            (message("content", json!(" \n")), true),
            (message("content", json!("a\u{0}b")), true),
            (message("content", json!(long)), true),
            (message("content", json!({"$gt": ""})), true),
            (message("attachments", json!("file")), true),
            (message("attachments", json!([1])), true),
            (message("attachments", json!([{}])), true),
            (message("attachments", json!(vec![attachment(); MESSAGE_ATTACHMENTS + 1])), true),
            (json!({"type": "read"}).to_string(), false),
            (json!({"type": "resume", "after": "x".repeat(65)}).to_string(), false),
            (json!({"type": "history"}).to_string(), false),
            (json!({"type": "history", "before": "x".repeat(65)}).to_string(), false),
            (json!({"type": "history", "before": "m1", "limit": 0}).to_string(), false),
            (json!({"type": "history", "before": "m1", "limit": 51}).to_string(), false),
            (json!({"type": "history", "before": "m1", "limit": -1}).to_string(), false),
            (json!({"type": "history", "before": "m1", "limit": "50"}).to_string(), false),
        ] {
            let shown: String = hostile.chars().take(80).collect();
            let refused = Frame::read(&hostile).expect_err(&shown);
            assert_eq!(refused.client_id.is_some(), names, "{shown}");
            if let Malformed::Fields(errors) = refused.why {
                assert!(errors.iter().all(|error| error.message.len() < 300), "{errors:?}");
            }
        }
    }
}
