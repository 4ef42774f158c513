//! What visitors say of resolved conversations.

use sea_orm::ConnectionTrait;
use wire::time::now_unix_ms;

use crate::store::{OfTenant, StoreError};

/// Keeps a rating in the place of an earlier one.
pub(crate) async fn set(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    (score, comment): (u8, Option<&str>),
) -> Result<(), StoreError> {
    let sql = "UPDATE conversation SET rating_score = $3, rating_comment = $4, rated_at = $5, updated_at = $5,
                   rated_resolved_at = resolved_at
               WHERE tenant_id = $1 AND id = $2";
    rows.execute(sql, [conversation_id.into(), i32::from(score).into(), comment.into(), now_unix_ms().into()]).await
}
