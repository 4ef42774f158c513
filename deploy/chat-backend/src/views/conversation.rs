//! A conversation, as callers see it.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use wire::{frames::Rating, time::WireTime};

use crate::{handling::Handling, records::conversations};

/// A conversation between a visitor and the bot or a person of the tenant.
#[derive(Serialize, ToSchema)]
pub(crate) struct Conversation {
    id: String,
    tenant_id: String,
    visitor_user_id: String,
    visitor_display_name: Option<String>,
    visitor_email: Option<String>,
    visitor_phone: Option<String>,
    /// The address that the visitor left for answers. Nobody has checked it.
    answers_email: Option<String>,
    locale: String,
    /// `text`, `voice` or `video`.
    channel: String,
    /// `active` or `closed`.
    status: String,
    /// Who answers: `bot`, `waiting`, `assigned` or `resolved`.
    #[schema(value_type = String)]
    handling: Handling,
    #[schema(value_type = Object)]
    metadata: Value,
    /// What the visitor said of it when it was last rated.
    rating: Option<Rating>,
    #[schema(value_type = String, format = DateTime)]
    created_at: WireTime,
    #[schema(value_type = String, format = DateTime)]
    updated_at: WireTime,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_message_at: Option<WireTime>,
    #[schema(value_type = Option<String>, format = DateTime)]
    closed_at: Option<WireTime>,
}

impl From<conversations::Conversation> for Conversation {
    fn from(conversations::Conversation { row, handling, .. }: conversations::Conversation) -> Self {
        Self {
            metadata: row.metadata(),
            rating: row.rating(),
            id: row.id,
            tenant_id: row.tenant_id,
            visitor_user_id: row.visitor_user_id,
            visitor_display_name: row.visitor_display_name,
            visitor_email: row.visitor_email,
            visitor_phone: row.visitor_phone,
            answers_email: row.answers_email,
            locale: row.locale,
            channel: row.channel,
            status: row.status,
            handling,
            created_at: WireTime::from_unix_ms(row.created_at),
            updated_at: WireTime::from_unix_ms(row.updated_at),
            last_message_at: row.last_message_at.map(WireTime::from_unix_ms),
            closed_at: row.closed_at.map(WireTime::from_unix_ms),
        }
    }
}
