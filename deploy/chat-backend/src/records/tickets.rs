//! Tickets: what a person has to see to, numbered per tenant without gaps.

use std::fmt;

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Value as SqlValue};
use serde_json::{Value, json};
use uuid::Uuid;
use wire::time::now_unix_ms;

use super::json;
use crate::{
    store::{OfTenant, StoreError},
    ticket_status::TicketStatus,
};

/// A ticket's row. Times are Unix milliseconds.
#[derive(FromQueryResult)]
pub(crate) struct TicketRow {
    pub(crate) id: String,
    pub(crate) tenant_id: String,
    number: i64,
    pub(crate) user_id: String,
    pub(crate) subject: String,
    pub(crate) description: String,
    pub(crate) priority: String,
    pub(crate) status: String,
    pub(crate) assignee_user_id: Option<String>,
    pub(crate) sla_due_at: Option<i64>,
    tags: String,
    pub(crate) conversation_id: Option<String>,
    pub(crate) escalation_id: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) resolved_at: Option<i64>,
    pub(crate) closed_at: Option<i64>,
}

const COLUMNS: &str =
    "id, tenant_id, number, user_id, subject, description, priority, status, assignee_user_id, sla_due_at, tags,
     conversation_id, escalation_id, created_at, updated_at, resolved_at, closed_at";

impl TicketRow {
    /// The ticket's number.
    pub(crate) const fn number(&self) -> TicketNumber {
        TicketNumber(self.number)
    }

    /// A list of texts.
    pub(crate) fn tags(&self) -> Value {
        json::read(&self.tags)
    }
}

/// A ticket's number, as people say it: `TCK-000001`.
#[derive(Clone, Copy)]
pub(crate) struct TicketNumber(i64);

impl fmt::Display for TicketNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TCK-{:06}", self.0)
    }
}

/// A ticket to be opened.
pub(crate) struct NewTicket<'a> {
    pub(crate) user_id: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) description: &'a str,
    pub(crate) priority: &'a str,
    pub(crate) tags: Vec<String>,
    pub(crate) conversation_id: &'a str,
    pub(crate) escalation_id: Option<String>,
}

#[derive(FromQueryResult)]
struct Counter {
    last: i64,
}

/// Opens a ticket.
pub(crate) async fn insert(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    new: NewTicket<'_>,
) -> Result<TicketRef, StoreError> {
    let (id, now) = (Uuid::now_v7().to_string(), now_unix_ms());
    let sql = "INSERT INTO ticket_counter (tenant_id, last) VALUES ($1, 1)
               ON CONFLICT (tenant_id) DO UPDATE SET last = ticket_counter.last + 1 RETURNING last";
    let counter: Option<Counter> = rows.one(sql, []).await?;
    let number = counter.ok_or_else(|| DbErr::RecordNotFound("ticket_counter".to_owned()))?.last;
    rows.execute(
        "INSERT INTO ticket (tenant_id, id, number, user_id, subject, description, priority, status, tags,
             conversation_id, escalation_id, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        [
            id.clone().into(),
            number.into(),
            new.user_id.into(),
            new.subject.into(),
            new.description.into(),
            new.priority.into(),
            TicketStatus::Open.as_str().into(),
            json!(new.tags).to_string().into(),
            new.conversation_id.into(),
            new.escalation_id.clone().into(),
            now.into(),
            now.into(),
        ],
    )
    .await?;
    Ok(TicketRef { id, number: TicketNumber(number), escalation_id: new.escalation_id })
}

/// One ticket.
pub(crate) async fn find(rows: &OfTenant<'_, impl ConnectionTrait>, id: &str) -> Result<Option<TicketRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM ticket WHERE tenant_id = $1 AND id = $2");
    rows.one(&sql, [id.into()]).await
}

