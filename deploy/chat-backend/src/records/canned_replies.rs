//! Canned replies: texts that a tenant's operators send often, each under a shortcut.

use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;
use wire::time::now_unix_ms;

use crate::store::{OfTenant, StoreError};

/// A canned reply's row. Times are Unix milliseconds.
#[derive(FromQueryResult)]
pub(crate) struct CannedReplyRow {
    pub(crate) id: String,
    pub(crate) shortcut: String,
    pub(crate) content: String,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

/// All of a tenant's, by shortcut.
pub(crate) async fn all(rows: &OfTenant<'_, impl ConnectionTrait>) -> Result<Vec<CannedReplyRow>, StoreError> {
    let sql =
        "SELECT id, shortcut, content, created_at, updated_at FROM canned_reply WHERE tenant_id = $1 ORDER BY shortcut";
    rows.all(sql, []).await
}

/// Writes one. It replaces the text of a shortcut that exists.
pub(crate) async fn put(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    shortcut: &str,
    content: &str,
) -> Result<Option<CannedReplyRow>, StoreError> {
    let sql = "INSERT INTO canned_reply (tenant_id, id, shortcut, content, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $5)
               ON CONFLICT (tenant_id, shortcut) DO UPDATE SET content = excluded.content, updated_at = excluded.updated_at
               RETURNING id, shortcut, content, created_at, updated_at";
    let id = Uuid::now_v7().to_string();
    rows.one(sql, [id.into(), shortcut.into(), content.into(), now_unix_ms().into()]).await
}

/// Removes one, and answers whether it was there.
pub(crate) async fn delete(rows: &OfTenant<'_, impl ConnectionTrait>, id: &str) -> Result<bool, StoreError> {
    #[derive(FromQueryResult)]
    struct Gone {
        id: String,
    }
    let sql = "DELETE FROM canned_reply WHERE tenant_id = $1 AND id = $2 RETURNING id";
    let gone: Option<Gone> = rows.one(sql, [id.into()]).await?;
    Ok(gone.is_some_and(|gone| gone.id == id))
}
