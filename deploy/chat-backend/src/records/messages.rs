//! Messages: what was said in a conversation, in the order of ids, which is the order of time.

use sea_orm::{ConnectionTrait, FromQueryResult};
use serde_json::{Value, json};
use service::ApiError;
use wire::{
    ErrorCode,
    attachments::{self, Attachment},
    frames::{Citation, Feedback, Role},
    time::now_unix_ms,
};

use super::{conversations, json};
use crate::store::{OfTenant, StoreError};

/// A message's row. Times are Unix milliseconds.
#[derive(FromQueryResult)]
pub(crate) struct MessageRow {
    pub(crate) id: String,
    pub(crate) conversation_id: String,
    pub(crate) tenant_id: String,
    role: String,
    pub(crate) content: String,
    attachments: String,
    citations: String,
    pub(crate) confidence: Option<f64>,
    pub(crate) client_id: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) operator_id: Option<String>,
    feedback: Option<String>,
    quick_replies: Option<String>,
}

const COLUMNS: &str = "id, conversation_id, tenant_id, role, content, attachments, citations, confidence, client_id, created_at, operator_id,
     feedback, quick_replies";

impl MessageRow {
    /// Who wrote it. A later build may have written a role that this one does not know: one such row must not hide the others of its
    /// conversation, so it is shown as the system's.
    pub(crate) fn role(&self) -> Role {
        Role::from_wire(&self.role).unwrap_or_else(|| {
            tracing::warn!(role = self.role, message = self.id, "a message has a role that this build does not know");
            Role::System
        })
    }

    /// The attachments that every reader can read. Earlier builds kept others too.
    pub(crate) fn attachments(&self) -> Vec<Attachment> {
        attachments::readable(json::read(&self.attachments))
    }

    /// What a bot's answer was taken from. Earlier builds wrote citations without a title.
    pub(crate) fn citations(&self) -> Vec<Citation> {
        let Value::Array(stored) = json::read(&self.citations) else { return Vec::new() };
        stored.into_iter().filter_map(|citation| serde_json::from_value(citation).ok()).collect()
    }

    /// What the visitor says of it. The visitor is asked of each of the bot's answers: those that cite something.
    pub(crate) fn feedback(&self) -> Option<Feedback> {
        let said = self.feedback.as_deref().and_then(Feedback::from_wire);
        let is_answer = self.role == Role::Bot.as_str() && !self.citations().is_empty();
        said.or(is_answer.then_some(Feedback::Asked))
    }

    /// What the visitor may answer by a click.
    pub(crate) fn quick_replies(&self) -> Vec<String> {
        self.quick_replies.as_deref().and_then(|stored| serde_json::from_str(stored).ok()).unwrap_or_default()
    }
}

/// A message to be kept.
pub(crate) struct NewMessage<'a> {
    pub(crate) role: Role,
    pub(crate) content: &'a str,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) citations: Vec<Citation>,
    /// What the visitor may answer by a click.
    pub(crate) quick_replies: Vec<String>,
    pub(crate) confidence: Option<f64>,
    pub(crate) client_id: Option<&'a str>,
    /// The operator who writes it, if one does.
    pub(crate) operator_id: Option<&'a str>,
    /// The visitor's message that it answers, where the bot does.
    pub(crate) in_reply_to: Option<&'a str>,
}

impl<'a> NewMessage<'a> {
    /// Words, and nothing with them.
    pub(crate) fn plain(role: Role, content: &'a str) -> Self {
        Self {
            role,
            content,
            attachments: Vec::new(),
            citations: Vec::new(),
            quick_replies: Vec::new(),
            confidence: None,
            client_id: None,
            operator_id: None,
            in_reply_to: None,
        }
    }
}

/// A message that was just written.
pub(crate) struct Inserted {
    pub(crate) id: String,
    /// Unix milliseconds.
    pub(crate) created_at: i64,
}

/// Keeps a message, as one part of a transaction that writes: its id is greater than every earlier one of the conversation.
pub(crate) async fn insert(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    new: NewMessage<'_>,
) -> Result<Inserted, StoreError> {
    let id = conversations::next_entry_id(rows, conversation_id).await?;
    let now = now_unix_ms();
    rows.execute(
        "INSERT INTO message (tenant_id, id, conversation_id, role, content, attachments, citations, confidence, created_at,
             client_id, operator_id, in_reply_to, quick_replies)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        [
            id.clone().into(),
            conversation_id.into(),
            new.role.as_str().into(),
            new.content.into(),
            json!(new.attachments).to_string().into(),
            json!(new.citations).to_string().into(),
            new.confidence.into(),
            now.into(),
            new.client_id.into(),
            new.operator_id.into(),
            new.in_reply_to.into(),
            (!new.quick_replies.is_empty()).then(|| json!(new.quick_replies).to_string()).into(),
        ],
    )
    .await?;
    rows.execute(
        "UPDATE conversation SET last_message_at = $3, updated_at = $3 WHERE tenant_id = $1 AND id = $2",
        [conversation_id.into(), now.into()],
    )
    .await?;
    Ok(Inserted { id, created_at: now })
}