/// A page of tickets, newest first; those of a status or an assignee, if one is given.
pub(crate) async fn page(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    status: Option<TicketStatus>,
    assignee_user_id: Option<String>,
    (limit, offset): (u64, u64),
) -> Result<Vec<TicketRow>, StoreError> {
    let mut sql = format!("SELECT {COLUMNS} FROM ticket WHERE tenant_id = $1");
    let mut values: Vec<SqlValue> = Vec::new();
    if let Some(status) = status {
        values.push(status.as_str().into());
        sql.push_str(&format!(" AND status = ${}", values.len() + 1));
    }
    if let Some(assignee) = assignee_user_id {
        values.push(assignee.into());
        sql.push_str(&format!(" AND assignee_user_id = ${}", values.len() + 1));
    }
    values.extend([SqlValue::from(limit), SqlValue::from(offset)]);
    sql.push_str(&format!(" ORDER BY id DESC LIMIT ${} OFFSET ${}", values.len(), values.len() + 1));
    rows.all(&sql, values).await
}

/// What events say of a ticket.
pub(crate) struct TicketRef {
    pub(crate) id: String,
    pub(crate) number: TicketNumber,
    /// The escalation that opened it.
    pub(crate) escalation_id: Option<String>,
}

#[derive(FromQueryResult)]
struct FoundRef {
    id: String,
    number: i64,
    escalation_id: Option<String>,
}

impl From<FoundRef> for TicketRef {
    fn from(found: FoundRef) -> Self {
        Self { id: found.id, number: TicketNumber(found.number), escalation_id: found.escalation_id }
    }
}

/// Gives the tickets of a conversation that stand in one of these states another state and assignee; answers them, the oldest first.
pub(crate) async fn move_all(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    from: impl Fn(TicketStatus) -> bool,
    to: TicketStatus,
    assignee: Option<&str>,
) -> Result<Vec<TicketRef>, StoreError> {
    let from: Vec<_> = TicketStatus::ALL.into_iter().filter(|status| from(*status)).collect();
    let from: Vec<_> = from.into_iter().map(TicketStatus::as_str).collect();
    let sql = format!(
        "UPDATE ticket SET status = $3, updated_at = $4, assignee_user_id = $6,
             resolved_at = CASE WHEN $3 = 'resolved' THEN $4 END
         WHERE tenant_id = $1 AND conversation_id = $2 AND status IN (SELECT value FROM {each})
         RETURNING id, number, escalation_id",
        each = rows.dialect().each("$5"),
    );
    let mut moved: Vec<FoundRef> = rows
        .all(
            &sql,
            [
                conversation_id.into(),
                to.as_str().into(),
                now_unix_ms().into(),
                json!(from).to_string().into(),
                assignee.into(),
            ],
        )
        .await?;
    // A database answers RETURNING in any order.
    moved.sort_by_key(|ticket| ticket.number);
    Ok(moved.into_iter().map(TicketRef::from).collect())
}

/// Brings a ticket that is over back. Any other stays as it is.
pub(crate) async fn reopen(rows: &OfTenant<'_, impl ConnectionTrait>, id: &str) -> Result<(), StoreError> {
    let over: Vec<_> = TicketStatus::ALL.into_iter().filter(|status| status.is_over()).collect();
    let over: Vec<_> = over.into_iter().map(TicketStatus::as_str).collect();
    let sql = format!(
        "UPDATE ticket SET status = $3, updated_at = $4, resolved_at = NULL
         WHERE tenant_id = $1 AND id = $2 AND status IN (SELECT value FROM {each})",
        each = rows.dialect().each("$5"),
    );
    rows.execute(
        &sql,
        [id.into(), TicketStatus::Reopened.as_str().into(), now_unix_ms().into(), json!(over).to_string().into()],
    )
    .await
}

/// A conversation's newest ticket.
pub(crate) async fn find_newest(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
) -> Result<Option<TicketRef>, StoreError> {
    let sql = "SELECT id, number, escalation_id FROM ticket WHERE tenant_id = $1 AND conversation_id = $2
               ORDER BY id DESC LIMIT 1";
    let found: Option<FoundRef> = rows.one(sql, [conversation_id.into()]).await?;
    Ok(found.map(TicketRef::from))
}
