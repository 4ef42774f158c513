//! Conversations, messages and tickets as they are written: each function is one part of its caller's transaction.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use serde_json::{Map, Value, json};
use service::ApiError;
use uuid::Uuid;
use wire::{ErrorCode, TenantId, attachments::Attachment, time::now_unix_ms};

use super::{
    dto::{CONVERSATION, Conversation, ConversationRow, MESSAGE, Message, MessageRow, ticket_number},
    handling::Handling,
    store::{StoreError, execute, one, unavailable},
};

/// What begins a conversation.
pub(super) struct NewConversation {
    pub(super) visitor_user_id: String,
    pub(super) visitor_display_name: Option<String>,
    pub(super) visitor_email: Option<String>,
    pub(super) visitor_phone: Option<String>,
    pub(super) locale: String,
    pub(super) channel: &'static str,
    /// Who answers first.
    pub(super) handling: Handling,
    pub(super) metadata: Map<String, Value>,
}

pub(super) async fn insert_conversation(
    connection: &impl ConnectionTrait,
    tenant_id: TenantId,
    new: NewConversation,
) -> Result<String, StoreError> {
    let (id, now) = (Uuid::now_v7().to_string(), now_unix_ms());
    execute(
        connection,
        "INSERT INTO conversation (id, tenant_id, visitor_user_id, visitor_display_name, visitor_email, visitor_phone,
             locale, channel, status, handling, waiting_reason, metadata, created_at, updated_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'active', ?, ?, ?, ?, ?)",
        [
            id.clone().into(),
            tenant_id.to_string().into(),
            new.visitor_user_id.into(),
            new.visitor_display_name.into(),
            new.visitor_email.into(),
            new.visitor_phone.into(),
            new.locale.into(),
            new.channel.into(),
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

pub(super) async fn find_conversation(
    connection: &impl ConnectionTrait,
    tenant_id: TenantId,
    id: &str,
) -> Result<Conversation, ApiError> {
    let sql = format!("SELECT {CONVERSATION} FROM conversation WHERE tenant_id = ? AND id = ?");
    one::<ConversationRow>(connection, &sql, [tenant_id.to_string().into(), id.into()])
        .await
        .map_err(unavailable)?
        .ok_or_else(|| ApiError::new(ErrorCode::ConversationNotFound, "This tenant has no such conversation."))?
        .try_into()
}

/// A message to be kept.
pub(super) struct NewMessage<'a> {
    pub(super) role: &'a str,
    pub(super) content: &'a str,
    pub(super) attachments: Vec<Attachment>,
    pub(super) citations: Value,
    pub(super) confidence: Option<f64>,
    pub(super) client_id: Option<&'a str>,
}

impl<'a> NewMessage<'a> {
    pub(super) fn plain(role: &'a str, content: &'a str) -> Self {
        Self { role, content, attachments: Vec::new(), citations: json!([]), confidence: None, client_id: None }
    }
}

pub(super) async fn insert_message(
    connection: &impl ConnectionTrait,
    tenant_id: TenantId,
    conversation_id: &str,
    new: NewMessage<'_>,
) -> Result<String, StoreError> {
    let (id, now) = (Uuid::now_v7().to_string(), now_unix_ms());
    execute(
        connection,
        "INSERT INTO message (id, conversation_id, tenant_id, role, content, attachments, citations, confidence, created_at,
             client_id)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            id.clone().into(),
            conversation_id.into(),
            tenant_id.to_string().into(),
            new.role.into(),
            new.content.into(),
            json!(new.attachments).to_string().into(),
            new.citations.to_string().into(),
            new.confidence.into(),
            now.into(),
            new.client_id.into(),
        ],
    )
    .await?;
    execute(
        connection,
        "UPDATE conversation SET last_message_at = ?, updated_at = ? WHERE id = ? AND tenant_id = ?",
        [now.into(), now.into(), conversation_id.into(), tenant_id.to_string().into()],
    )
    .await?;
    Ok(id)
}

