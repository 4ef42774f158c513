//! The frames that an operator's socket hears. PROTOCOL.md, section 8.5.

use serde::{Deserialize, Serialize};
use wire::frames::{Role, ServerFrame};

use crate::{
    records::queues::Queued,
    takeover::Holder,
    views::inbox::{Entry, HolderView, InboxConversation, Preview, QueueCounts},
};

/// An operator who looks at a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Onlooking {
    pub(crate) operator_id: String,
    pub(crate) display_name: String,
}

impl From<&Holder> for Onlooking {
    fn from(holder: &Holder) -> Self {
        Self { operator_id: holder.operator_id.clone(), display_name: holder.display_name.clone() }
    }
}

/// A frame to an operator's page. A page ignores a `type` that it does not know.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum InboxFrame<'a> {
    /// The first frame.
    Welcome { operator: HolderView, routing_keys: &'a [String], counts: QueueCounts },
    /// A conversation that the operator may see was changed. How much of it is unread, the page knows.
    Conversation {
        #[serde(flatten)]
        conversation: Changed,
    },
    /// How many conversations there are.
    Counts { counts: QueueCounts },
    /// What is written from now on in the conversation that the operator looks at comes as `message`; everything up to this id does not.
    Watching { conversation_id: &'a str, last_entry_id: &'a str },
    /// A message or a note in the conversation that the operator looks at, in the order of ids.
    Message { conversation_id: &'a str, message: Entry },
    /// Somebody writes.
    Typing {
        conversation_id: &'a str,
        role: Role,
        /// Who writes, where it is an operator.
        operator: Option<Onlooking>,
    },
    /// Who looks at a conversation.
    Presence { conversation_id: &'a str, operators: Vec<Onlooking> },
    /// The operator's own frame was carried out.
    Ack {
        client_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        message_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        conversation: Option<InboxConversation>,
    },
    /// Some frames were lost: the page must load everything again.
    Resync,
}

/// A changed conversation.
#[derive(Serialize)]
pub(crate) struct Changed {
    conversation: InboxConversation,
    last_message: Option<Preview>,
}

impl InboxFrame<'_> {
    /// The frame's JSON.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are JSON")
    }
}

/// The frame that tells of a changed conversation.
pub(crate) fn conversation(queued: Queued) -> String {
    let last_message = Preview::of(&queued);
    let conversation = Changed { conversation: queued.conversation.into(), last_message };
    InboxFrame::Conversation { conversation }.to_json()
}

/// The frame that refuses another.
pub(crate) fn error(error: &service::ApiError, client_id: Option<String>) -> String {
    let frame: ServerFrame = error.frame(client_id);
    frame.to_json()
}
