//! A ticket, as callers see it.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use wire::time::WireTime;

use crate::records::tickets::TicketRow;

/// Something a person has to see to.
#[derive(Serialize, ToSchema)]
pub(crate) struct Ticket {
    id: String,
    tenant_id: String,
    /// Counted per tenant: `TCK-000001`.
    ticket_number: String,
    user_id: String,
    subject: String,
    description: String,
    /// `p1` to `p4`.
    priority: String,
    /// `open`, `triaged`, `assigned`, `in_progress`, `waiting_on_user`, `resolved`, `closed` or `reopened`.
    status: String,
    assignee_user_id: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    sla_due_at: Option<WireTime>,
    #[schema(value_type = Vec<String>)]
    tags: Value,
    conversation_id: Option<String>,
    escalation_id: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: WireTime,
    #[schema(value_type = String, format = DateTime)]
    updated_at: WireTime,
    #[schema(value_type = Option<String>, format = DateTime)]
    resolved_at: Option<WireTime>,
    #[schema(value_type = Option<String>, format = DateTime)]
    closed_at: Option<WireTime>,
}

impl From<TicketRow> for Ticket {
    fn from(row: TicketRow) -> Self {
        Self {
            ticket_number: row.number().to_string(),
            tags: row.tags(),
            id: row.id,
            tenant_id: row.tenant_id,
            user_id: row.user_id,
            subject: row.subject,
            description: row.description,
            priority: row.priority,
            status: row.status,
            assignee_user_id: row.assignee_user_id,
            sla_due_at: row.sla_due_at.map(WireTime::from_unix_ms),
            conversation_id: row.conversation_id,
            escalation_id: row.escalation_id,
            created_at: WireTime::from_unix_ms(row.created_at),
            updated_at: WireTime::from_unix_ms(row.updated_at),
            resolved_at: row.resolved_at.map(WireTime::from_unix_ms),
            closed_at: row.closed_at.map(WireTime::from_unix_ms),
        }
    }
}

/// What became of a contact form.
#[derive(Serialize, ToSchema)]
pub(crate) struct ContactTicket {
    pub(crate) conversation_id: String,
    /// `waiting`: it is in the operators' queue.
    pub(crate) status: &'static str,
    pub(crate) tenant_id: String,
    pub(crate) ticket_id: String,
    pub(crate) ticket_number: String,
}
