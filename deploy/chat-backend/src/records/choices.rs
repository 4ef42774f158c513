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

/// The id of the conversation that the visitor is in: the newest of those that are not closed and that the visitor has not turned away from. If
/// the tenant's backend begins one for the visitor, the visitor is in that one: it is the newest.
pub(crate) async fn current(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    visitor_user_id: &str,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT id FROM conversation WHERE tenant_id = $1 AND visitor_user_id = $2 AND status = 'active' AND left_for IS NULL
               ORDER BY id DESC LIMIT 1";
    let found: Option<Id> = rows.one(sql, [visitor_user_id.into()]).await?;
    Ok(found.map(|found| found.id))
}

/// Puts the visitor into one conversation, and out of all others: answers the ids of those that the visitor was in. It locks the rows in the
/// order of their ids. Every transaction that locks several conversations does so, or two could wait for each other.
pub(crate) async fn turn_to(
    rows: &OfTenant<'_, Transaction>,
    visitor_user_id: &str,
    id: &str,
) -> Result<Vec<String>, StoreError> {
    let locked = rows.dialect().for_update();
    let sql = format!(
        "SELECT id FROM conversation WHERE tenant_id = $1 AND visitor_user_id = $2 AND (left_for IS NULL OR id = $3) ORDER BY id{locked}"
    );
    let found: Vec<Id> = rows.all(&sql, [visitor_user_id.into(), id.into()]).await?;
    let sql = "UPDATE conversation SET left_for = CASE WHEN id = $3 THEN NULL ELSE $3 END
               WHERE tenant_id = $1 AND visitor_user_id = $2 AND (left_for IS NULL OR id = $3)";
    rows.execute(sql, [visitor_user_id.into(), id.into()]).await?;
    Ok(found.into_iter().map(|found| found.id).filter(|found| found != id).collect())
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
    // Messages of visitors and of the system are nothing to read. The conversations are chosen before their messages are looked at.
    let sql = "SELECT chosen.id, chosen.handling, chosen.last_message_at,
                   coalesce((SELECT newest.content FROM message newest WHERE newest.tenant_id = $1 AND newest.conversation_id = chosen.id
                       ORDER BY newest.id DESC LIMIT 1), '') AS content,
                   CASE WHEN EXISTS (
                       SELECT 1 FROM message said WHERE said.tenant_id = $1 AND said.conversation_id = chosen.id
                           AND said.role IN ('agent', 'bot') AND said.id > chosen.read_up_to AND said.id > chosen.own
                   ) THEN 1 ELSE 0 END AS unread
               FROM (
                   SELECT id, handling, last_message_at, coalesce(read_up_to, '') AS read_up_to,
                       coalesce((SELECT own.id FROM message own WHERE own.tenant_id = $1 AND own.conversation_id = conversation.id
                           AND own.role = 'visitor' ORDER BY own.id DESC LIMIT 1), '') AS own
                   FROM conversation
                   WHERE tenant_id = $1 AND visitor_user_id = $2 AND status = 'active' AND last_message_at IS NOT NULL
                   ORDER BY last_message_at DESC, id DESC LIMIT $3
               ) AS chosen
               ORDER BY chosen.last_message_at DESC, chosen.id DESC";
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
