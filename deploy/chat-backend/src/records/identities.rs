//! Conversations of visitors who became known: what was said before is theirs, and operators see what their page calls them.

use sea_orm::{ConnectionTrait, FromQueryResult};

use crate::store::{OfTenant, StoreError};

#[derive(FromQueryResult)]
struct Found {
    id: String,
}

/// The conversations under one name in which the visitor has said something.
pub(crate) async fn spoken_in(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    visitor_user_id: &str,
) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT id FROM conversation WHERE tenant_id = $1 AND visitor_user_id = $2 AND EXISTS (
                   SELECT 1 FROM message WHERE message.tenant_id = $1 AND message.conversation_id = conversation.id
                       AND message.role = 'visitor')";
    let found: Vec<Found> = rows.all(sql, [visitor_user_id.into()]).await?;
    Ok(found.into_iter().map(|found| found.id).collect())
}

/// Gives a conversation to another name of the same visitor.
pub(crate) async fn give(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    id: &str,
    visitor_user_id: &str,
) -> Result<(), StoreError> {
    let sql = "UPDATE conversation SET visitor_user_id = $3 WHERE tenant_id = $1 AND id = $2";
    rows.execute(sql, [id.into(), visitor_user_id.into()]).await
}

/// Notes what the page says of the visitor. What it does not say stays as it is.
pub(crate) async fn set_told(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    id: &str,
    (name, email): (Option<&str>, Option<&str>),
) -> Result<(), StoreError> {
    let sql = "UPDATE conversation SET visitor_display_name = coalesce($3, visitor_display_name),
                   visitor_email = coalesce($4, visitor_email)
               WHERE tenant_id = $1 AND id = $2";
    rows.execute(sql, [id.into(), name.into(), email.into()]).await
}
