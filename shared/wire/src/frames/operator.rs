//! What an operator says on its socket, and what the gateway says first. PROTOCOL.md, section 8.5.
//!
//! The gateway reads what an operator's page sends, and the reference chat backend reads what the gateway passes on: both keep the same
//! limits.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    json,
    limits::{CONVERSATION_ID_CHARS, MESSAGE_ID_CHARS, SIGNED_MESSAGE_ATTACHMENTS, SIGNED_MESSAGE_CHARS},
    reading::{client_id, required_client_id},
};
use crate::{
    attachments::Attachment,
    fields::{Fields, RefusedFields},
};

/// A frame from an operator's page. The gateway writes it anew, so that no other field reaches the chat backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OperatorFrame {
    /// The operator looks at this conversation, and at no other; at none where it is absent.
    Watch {
        /// The conversation.
        conversation_id: Option<String>,
    },
    /// The operator is writing to the visitor.
    Typing {
        /// The conversation.
        conversation_id: String,
    },
    /// The operator has read this message, and all before it.
    Read {
        /// The conversation.
        conversation_id: String,
        /// The message's id.
        message_id: String,
    },
    /// The operator answers the visitor.
    Message {
        /// The page's own id of the message: a UUID. The same id again is the same message.
        client_id: String,
        /// The conversation.
        conversation_id: String,
        /// What the operator says.
        content: String,
        /// Files that go with it.
        attachments: Vec<Attachment>,
    },
    /// The operator takes the conversation.
    Claim(Action),
    /// The operator gives the conversation back to the queue.
    Release(Action),
    /// The operator gives the conversation back to the bot.
    HandBack(Action),
    /// The operator resolves the conversation.
    Resolve(Action),
    /// The operator takes a resolved conversation up again.
    Reopen(Action),
}

/// What an operator does with a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// The page's own id of the action: a UUID, which the answer repeats.
    pub client_id: String,
    /// The conversation.
    pub conversation_id: String,
}

impl OperatorFrame {
    /// The values of `type`.
    pub const TYPES: &[&'static str] =
        &["watch", "typing", "read", "message", "claim", "release", "hand_back", "resolve", "reopen"];

    /// The frame's JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::text(self)
    }

    /// Reads a frame. Fields that the frame's type does not have are dropped.
    ///
    /// # Errors
    /// Every refused field.
    pub fn read(frame: Map<String, Value>) -> Result<Self, RefusedFields> {
        let given_id = client_id(&frame).map(str::to_owned);
        let mut fields = Fields::new(frame);
        let kind = fields.choice("type", Self::TYPES, "");
        let id = |fields: &mut Fields| required_client_id(fields, given_id.as_deref());
        let conversation = |fields: &mut Fields| fields.text("conversation_id", CONVERSATION_ID_CHARS);
        let action = |fields: &mut Fields| Action { client_id: id(fields), conversation_id: conversation(fields) };
        let frame = match kind {
            "watch" => Self::Watch { conversation_id: fields.optional_text("conversation_id", CONVERSATION_ID_CHARS) },
            "typing" => Self::Typing { conversation_id: conversation(&mut fields) },
            "read" => Self::Read {
                conversation_id: conversation(&mut fields),
                message_id: fields.text("message_id", MESSAGE_ID_CHARS),
            },
            "message" => {
                let Action { client_id, conversation_id } = action(&mut fields);
                Self::Message {
                    client_id,
                    conversation_id,
                    content: fields.text("content", SIGNED_MESSAGE_CHARS),
                    attachments: fields.attachments("attachments", SIGNED_MESSAGE_ATTACHMENTS),
                }
            }
            "claim" => Self::Claim(action(&mut fields)),
            "release" => Self::Release(action(&mut fields)),
            "hand_back" => Self::HandBack(action(&mut fields)),
            "resolve" => Self::Resolve(action(&mut fields)),
            "reopen" => Self::Reopen(action(&mut fields)),
            _ => {
                fields.require("type", format!("must be one of {}", Self::TYPES.join(", ")));
                Self::Watch { conversation_id: None }
            }
        };
        fields.finish().map(|()| frame)
    }
}

/// The gateway's first frame to the chat backend: whose socket it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "hello")]
pub struct OperatorHello {
    /// The operator's id, which is the actor's.
    pub operator_id: String,
    /// The name that visitors read.
    pub display_name: String,
    /// The operator's picture.
    pub avatar_url: Option<String>,
    /// The queues the operator sees; none: all of the tenant.
    pub routing_keys: Vec<String>,
}

impl OperatorHello {
    /// The frame's JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::text(self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "6f1c1a52-5a0e-4a53-9d5f-0a4e6f0f3b11";

    fn read(frame: Value) -> Result<OperatorFrame, Vec<String>> {
        let Value::Object(frame) = frame else { panic!("an object") };
        OperatorFrame::read(frame).map_err(|refused| refused.0.into_iter().map(|error| error.field).collect())
    }

    #[test]
    fn each_frame_is_read_and_written_as_it_stands_and_nothing_rides_along() {
        for frame in [
            json!({"type": "watch", "conversation_id": "c1"}),
            json!({"type": "watch", "conversation_id": null}),
            json!({"type": "typing", "conversation_id": "c1"}),
            json!({"type": "read", "conversation_id": "c1", "message_id": "m1"}),
            json!({"type": "message", "client_id": ID, "conversation_id": "c1", "content": "hi", "attachments": []}),
            json!({"type": "claim", "client_id": ID, "conversation_id": "c1"}),
            json!({"type": "release", "client_id": ID, "conversation_id": "c1"}),
            json!({"type": "hand_back", "client_id": ID, "conversation_id": "c1"}),
            json!({"type": "resolve", "client_id": ID, "conversation_id": "c1"}),
            json!({"type": "reopen", "client_id": ID, "conversation_id": "c1"}),
        ] {
            let mut sent = frame.clone();
            sent["operator_id"] = json!("forged");
            let written = read(sent).expect("well formed").to_json();
            assert_eq!(serde_json::from_str::<Value>(&written).expect("JSON"), frame);
        }
    }

    #[test]
    fn every_refused_field_is_named() {
        for (frame, fields) in [
            (json!({}), vec!["type"]),
            (json!({"type": "assign"}), vec!["type"]),
            (json!({"type": "typing"}), vec!["conversation_id"]),
            (json!({"type": "watch", "conversation_id": 1}), vec!["conversation_id"]),
            (json!({"type": "claim", "client_id": "x", "conversation_id": "c"}), vec!["client_id"]),
            (json!({"type": "claim"}), vec!["client_id", "conversation_id"]),
            (json!({"type": "message", "client_id": ID, "conversation_id": "c"}), vec!["content"]),
        ] {
            assert_eq!(read(frame.clone()), Err(fields.into_iter().map(str::to_owned).collect()), "{frame}");
        }
    }
}
