//! What a client hears on a visitor's socket. PROTOCOL.md, section 5.6.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    json,
    message::Message,
    rating::Rating,
    texts::{ConversationStatus, Feedback, Role},
};
use crate::{error_code::ErrorCode, session_id::SessionId, time::WireTime};

/// A frame to the client. A client ignores a `type` that it does not know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// Where the conversation stands. It is the first frame, and comes again when the visitor turns to another conversation.
    Welcome {
        /// The `client_id` of the `open_conversation` that this answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        client_id: Option<String>,
        /// The visitor's session.
        #[cfg_attr(test, ts(type = "string"))]
        session_id: SessionId,
        /// Null if the first message begins the conversation.
        conversation_id: Option<String>,
        /// Who answers.
        status: ConversationStatus,
        /// The person who answers.
        operator: Option<Operator>,
        /// The newest messages, oldest first.
        history: Vec<Message>,
        /// Whether nothing was said before them. Chat backends that do not answer `history` leave it out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        complete: Option<bool>,
        /// The id of the last message that the visitor has read.
        read_up_to: Option<String>,
        /// Whether the visitor may rate the conversation once it is resolved. Chat backends that know no ratings leave it out.
        #[serde(default)]
        may_rate: bool,
        /// What the visitor said of the conversation since it was resolved.
        #[serde(default)]
        rating: Option<Rating>,
        /// Whether the visitor may leave an address for answers. Chat backends that send no mail leave it out.
        #[serde(default)]
        may_leave_email: bool,
        /// The address that the visitor has left.
        #[serde(default)]
        email: Option<String>,
        /// While a person is awaited: the seconds that visitors have waited lately. It is left out where nobody knows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional, type = "number"))]
        expected_wait_s: Option<u64>,
        /// Whether `conversations` and `open_conversation` are answered.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        #[cfg_attr(test, ts(optional, as = "Option<bool>"))]
        may_open: bool,
    },
    /// The client's own message is kept.
    Ack {
        /// What the client called it.
        client_id: String,
        /// The message's id.
        message_id: String,
        /// The conversation that it is kept in. Chat backends of a visitor's only conversation leave it out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        conversation_id: Option<String>,
        /// RFC 3339, in UTC, to the millisecond.
        #[cfg_attr(test, ts(type = "string"))]
        created_at: WireTime,
    },
    /// Somebody else's message, in the order of ids.
    Message {
        /// The message.
        message: Message,
    },
    /// What was said before the message that the client has named.
    History {
        /// The newest of it, oldest first.
        messages: Vec<Message>,
        /// Whether nothing was said before these.
        complete: bool,
    },
    /// Somebody writes.
    Typing {
        /// Who writes.
        role: Role,
    },
    /// Who answers now.
    Status {
        /// Who answers.
        status: ConversationStatus,
        /// The person who answers.
        operator: Option<Operator>,
        /// As in `welcome`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional, type = "number"))]
        expected_wait_s: Option<u64>,
    },
    /// What the visitor says of an answer, as it is kept.
    Feedback {
        /// The answer's id.
        message_id: String,
        /// `helpful` or `unhelpful`.
        feedback: Feedback,
    },
    /// The visitor's conversations in which something was said.
    Conversations {
        /// The newest, the one with the newest message first.
        conversations: Vec<ConversationSummary>,
    },
    /// The visitor's rating, as it is kept; `null` once the conversation goes on.
    Rating {
        /// The rating.
        rating: Option<Rating>,
    },
    /// The address for answers, as it is kept.
    Email {
        /// The address.
        email: String,
    },
    /// From the gateway: the widget's look has changed.
    Config {
        /// What the widget draws itself from. PROTOCOL.md, section 5.2.
        #[cfg_attr(test, ts(type = "Record<string, unknown>"))]
        widget_config: Map<String, Value>,
    },
    /// A frame was refused; nothing of it was kept.
    Error {
        /// One of the table in `deploy/docs/errors.md`.
        #[cfg_attr(test, ts(type = "string"))]
        error_code: ErrorCode,
        /// What is wrong and what to do, for developers.
        message: String,
        /// Which message was refused, if the refused frame named it.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        client_id: Option<String>,
        /// When the client may send the frame again.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional, type = "number"))]
        retry_after_seconds: Option<u64>,
    },
}

/// A conversation in the visitor's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ConversationSummary {
    /// The conversation.
    pub conversation_id: String,
    /// Who answers.
    pub status: ConversationStatus,
    /// The beginning of its newest message; empty where that has no words.
    pub preview: String,
    /// When the newest message was said: RFC 3339, in UTC, to the millisecond.
    #[cfg_attr(test, ts(type = "string"))]
    pub last_message_at: WireTime,
    /// Whether something was said since the visitor last read or wrote.
    pub unread: bool,
}

/// A person who answers, as the visitor sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Operator {
    /// The person's name for visitors.
    pub display_name: Option<String>,
    /// The person's picture.
    pub avatar_url: Option<String>,
}

impl ServerFrame {
    /// The frame's JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::text(self)
    }
}
