//! Which of its conversations a visitor is in, and the list from which the visitor chooses.

use sea_orm::{ConnectionTrait, FromQueryResult};
use wire::{
    frames::{
        ConversationStatus, ConversationSummary,
        limits::{LISTED_CONVERSATIONS, PREVIEW_CHARS},
    },
    time::WireTime,
};

use crate::store::{OfTenant, StoreError, Transaction};

#[derive(FromQueryResult)]
struct Id {
    id: String,
}

/// The id of the conversation that the visitor is in: the newest of those that are not closed and that the visitor has not turned away from.
pub(crate) async fn current(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    visitor_user_id: &str,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT id FROM conversation WHERE tenant_id = $1 AND visitor_user_id = $2 AND status = 'active' AND left_for IS NULL
               ORDER BY id DESC LIMIT 1";
    let found: Option<Id> = rows.one(sql, [visitor_user_id.into()]).await?;
    Ok(found.map(|found| found.id))
}

/// Puts the visitor into one conversation, and out of all others: answers the ids of those that the visitor was in.
pub(crate) async fn turn_to(
    rows: &OfTenant<'_, Transaction>,
    visitor_user_id: &str,
    id: &str,
) -> Result<Vec<String>, StoreError> {
    let sql = "UPDATE conversation SET left_for = NULL WHERE tenant_id = $1 AND visitor_user_id = $2 AND id = $3";
    rows.execute(sql, [visitor_user_id.into(), id.into()]).await?;
    let sql = "UPDATE conversation SET left_for = $3 WHERE tenant_id = $1 AND visitor_user_id = $2 AND id <> $3 AND left_for IS NULL
               RETURNING id";
    let left: Vec<Id> = rows.all(sql, [visitor_user_id.into(), id.into()]).await?;
    Ok(left.into_iter().map(|left| left.id).collect())
}

/// Whether the visitor has said something in a conversation.
pub(crate) async fn has_spoken(rows: &OfTenant<'_, impl ConnectionTrait>, id: &str) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM message WHERE tenant_id = $1 AND conversation_id = $2 AND role = 'visitor' LIMIT 1";
    let found: Option<Id> = rows.one(sql, [id.into()]).await?;
    Ok(found.is_some())
}

/// The visitor's conversations in which something was said and that are not closed, the one with the newest message first.
pub(crate) async fn list(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    visitor_user_id: &str,
) -> Result<Vec<ConversationSummary>, StoreError> {
    #[derive(FromQueryResult)]
    struct Row {
        id: String,
        handling: String,
        last_message_at: i64,
        content: String,
        unread: i32,
    }
    // Messages of visitors and of the system are nothing to read.
    let sql = "SELECT conversation.id, conversation.handling, conversation.last_message_at, newest.content,
                   CASE WHEN EXISTS (
                       SELECT 1 FROM message WHERE message.tenant_id = $1 AND message.conversation_id = conversation.id
                           AND message.role IN ('agent', 'bot') AND message.id > coalesce(conversation.read_up_to, '')
                           AND message.id > coalesce((SELECT max(own.id) FROM message own WHERE own.tenant_id = $1
                               AND own.conversation_id = conversation.id AND own.role = 'visitor'), '')
                   ) THEN 1 ELSE 0 END AS unread
               FROM conversation JOIN message newest ON newest.tenant_id = $1 AND newest.id = (
                   SELECT max(last.id) FROM message last WHERE last.tenant_id = $1 AND last.conversation_id = conversation.id)
                   AND newest.conversation_id = conversation.id
               WHERE conversation.tenant_id = $1 AND conversation.visitor_user_id = $2 AND conversation.status = 'active'
                   AND conversation.last_message_at IS NOT NULL
               ORDER BY conversation.last_message_at DESC, conversation.id DESC LIMIT $3";
    let most = i64::try_from(LISTED_CONVERSATIONS).unwrap_or(i64::MAX);
    let found: Vec<Row> = rows.all(sql, [visitor_user_id.into(), most.into()]).await?;
    let summary = |row: Row| ConversationSummary {
        conversation_id: row.id,
        status: ConversationStatus::from_wire(&row.handling).unwrap_or(ConversationStatus::Waiting),
        preview: row.content.chars().take(PREVIEW_CHARS).collect(),
        last_message_at: WireTime::from_unix_ms(row.last_message_at),
        unread: row.unread != 0,
    };
    Ok(found.into_iter().map(summary).collect())
}
