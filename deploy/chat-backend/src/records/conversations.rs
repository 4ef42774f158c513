//! Conversations: who talks, who answers, and how far the visitor has read.

use sea_orm::{ConnectionTrait, FromQueryResult};
use serde_json::{Map, Value};
use service::ApiError;
use uuid::Uuid;
use wire::{ErrorCode, origin::Origin, time::now_unix_ms};

use super::json;
use crate::{
    channel::Channel,
    handling::Handling,
    store::{OfTenant, StoreError, unavailable},
};

/// A conversation between a visitor and the bot or a person of the tenant.
pub(crate) struct Conversation {
    pub(crate) row: ConversationRow,
    /// Who answers.
    pub(crate) handling: Handling,
}

/// A conversation's row. Times are Unix milliseconds.
#[derive(FromQueryResult)]
pub(crate) struct ConversationRow {
    pub(crate) id: String,
    pub(crate) tenant_id: String,
    pub(crate) visitor_user_id: String,
    pub(crate) visitor_display_name: Option<String>,
    pub(crate) visitor_email: Option<String>,
    pub(crate) visitor_phone: Option<String>,
    pub(crate) locale: String,
    pub(crate) channel: String,
    pub(crate) status: String,
    handling: String,
    waiting_reason: Option<String>,
    metadata: String,
    pub(crate) read_up_to: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) last_message_at: Option<i64>,
    pub(crate) closed_at: Option<i64>,
}

const COLUMNS: &str =
    "id, tenant_id, visitor_user_id, visitor_display_name, visitor_email, visitor_phone, locale, channel, status,
     handling, waiting_reason, metadata, read_up_to, created_at, updated_at, last_message_at, closed_at";

impl ConversationRow {
    /// What the tenant, or the visitor's page, says of the visitor.
    pub(crate) fn metadata(&self) -> Value {
        json::read(&self.metadata)
    }
}

impl Conversation {
    fn of_row(row: ConversationRow) -> Result<Self, ApiError> {
        let handling = Handling::of_row(&row.handling, row.waiting_reason.as_deref())?;
        Ok(Self { row, handling })
    }

    /// Whether the visitor's page is one of this machine's, as far as the conversation says where the page is.
    pub(crate) fn is_of_local_page(&self) -> bool {
        let metadata = self.row.metadata();
        let origin = metadata.get("origin").and_then(Value::as_str).map(str::parse::<Origin>);
        origin.is_some_and(|origin| origin.is_ok_and(|origin| origin.is_local()))
    }
}

/// What begins a conversation.
pub(crate) struct NewConversation {
    pub(crate) visitor_user_id: String,
    pub(crate) visitor_display_name: Option<String>,
    pub(crate) visitor_email: Option<String>,
    pub(crate) visitor_phone: Option<String>,
    pub(crate) locale: String,
    pub(crate) channel: Channel,
    /// Who answers first.
    pub(crate) handling: Handling,
    pub(crate) metadata: Map<String, Value>,
}

/// Begins a conversation; answers its id.
pub(crate) async fn insert(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    new: NewConversation,
) -> Result<String, StoreError> {
    let (id, now) = (Uuid::now_v7().to_string(), now_unix_ms());
    rows.execute(
        "INSERT INTO conversation (tenant_id, id, visitor_user_id, visitor_display_name, visitor_email, visitor_phone,
             locale, channel, status, handling, waiting_reason, metadata, created_at, updated_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'active', ?, ?, ?, ?, ?)",
        [
            id.clone().into(),
            new.visitor_user_id.into(),
            new.visitor_display_name.into(),
            new.visitor_email.into(),
            new.visitor_phone.into(),
            new.locale.into(),
            new.channel.as_str().into(),
            new.handling.as_str().into(),
            new.handling.waiting_reason().into(),
            Value::Object(new.metadata).to_string().into(),
            now.into(),
            now.into(),
        ],
    )
    .await?;
    Ok(id)
}

/// One conversation.
///
/// # Errors
/// `conversation_not_found`, `store_unavailable`.
pub(crate) async fn find(rows: &OfTenant<'_, impl ConnectionTrait>, id: &str) -> Result<Conversation, ApiError> {
    let sql = format!("SELECT {COLUMNS} FROM conversation WHERE tenant_id = ? AND id = ?");
    let row: Option<ConversationRow> = rows.one(&sql, [id.into()]).await.map_err(unavailable)?;
    row.ok_or_else(|| ApiError::new(ErrorCode::ConversationNotFound, "This tenant has no such conversation."))
        .and_then(Conversation::of_row)
}

/// A page of conversations, newest first; of one visitor, or of all.
pub(crate) async fn page(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    visitor_user_id: Option<String>,
    (limit, offset): (u64, u64),
) -> Result<Vec<Conversation>, ApiError> {
    let found: Vec<ConversationRow> = match visitor_user_id {
        Some(visitor) => {
            let sql = format!(
                "SELECT {COLUMNS} FROM conversation WHERE tenant_id = ? AND visitor_user_id = ?
                 ORDER BY id DESC LIMIT ? OFFSET ?"
            );
            rows.all(&sql, [visitor.into(), limit.into(), offset.into()]).await
        }
        None => {
            let sql =
                format!("SELECT {COLUMNS} FROM conversation WHERE tenant_id = ? ORDER BY id DESC LIMIT ? OFFSET ?");
            rows.all(&sql, [limit.into(), offset.into()]).await
        }
    }
    .map_err(unavailable)?;
    found.into_iter().map(Conversation::of_row).collect()
}

/// The id of the visitor's newest conversation that is not closed.
pub(crate) async fn find_newest_active(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    visitor_user_id: &str,
) -> Result<Option<String>, StoreError> {
    #[derive(FromQueryResult)]
    struct Found {
        id: String,
    }
    let sql = "SELECT id FROM conversation WHERE tenant_id = ? AND visitor_user_id = ? AND status = 'active'
               ORDER BY id DESC LIMIT 1";
    let found: Option<Found> = rows.one(sql, [visitor_user_id.into()]).await?;
    Ok(found.map(|found| found.id))
}

/// Says who answers from now on.
pub(crate) async fn set_handling(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    id: &str,
    handling: Handling,
) -> Result<(), StoreError> {
    rows.execute(
        "UPDATE conversation SET handling = ?3, waiting_reason = ?4, updated_at = ?5 WHERE tenant_id = ?1 AND id = ?2",
        [id.into(), handling.as_str().into(), handling.waiting_reason().into(), now_unix_ms().into()],
    )
    .await
}

/// Notes that the visitor has read this message, and all before it. A message that is older than the noted one changes nothing.
pub(crate) async fn set_read_up_to(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    id: &str,
    message_id: &str,
) -> Result<(), StoreError> {
    let sql =
        "UPDATE conversation SET read_up_to = ?3 WHERE tenant_id = ?1 AND id = ?2 AND coalesce(read_up_to, '') < ?3";
    rows.execute(sql, [id.into(), message_id.into()]).await
}
