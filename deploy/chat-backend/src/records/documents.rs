//! Documents that tenants ingest, and the passages that the bot searches.

use sea_orm::{ConnectionTrait, FromQueryResult};
use serde_json::{Value, json};
use uuid::Uuid;
use wire::time::now_unix_ms;

use super::{
    json,
    passages::passages,
    search::{self, NewPassage},
};
use crate::store::{OfTenant, StoreError};

/// A document's row. Times are Unix milliseconds.
#[derive(FromQueryResult)]
pub(crate) struct DocumentRow {
    pub(crate) id: String,
    pub(crate) tenant_id: String,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) category: String,
    pub(crate) language: String,
    /// Where people read it.
    pub(crate) url: Option<String>,
    tags: String,
    pub(crate) status: String,
    pub(crate) version: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) published_at: Option<i64>,
    pub(crate) archived_at: Option<i64>,
}

const COLUMNS: &str =
    "id, tenant_id, title, body, category, language, url, tags, status, version, created_at, updated_at,
     published_at, archived_at";

impl DocumentRow {
    /// A list of texts.
    pub(crate) fn tags(&self) -> Value {
        json::read(&self.tags)
    }
}

/// A document to be ingested.
pub(crate) struct NewDocument {
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) category: String,
    pub(crate) language: String,
    pub(crate) url: Option<String>,
    pub(crate) tags: Vec<String>,
}

/// Writes a document, or its next version, and its passages, as one part of its caller's transaction.
pub(crate) async fn insert(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    new: NewDocument,
) -> Result<Option<DocumentRow>, StoreError> {
    let NewDocument { title, body, category, language, url, tags } = new;
    let now = now_unix_ms();
    let sql = format!(
        "INSERT INTO document (tenant_id, id, title, body, category, language, url, tags, status, version, created_at,
             updated_at, published_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'published', 1, $9, $10, $11)
         ON CONFLICT (tenant_id, language, title) DO UPDATE SET
             body = excluded.body, category = excluded.category, url = excluded.url, tags = excluded.tags, status = 'published',
             version = document.version + 1, updated_at = excluded.updated_at, published_at = excluded.published_at
         RETURNING {COLUMNS}"
    );
    let document: Option<DocumentRow> = rows
        .one(
            &sql,
            [
                Uuid::now_v7().to_string().into(),
                title.into(),
                body.clone().into(),
                category.into(),
                language.into(),
                url.into(),
                json!(tags).to_string().into(),
                now.into(),
                now.into(),
                now.into(),
            ],
        )
        .await?;
    if let Some(document) = &document {
        search::remove(rows, &document.id).await?;
        for text in passages(&body) {
            let DocumentRow { id, version, title, .. } = document;
            let passage = NewPassage { document_id: id, document_version: *version, title, text };
            search::add(rows, passage).await?;
        }
    }
    Ok(document)
}

/// Whether the tenant has ingested anything.
pub(crate) async fn has_documents(rows: &OfTenant<'_, impl ConnectionTrait>) -> Result<bool, StoreError> {
    #[derive(FromQueryResult)]
    struct Found {
        has_one: bool,
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM document WHERE tenant_id = $1) AS has_one";
    let found: Option<Found> = rows.one(sql, []).await?;
    Ok(found.is_some_and(|found| found.has_one))
}