/// What was said under a caller's own id.
pub(super) async fn find_said(
    connection: &impl ConnectionTrait,
    conversation_id: &str,
    client_id: &str,
) -> Result<Option<Message>, StoreError> {
    let sql = format!("SELECT {MESSAGE} FROM message WHERE conversation_id = ? AND client_id = ?");
    Ok(one::<MessageRow>(connection, &sql, [conversation_id.into(), client_id.into()]).await?.map(Message::from))
}

/// Says who answers from now on.
pub(super) async fn set_handling(
    connection: &impl ConnectionTrait,
    tenant_id: TenantId,
    conversation_id: &str,
    handling: Handling,
) -> Result<(), StoreError> {
    execute(
        connection,
        "UPDATE conversation SET handling = ?, waiting_reason = ?, updated_at = ? WHERE id = ? AND tenant_id = ?",
        [
            handling.as_str().into(),
            handling.waiting_reason().into(),
            now_unix_ms().into(),
            conversation_id.into(),
            tenant_id.to_string().into(),
        ],
    )
    .await
    .map(drop)
}

/// A ticket to be opened.
pub(super) struct NewTicket<'a> {
    pub(super) user_id: &'a str,
    pub(super) subject: &'a str,
    pub(super) description: &'a str,
    pub(super) priority: &'a str,
    pub(super) tags: Vec<String>,
    pub(super) conversation_id: &'a str,
    pub(super) escalation_id: Option<String>,
}

/// Sets a conversation's waiting tickets to `assigned`.
pub(super) async fn assign_tickets(
    connection: &impl ConnectionTrait,
    tenant_id: TenantId,
    conversation_id: &str,
) -> Result<(), StoreError> {
    execute(
        connection,
        "UPDATE ticket SET status = 'assigned', updated_at = ?
         WHERE tenant_id = ? AND conversation_id = ? AND status IN ('open', 'triaged', 'reopened')",
        [now_unix_ms().into(), tenant_id.to_string().into(), conversation_id.into()],
    )
    .await
    .map(drop)
}

/// The number of a conversation's newest ticket, as people say it.
pub(super) async fn find_ticket_number(
    connection: &impl ConnectionTrait,
    tenant_id: TenantId,
    conversation_id: &str,
) -> Result<Option<String>, StoreError> {
    #[derive(FromQueryResult)]
    struct Found {
        number: i64,
    }
    let sql = "SELECT number FROM ticket WHERE tenant_id = ? AND conversation_id = ? ORDER BY id DESC LIMIT 1";
    let found: Option<Found> = one(connection, sql, [tenant_id.to_string().into(), conversation_id.into()]).await?;
    Ok(found.map(|found| ticket_number(found.number)))
}

#[derive(FromQueryResult)]
struct Counter {
    last: i64,
}

/// Answers the ticket's id and its number as people say it.
pub(super) async fn insert_ticket(
    connection: &impl ConnectionTrait,
    tenant_id: TenantId,
    new: NewTicket<'_>,
) -> Result<(String, String), StoreError> {
    let (id, now) = (Uuid::now_v7().to_string(), now_unix_ms());
    let counter: Option<Counter> = one(
        connection,
        "INSERT INTO ticket_counter (tenant_id, last) VALUES (?, 1)
         ON CONFLICT (tenant_id) DO UPDATE SET last = last + 1 RETURNING last",
        [tenant_id.to_string().into()],
    )
    .await?;
    let counter = counter.ok_or_else(|| DbErr::RecordNotFound("ticket_counter".to_owned()))?;
    let number = counter.last;
    execute(
        connection,
        "INSERT INTO ticket (id, tenant_id, number, user_id, subject, description, priority, status, tags,
             conversation_id, escalation_id, created_at, updated_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, 'open', ?, ?, ?, ?, ?)",
        [
            id.clone().into(),
            tenant_id.to_string().into(),
            number.into(),
            new.user_id.into(),
            new.subject.into(),
            new.description.into(),
            new.priority.into(),
            json!(new.tags).to_string().into(),
            new.conversation_id.into(),
            new.escalation_id.into(),
            now.into(),
            now.into(),
        ],
    )
    .await?;
    Ok((id, ticket_number(number)))
}
