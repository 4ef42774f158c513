//! What callers see, and the rows it is made from: the shapes the published client reads.

use sea_orm::FromQueryResult;
use serde::Serialize;
use serde_json::Value;
use service::{ApiError, query::Query};
use utoipa::ToSchema;
use wire::{
    attachments::{self, Attachment},
    origin::Origin,
    time::WireTime,
};

use super::{bot::Citation, handling::Handling};

macro_rules! columns {
    ($($column:literal),+ $(,)?) => { concat!($($column, ", ",)+ "rowid") };
}

/// A conversation between a visitor and the bot or a person of the tenant.
#[derive(Serialize, ToSchema)]
pub(super) struct Conversation {
    pub(super) id: String,
    pub(super) tenant_id: String,
    pub(super) visitor_user_id: String,
    visitor_display_name: Option<String>,
    visitor_email: Option<String>,
    visitor_phone: Option<String>,
    pub(super) locale: String,
    /// `text`, `voice` or `video`.
    channel: String,
    /// `active` or `closed`.
    pub(super) status: String,
    /// Who answers: `bot`, `waiting`, `assigned` or `resolved`.
    #[schema(value_type = String)]
    pub(super) handling: Handling,
    #[schema(value_type = Object)]
    metadata: Value,
    #[schema(value_type = String, format = DateTime)]
    created_at: WireTime,
    #[schema(value_type = String, format = DateTime)]
    updated_at: WireTime,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_message_at: Option<WireTime>,
    #[schema(value_type = Option<String>, format = DateTime)]
    closed_at: Option<WireTime>,
}

impl Conversation {
    /// Whether the visitor's page is one of this machine's, as far as the conversation says where it is.
    pub(super) fn is_of_local_page(&self) -> bool {
        let origin = self.metadata.get("origin").and_then(Value::as_str).map(str::parse::<Origin>);
        origin.is_some_and(|origin| origin.is_ok_and(|origin| origin.is_local()))
    }
}

#[derive(FromQueryResult)]
pub(super) struct ConversationRow {
    id: String,
    tenant_id: String,
    visitor_user_id: String,
    visitor_display_name: Option<String>,
    visitor_email: Option<String>,
    visitor_phone: Option<String>,
    locale: String,
    channel: String,
    status: String,
    handling: String,
    waiting_reason: Option<String>,
    metadata: String,
    created_at: i64,
    updated_at: i64,
    last_message_at: Option<i64>,
    closed_at: Option<i64>,
}

pub(super) const CONVERSATION: &str = columns!(
    "id",
    "tenant_id",
    "visitor_user_id",
    "visitor_display_name",
    "visitor_email",
    "visitor_phone",
    "locale",
    "channel",
    "status",
    "handling",
    "waiting_reason",
    "metadata",
    "created_at",
    "updated_at",
    "last_message_at",
    "closed_at"
);

impl TryFrom<ConversationRow> for Conversation {
    type Error = ApiError;

    fn try_from(row: ConversationRow) -> Result<Self, ApiError> {
        Ok(Self {
            id: row.id,
            tenant_id: row.tenant_id,
            visitor_user_id: row.visitor_user_id,
            visitor_display_name: row.visitor_display_name,
            visitor_email: row.visitor_email,
            visitor_phone: row.visitor_phone,
            locale: row.locale,
            channel: row.channel,
            status: row.status,
            handling: Handling::of_row(&row.handling, row.waiting_reason.as_deref())?,
            metadata: json(&row.metadata),
            created_at: WireTime::from_unix_ms(row.created_at),
            updated_at: WireTime::from_unix_ms(row.updated_at),
            last_message_at: row.last_message_at.map(WireTime::from_unix_ms),
            closed_at: row.closed_at.map(WireTime::from_unix_ms),
        })
    }
}

/// A message of a conversation.
#[derive(Serialize, ToSchema)]
pub(super) struct Message {
    pub(super) id: String,
    conversation_id: String,
    tenant_id: String,
    /// `visitor`, `agent`, `bot` or `system`.
    pub(super) role: String,
    content: String,
    attachments: Vec<Attachment>,
    /// What a bot's answer was taken from.
    #[schema(value_type = Vec<Citation>)]
    citations: Value,
    /// 0 to 1: how much of the question the bot's answer covers.
    confidence: Option<f64>,
    /// What a visitor's browser calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub(super) created_at: WireTime,
}

#[derive(FromQueryResult)]
pub(super) struct MessageRow {
    id: String,
    conversation_id: String,
    tenant_id: String,
    role: String,
    content: String,
    attachments: String,
    citations: String,
    confidence: Option<f64>,
    client_id: Option<String>,
    created_at: i64,
}

pub(super) const MESSAGE: &str = columns!(
    "id",
    "conversation_id",
    "tenant_id",
    "role",
    "content",
    "attachments",
    "citations",
    "confidence",
    "client_id",
    "created_at"
);

