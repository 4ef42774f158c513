//! Conversations of visitors who became known: what was said before is theirs, and operators see what their page says of them.

use sea_orm::{ConnectionTrait, FromQueryResult};

use crate::store::{OfTenant, StoreError};

/// A conversation that another id of the same visitor's may have.
#[derive(FromQueryResult)]
pub(crate) struct Earlier {
    pub(crate) id: String,
    pub(crate) status: String,
    /// The conversation to which the visitor has turned from this one.
    pub(crate) left_for: Option<String>,
    /// Whether the visitor has said something there: 1 or 0.
    pub(crate) spoken: i32,
}

/// The conversations of a visitor id, oldest first.
pub(crate) async fn of_visitor(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    visitor_user_id: &str,
) -> Result<Vec<Earlier>, StoreError> {
    let sql = "SELECT id, status, left_for, CASE WHEN EXISTS (
                   SELECT 1 FROM message WHERE message.tenant_id = $1 AND message.conversation_id = conversation.id
                       AND message.role = 'visitor') THEN 1 ELSE 0 END AS spoken
               FROM conversation WHERE tenant_id = $1 AND visitor_user_id = $2 ORDER BY id";
    rows.all(sql, [visitor_user_id.into()]).await
}

/// Gives a conversation to another visitor id.
pub(crate) async fn give(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    id: &str,
    visitor_user_id: &str,
) -> Result<(), StoreError> {
    let sql = "UPDATE conversation SET visitor_user_id = $3 WHERE tenant_id = $1 AND id = $2";
    rows.execute(sql, [id.into(), visitor_user_id.into()]).await
}

/// Notes what the page says of the visitor where nobody has said it before: the tenant's backend may have checked what it said.
pub(crate) async fn set_details(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    id: &str,
    (name, email): (Option<&str>, Option<&str>),
) -> Result<(), StoreError> {
    let sql = "UPDATE conversation SET visitor_display_name = coalesce(visitor_display_name, $3),
                   visitor_email = coalesce(visitor_email, $4)
               WHERE tenant_id = $1 AND id = $2";
    rows.execute(sql, [id.into(), name.into(), email.into()]).await
}
