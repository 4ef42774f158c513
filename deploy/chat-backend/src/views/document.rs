//! A document, as callers see it.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use wire::time::WireTime;

use crate::records::documents::DocumentRow;

/// Something the bot may answer from.
#[derive(Serialize, ToSchema)]
pub(crate) struct KnowledgeDocument {
    id: String,
    tenant_id: String,
    title: String,
    body: String,
    category: String,
    language: String,
    /// Where people read it.
    url: Option<String>,
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

impl From<DocumentRow> for KnowledgeDocument {
    fn from(row: DocumentRow) -> Self {
        Self {
            tags: row.tags(),
            id: row.id,
            tenant_id: row.tenant_id,
            title: row.title,
            body: row.body,
            category: row.category,
            language: row.language,
            url: row.url,
            status: row.status,
            version: row.version,
            created_at: WireTime::from_unix_ms(row.created_at),
            updated_at: WireTime::from_unix_ms(row.updated_at),
            published_at: row.published_at.map(WireTime::from_unix_ms),
            archived_at: row.archived_at.map(WireTime::from_unix_ms),
        }
    }
}