impl From<MessageRow> for Message {
    fn from(row: MessageRow) -> Self {
        Self {
            id: row.id,
            conversation_id: row.conversation_id,
            tenant_id: row.tenant_id,
            role: row.role,
            content: row.content,
            attachments: attachments::readable(json(&row.attachments)),
            citations: json(&row.citations),
            confidence: row.confidence,
            client_id: row.client_id,
            created_at: WireTime::from_unix_ms(row.created_at),
        }
    }
}

/// Something a person has to see to.
#[derive(Serialize, ToSchema)]
pub(super) struct Ticket {
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

#[derive(FromQueryResult)]
pub(super) struct TicketRow {
    id: String,
    tenant_id: String,
    number: i64,
    user_id: String,
    subject: String,
    description: String,
    priority: String,
    status: String,
    assignee_user_id: Option<String>,
    sla_due_at: Option<i64>,
    tags: String,
    conversation_id: Option<String>,
    escalation_id: Option<String>,
    created_at: i64,
    updated_at: i64,
    resolved_at: Option<i64>,
    closed_at: Option<i64>,
}

pub(super) const TICKET: &str = columns!(
    "id",
    "tenant_id",
    "number",
    "user_id",
    "subject",
    "description",
    "priority",
    "status",
    "assignee_user_id",
    "sla_due_at",
    "tags",
    "conversation_id",
    "escalation_id",
    "created_at",
    "updated_at",
    "resolved_at",
    "closed_at"
);

/// A ticket's number as people say it.
pub(super) fn ticket_number(number: i64) -> String {
    format!("TCK-{number:06}")
}

impl From<TicketRow> for Ticket {
    fn from(row: TicketRow) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            ticket_number: ticket_number(row.number),
            user_id: row.user_id,
            subject: row.subject,
            description: row.description,
            priority: row.priority,
            status: row.status,
            assignee_user_id: row.assignee_user_id,
            sla_due_at: row.sla_due_at.map(WireTime::from_unix_ms),
            tags: json(&row.tags),
            conversation_id: row.conversation_id,
            escalation_id: row.escalation_id,
            created_at: WireTime::from_unix_ms(row.created_at),
            updated_at: WireTime::from_unix_ms(row.updated_at),
            resolved_at: row.resolved_at.map(WireTime::from_unix_ms),
            closed_at: row.closed_at.map(WireTime::from_unix_ms),
        }
    }
}

/// Something the bot may answer from.
#[derive(Serialize, ToSchema)]
pub(super) struct KnowledgeDocument {
    id: String,
    tenant_id: String,
    title: String,
    body: String,
    category: String,
    language: String,
    #[schema(value_type = Vec<String>)]
    tags: Value,
    /// `draft`, `in_review`, `published` or `archived`.
    status: String,
    version: i64,
    #[schema(value_type = String, format = DateTime)]
    created_at: WireTime,
    #[schema(value_type = String, format = DateTime)]
    updated_at: WireTime,
    #[schema(value_type = Option<String>, format = DateTime)]
    published_at: Option<WireTime>,
    #[schema(value_type = Option<String>, format = DateTime)]
    archived_at: Option<WireTime>,
}

#[derive(FromQueryResult)]
pub(super) struct DocumentRow {
    pub(super) id: String,
    tenant_id: String,
    title: String,
    body: String,
    category: String,
    language: String,
    tags: String,
    status: String,
    pub(super) version: i64,
    created_at: i64,
    updated_at: i64,
    published_at: Option<i64>,
    archived_at: Option<i64>,
}

pub(super) const DOCUMENT: &str = columns!(
    "id",
    "tenant_id",
    "title",
    "body",
    "category",
    "language",
    "tags",
    "status",
    "version",
    "created_at",
    "updated_at",
    "published_at",
    "archived_at"
);

impl From<DocumentRow> for KnowledgeDocument {
    fn from(row: DocumentRow) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            title: row.title,
            body: row.body,
            category: row.category,
            language: row.language,
            tags: json(&row.tags),
            status: row.status,
            version: row.version,
            created_at: WireTime::from_unix_ms(row.created_at),
            updated_at: WireTime::from_unix_ms(row.updated_at),
            published_at: row.published_at.map(WireTime::from_unix_ms),
            archived_at: row.archived_at.map(WireTime::from_unix_ms),
        }
    }
}

/// A page of rows.
#[derive(Serialize, ToSchema)]
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
    pub(super) limit: u64,
    pub(super) offset: u64,
}

/// Rows of a page, at most.
const MOST_ROWS: u64 = 500;

/// `?limit=` and `?offset=`. The published client passes any number as limit: more than there may be is as many as there may be.
pub(super) fn page(query: &mut Query, default: u64) -> (u64, u64) {
    let limit = query.number("limit", 1..=u64::MAX, default).min(MOST_ROWS);
    (limit, query.number("offset", 0..=1_000_000, 0))
}

/// A required parameter, once [`Query::finish`] found nothing to refuse.
pub(super) fn given<T>(parameter: Option<T>) -> Result<T, ApiError> {
    parameter.ok_or_else(|| ApiError::internal("a required parameter was neither read nor refused"))
}

/// JSON we wrote ourselves.
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}
