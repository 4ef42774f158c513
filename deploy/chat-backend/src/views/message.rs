//! A message, as callers and visitors' sockets see it.

use serde::Serialize;
use utoipa::ToSchema;
use wire::{
    attachments::Attachment,
    frames::{self, Citation, Feedback, Role},
    time::WireTime,
};

use crate::records::messages::MessageRow;

/// A message of a conversation.
#[derive(Serialize, ToSchema)]
pub(crate) struct Message {
    id: String,
    conversation_id: String,
    tenant_id: String,
    /// `visitor`, `agent`, `bot` or `system`.
    #[schema(value_type = String)]
    role: Role,
    content: String,
    attachments: Vec<Attachment>,
    /// What a bot's answer was taken from.
    citations: Vec<Citation>,
    /// 0 to 1: how much of the question the bot's answer covers.
    confidence: Option<f64>,
    /// What a visitor's browser calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// Of a bot's answer: `asked`, or what the visitor says of it, `helpful` or `unhelpful`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    feedback: Option<Feedback>,
    /// What the visitor may answer by a click.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    quick_replies: Vec<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: WireTime,
}

impl From<MessageRow> for Message {
    fn from(row: MessageRow) -> Self {
        Self {
            role: row.role(),
            attachments: row.attachments(),
            citations: row.citations(),
            feedback: row.feedback(),
            quick_replies: row.quick_replies(),
            id: row.id,
            conversation_id: row.conversation_id,
            tenant_id: row.tenant_id,
            content: row.content,
            confidence: row.confidence,
            client_id: row.client_id,
            created_at: WireTime::from_unix_ms(row.created_at),
        }
    }
}

impl From<MessageRow> for frames::Message {
    fn from(row: MessageRow) -> Self {
        Self {
            role: row.role(),
            citations: row.citations(),
            attachments: row.attachments(),
            feedback: row.feedback(),
            quick_replies: row.quick_replies(),
            id: row.id,
            content: row.content,
            client_id: row.client_id,
            created_at: WireTime::from_unix_ms(row.created_at),
        }
    }
}
