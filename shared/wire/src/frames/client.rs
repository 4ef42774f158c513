//! What a client says on a visitor's socket. PROTOCOL.md, section 5.5.

use serde::{Deserialize, Serialize};

use super::texts::Feedback;
use crate::attachments::Attachment;

/// A frame from the client. The gateway reads it from what a browser sends, and writes it anew for the chat backend, so that
/// no other field reaches the chat backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientFrame {
    /// The visitor says something.
    Message {
        /// The client's own id of the message: a UUID, spelt as the client spelt it. The same id again is the same message.
        client_id: String,
        /// What the visitor says.
        content: String,
        /// Files that go with it.
        attachments: Vec<Attachment>,
        /// The conversation in which it was written. Left out, or not the visitor's, it is said in the one that the visitor is in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        conversation_id: Option<String>,
    },
    /// The visitor is writing.
    Typing,
    /// The visitor has read this message, and all before it.
    Read {
        /// The message's id.
        message_id: String,
    },
    /// The client asks for what it has missed.
    Resume {
        /// The id of the last message that the client has.
        after: String,
    },
    /// The client asks for what was said before the oldest message that it has.
    History {
        /// The id of that message.
        before: String,
        /// Messages at most: 1 to 50.
        limit: u8,
    },
    /// The visitor rates a conversation that is resolved. The last rating counts.
    Rate {
        /// The client's own id of the frame: a UUID, which an `error` repeats.
        client_id: String,
        /// From 1, the worst, to 5.
        score: u8,
        /// What the visitor says of it.
        comment: Option<String>,
    },
    /// The visitor says where an answer may be mailed to while they are away. The last address counts.
    LeaveEmail {
        /// The client's own id of the frame: a UUID, which an `error` repeats.
        client_id: String,
        /// One address.
        email: String,
    },
    /// The visitor says whether an answer helped. The last word counts.
    Feedback {
        /// The client's own id of the frame: a UUID, which an `error` repeats.
        client_id: String,
        /// The answer's id.
        message_id: String,
        /// `helpful` or `unhelpful`.
        feedback: Feedback,
    },
    /// The client asks for a list of the visitor's conversations.
    Conversations,
    /// The visitor turns to another conversation, with all of the session's sockets.
    OpenConversation {
        /// The client's own id of the frame: a UUID, which the `welcome` or the `error` that answers it repeats.
        client_id: String,
        /// One of `conversations`; null for a new one.
        conversation_id: Option<String>,
    },
}

impl ClientFrame {
    /// The client's own id of the frame, if frames of this type have one.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        match self {
            Self::Message { client_id, .. }
            | Self::Rate { client_id, .. }
            | Self::LeaveEmail { client_id, .. }
            | Self::Feedback { client_id, .. }
            | Self::OpenConversation { client_id, .. } => Some(client_id),
            Self::Typing | Self::Read { .. } | Self::Resume { .. } | Self::History { .. } | Self::Conversations => None,
        }
    }

    /// The values of `type`.
    pub const TYPES: &[&'static str] = &[
        "message",
        "typing",
        "read",
        "resume",
        "history",
        "rate",
        "leave_email",
        "feedback",
        "conversations",
        "open_conversation",
    ];
}
