//! A message, as callers and visitors' sockets see it.

use serde::Serialize;
use utoipa::ToSchema;
use wire::{
    attachments::Attachment,
    frames::{self, Citation, Role},
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
    #[schema(value_type = String, format = DateTime)]
    created_at: WireTime,
}

impl From<MessageRow> for Message {
    fn from(row: MessageRow) -> Self {
        Self {
            role: row.role(),
            attachments: row.attachments(),
            citations: row.citations(),
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
            id: row.id,
            content: row.content,
            client_id: row.client_id,
            created_at: WireTime::from_unix_ms(row.created_at),
        }
    }
}
