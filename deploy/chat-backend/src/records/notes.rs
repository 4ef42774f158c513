//! Notes of operators among themselves. No query for a visitor or a tenant looks here.

use sea_orm::{ConnectionTrait, FromQueryResult};
use wire::time::now_unix_ms;

use super::conversations;
use crate::{
    store::{OfTenant, StoreError},
    takeover::Holder,
};

/// A note's row. The time is Unix milliseconds.
#[derive(FromQueryResult)]
pub(crate) struct NoteRow {
    pub(crate) id: String,
    pub(crate) operator_id: String,
    pub(crate) operator_name: String,
    pub(crate) content: String,
    pub(crate) created_at: i64,
}

/// Keeps a note, in one order with the conversation's messages.
pub(crate) async fn insert(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    by: &Holder,
    content: &str,
) -> Result<NoteRow, StoreError> {
    let id = conversations::next_entry_id(rows, conversation_id).await?;
    let now = now_unix_ms();
    let sql = "INSERT INTO note (tenant_id, id, conversation_id, operator_id, operator_name, content, created_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = [
        id.clone().into(),
        conversation_id.into(),
        by.operator_id.clone().into(),
        by.display_name.clone().into(),
        content.into(),
        now.into(),
    ];
    rows.execute(sql, values).await?;
    Ok(NoteRow {
        id,
        operator_id: by.operator_id.clone(),
        operator_name: by.display_name.clone(),
        content: content.to_owned(),
        created_at: now,
    })
}

/// A conversation's oldest notes after an id and up to another, oldest first.
pub(crate) async fn after(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    (after, up_to): (&str, &str),
    limit: u64,
) -> Result<Vec<NoteRow>, StoreError> {
    let sql = "SELECT id, operator_id, operator_name, content, created_at FROM note
               WHERE tenant_id = $1 AND conversation_id = $2 AND id > $3 AND id <= $4 ORDER BY id LIMIT $5";
    rows.all(sql, [conversation_id.into(), after.into(), up_to.into(), limit.into()]).await
}

/// A conversation's newest notes before an id (the empty one stands after all) and up to another. Newest first.
pub(crate) async fn before(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    (before, up_to): (&str, &str),
    limit: u64,
) -> Result<Vec<NoteRow>, StoreError> {
    let sql = "SELECT id, operator_id, operator_name, content, created_at FROM note
               WHERE tenant_id = $1 AND conversation_id = $2 AND ($3 = '' OR id < $3) AND id <= $4 ORDER BY id DESC LIMIT $5";
    rows.all(sql, [conversation_id.into(), before.into(), up_to.into(), limit.into()]).await
}