/// One message of a conversation.
pub(crate) async fn find(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    id: &str,
) -> Result<Option<MessageRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM message WHERE tenant_id = $1 AND conversation_id = $2 AND id = $3");
    rows.one(&sql, [conversation_id.into(), id.into()]).await
}

/// The message that a client sent under its own id.
pub(crate) async fn find_by_client_id(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    client_id: &str,
) -> Result<Option<MessageRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM message WHERE tenant_id = $1 AND conversation_id = $2 AND client_id = $3");
    rows.one(&sql, [conversation_id.into(), client_id.into()]).await
}

/// One message of the tenant, in whichever conversation it is.
pub(crate) async fn find_anywhere(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    id: &str,
) -> Result<Option<MessageRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM message WHERE tenant_id = $1 AND id = $2");
    rows.one(&sql, [id.into()]).await
}

/// A page of a conversation's messages after one of them, oldest first.
pub(crate) async fn page(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    after: &str,
    (limit, offset): (u64, u64),
) -> Result<Vec<MessageRow>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM message WHERE tenant_id = $1 AND conversation_id = $2 AND id > $3 ORDER BY id LIMIT $4 OFFSET $5"
    );
    rows.all(&sql, [conversation_id.into(), after.into(), limit.into(), offset.into()]).await
}

/// Whether the bot has answered this message.
pub(crate) async fn is_answered(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    id: &str,
) -> Result<bool, StoreError> {
    #[derive(FromQueryResult)]
    struct Answers {
        answers: i64,
    }
    let sql =
        "SELECT count(*) AS answers FROM message WHERE tenant_id = $1 AND conversation_id = $2 AND in_reply_to = $3";
    let found: Option<Answers> = rows.one(sql, [conversation_id.into(), id.into()]).await?;
    Ok(found.is_some_and(|found| found.answers > 0))
}

/// A conversation's newest messages before an id (the empty one stands after all) and, if a last one is given, up to it. Newest first.
pub(crate) async fn before(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    (before, up_to): (&str, Option<&str>),
    limit: u64,
) -> Result<Vec<MessageRow>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM message
         WHERE tenant_id = $1 AND conversation_id = $2 AND ($3 = '' OR id < $3) AND ($4 IS NULL OR id <= $4)
         ORDER BY id DESC LIMIT $5"
    );
    rows.all(&sql, [conversation_id.into(), before.into(), up_to.into(), limit.into()]).await
}

/// What people have answered after a message and, if a last one is given, up to it: the oldest of it, oldest first.
pub(crate) async fn answers(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    (after, up_to): (&str, Option<&str>),
    limit: u64,
) -> Result<Vec<MessageRow>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM message WHERE tenant_id = $1 AND conversation_id = $2 AND role = 'agent' AND id > $3
             AND ($4 IS NULL OR id <= $4) ORDER BY id LIMIT $5"
    );
    rows.all(&sql, [conversation_id.into(), after.into(), up_to.into(), limit.into()]).await
}

/// The id of the visitor's newest message; empty where there is none.
pub(crate) async fn newest_of_visitor(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
) -> Result<String, StoreError> {
    #[derive(FromQueryResult)]
    struct Newest {
        id: String,
    }
    let sql = "SELECT id FROM message WHERE tenant_id = $1 AND conversation_id = $2 AND role = 'visitor'
               ORDER BY id DESC LIMIT 1";
    let newest: Option<Newest> = rows.one(sql, [conversation_id.into()]).await?;
    Ok(newest.map(|newest| newest.id).unwrap_or_default())
}

/// There is no such message.
pub(crate) fn not_found() -> ApiError {
    ApiError::new(ErrorCode::MessageNotFound, "This conversation has no such message: see its history.")
}

/// The messages of a conversation after one of them and, if a last one is given, up to it: the oldest of them, oldest first.
pub(crate) async fn between(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    after: &str,
    up_to: Option<&str>,
    limit: u64,
) -> Result<Vec<MessageRow>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM message
         WHERE tenant_id = $1 AND conversation_id = $2 AND id > $3 AND ($4 IS NULL OR id <= $4) ORDER BY id LIMIT $5"
    );
    rows.all(&sql, [conversation_id.into(), after.into(), up_to.into(), limit.into()]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_other_builds_are_shown_as_far_as_they_can_be_read() {
        let row = MessageRow {
            id: "1".to_owned(),
            conversation_id: "1".to_owned(),
            tenant_id: "1".to_owned(),
            role: "oracle".to_owned(),
            content: "hi".to_owned(),
            attachments: "[]".to_owned(),
            citations: json!([
                {"chunk_id": "c", "document_id": "d", "document_version": 1, "score": 0.5},
                {"unreadable": true},
                {"chunk_id": "c", "document_id": "d", "title": "Refunds", "document_version": 1, "score": 0.5},
            ])
            .to_string(),
            confidence: None,
            client_id: None,
            created_at: 0,
            operator_id: None,
            feedback: Some("oracular".to_owned()),
            quick_replies: Some("not JSON".to_owned()),
        };
        let titles: Vec<_> = row.citations().into_iter().map(|citation| citation.title).collect();
        assert_eq!(titles, ["", "Refunds"]);
        assert_eq!((row.role(), row.feedback(), row.quick_replies()), (Role::System, None, Vec::new()));
    }
}
