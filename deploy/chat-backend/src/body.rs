//! The bodies callers send, for the reference: they are read field by field, so that every refused one is named.

#![expect(dead_code, reason = "documentation: the fields are read where the calls are answered")]

use serde_json::{Map, Value};
use utoipa::ToSchema;
use wire::attachments::Attachment;

/// What begins a conversation.
#[derive(ToSchema)]
pub(crate) struct NewConversation {
    /// The tenant's own name for the visitor.
    #[schema(min_length = 1, max_length = 255)]
    visitor_user_id: String,
    #[schema(max_length = 200)]
    visitor_display_name: Option<String>,
    #[schema(max_length = 254)]
    visitor_email: Option<String>,
    #[schema(max_length = 50)]
    visitor_phone: Option<String>,
    #[schema(required = false, default = "fr", max_length = 35)]
    locale: String,
    /// `text`, `voice` or `video`.
    #[schema(required = false, default = "text")]
    channel: String,
    /// At most 16 KiB.
    #[schema(required = false, value_type = Object)]
    metadata: Map<String, Value>,
}

/// What is said.
#[derive(ToSchema)]
pub(crate) struct NewMessage {
    /// `visitor`, `agent`, `bot` or `system`.
    #[schema(required = false, default = "visitor")]
    role: String,
    #[schema(min_length = 1, max_length = 8000)]
    content: String,
    #[schema(required = false, max_items = 20)]
    attachments: Vec<Attachment>,
}

/// A contact form.
#[derive(ToSchema)]
pub(crate) struct NewContactTicket {
    #[schema(min_length = 1, max_length = 254)]
    customer_email: String,
    #[schema(min_length = 1, max_length = 200)]
    customer_name: String,
    #[schema(min_length = 1, max_length = 500)]
    subject: String,
    #[schema(min_length = 1, max_length = 8000)]
    message: String,
    #[schema(max_length = 200)]
    company: Option<String>,
    #[schema(max_length = 200)]
    source: Option<String>,
    #[schema(max_length = 35)]
    locale: Option<String>,
    #[schema(max_length = 100)]
    routing_key: Option<String>,
    #[schema(required = false, value_type = Object)]
    metadata: Map<String, Value>,
}

/// Something to answer from.
#[derive(ToSchema)]
pub(crate) struct NewKnowledge {
    /// A document is known by title and language: ingesting it again is its next version.
    #[schema(min_length = 1, max_length = 500)]
    title: String,
    #[schema(min_length = 1, max_length = 400_000)]
    body: String,
    #[schema(required = false, default = "general", max_length = 100)]
    category: String,
    #[schema(required = false, default = "fr", max_length = 35)]
    language: String,
    #[schema(required = false, max_items = 50)]
    tags: Vec<String>,
}
