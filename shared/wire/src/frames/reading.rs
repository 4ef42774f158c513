//! Reads a visitor's frame field by field, so that every refused field is named. PROTOCOL.md, section 5.5.
//!
//! The gateway reads what clients send, and the reference chat backend reads what the gateway passes on: both keep the same limits.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    client::ClientFrame,
    limits::{
        CLIENT_ID_CHARS, CONVERSATION_ID_CHARS, HISTORY_MESSAGES, MESSAGE_ATTACHMENTS, MESSAGE_CHARS, MESSAGE_ID_CHARS,
        RATING_COMMENT_CHARS, RATING_SCORE,
    },
    texts::Feedback,
};
use crate::fields::{Fields, RefusedFields};

/// The message that a frame is about, spelt as the client spelt it; `None` if the frame names none by a UUID.
#[must_use]
pub fn client_id(frame: &Map<String, Value>) -> Option<&str> {
    frame.get("client_id").and_then(Value::as_str).filter(|text| Uuid::try_parse(text).is_ok())
}

/// Reads a frame. Fields that the frame's type does not have are dropped.
///
/// # Errors
/// Every refused field.
pub fn read(frame: Map<String, Value>) -> Result<ClientFrame, RefusedFields> {
    let given_id = client_id(&frame).map(str::to_owned);
    let mut fields = Fields::new(frame);
    let kind = fields.choice("type", ClientFrame::TYPES, "");
    let id = |fields: &mut Fields| required_client_id(fields, given_id.as_deref());
    let frame = match kind {
        "message" => ClientFrame::Message {
            client_id: id(&mut fields),
            content: fields.text("content", MESSAGE_CHARS),
            attachments: fields.attachments("attachments", MESSAGE_ATTACHMENTS),
            conversation_id: fields.optional_text("conversation_id", CONVERSATION_ID_CHARS),
        },
        "rate" => ClientFrame::Rate {
            client_id: id(&mut fields),
            score: score(&mut fields),
            comment: fields.optional_text("comment", RATING_COMMENT_CHARS),
        },
        "leave_email" => ClientFrame::LeaveEmail { client_id: id(&mut fields), email: fields.mailbox("email") },
        "feedback" => ClientFrame::Feedback {
            client_id: id(&mut fields),
            message_id: fields.text("message_id", MESSAGE_ID_CHARS),
            feedback: feedback(&mut fields),
        },
        "conversations" => ClientFrame::Conversations,
        "open_conversation" => ClientFrame::OpenConversation {
            client_id: id(&mut fields),
            conversation_id: fields.optional_text("conversation_id", CONVERSATION_ID_CHARS),
        },
        "read" => ClientFrame::Read { message_id: fields.text("message_id", MESSAGE_ID_CHARS) },
        "resume" => ClientFrame::Resume { after: fields.text("after", MESSAGE_ID_CHARS) },
        "history" => {
            ClientFrame::History { before: fields.text("before", MESSAGE_ID_CHARS), limit: history_limit(&mut fields) }
        }
        "typing" => ClientFrame::Typing,
        _ => {
            fields.require("type", format!("must be one of {}", ClientFrame::TYPES.join(", ")));
            ClientFrame::Typing
        }
    };
    fields.finish().map(|()| frame)
}

/// The `client_id` of a frame that must have one. `given` is what [`client_id`] has found. If the field is refused, this is empty, and
/// `finish` refuses the frame.
pub(super) fn required_client_id(fields: &mut Fields, given: Option<&str>) -> String {
    let text = fields.text("client_id", CLIENT_ID_CHARS);
    if given.is_none() && !text.is_empty() {
        fields.require("client_id", "must be a UUID: the same one when the frame is sent again");
    }
    given.unwrap_or_default().to_owned()
}

/// How many messages a client asks for. A client that does not say gets as many as it may.
fn history_limit(fields: &mut Fields) -> u8 {
    let most = u32::from(HISTORY_MESSAGES);
    u8::try_from(fields.number("limit", 1..=most, most)).unwrap_or(HISTORY_MESSAGES)
}

/// What the visitor says of an answer, which must be there. Where it was refused, `finish` refuses the frame.
fn feedback(fields: &mut Fields) -> Feedback {
    let said = fields.choice("feedback", &[Feedback::Helpful.as_str(), Feedback::Unhelpful.as_str()], "");
    if said.is_empty() {
        fields.require("feedback", "is required");
    }
    Feedback::from_wire(said).unwrap_or(Feedback::Asked)
}

/// A rating's score, which must be there. 0 where it was refused.
fn score(fields: &mut Fields) -> u8 {
    let score = fields.number("score", 1..=u32::from(RATING_SCORE), 0);
    if score == 0 {
        fields.require("score", "is required");
    }
    u8::try_from(score).unwrap_or_default()
}
