//! Who has a conversation: written as one part of the transaction that has looked who has it.

use sea_orm::ConnectionTrait;
use wire::time::now_unix_ms;

use super::waits;
use crate::{
    handling::Handling,
    store::{OfTenant, StoreError},
    takeover::Holder,
};

/// Gives a conversation to an operator.
pub(crate) async fn give(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    holder: &Holder,
) -> Result<(), StoreError> {
    let noted = waits::noted("'assigned'", "$6");
    let sql = format!(
        "UPDATE conversation SET {noted}, handling = 'assigned', waiting_reason = NULL, waiting_since = NULL, snoozed_until = NULL,
             operator_id = $3, operator_name = $4, operator_avatar_url = $5, claim_count = claim_count + 1, claimed_at = $6,
             released_at = NULL, resolved_at = NULL, updated_at = $6
         WHERE tenant_id = $1 AND id = $2"
    );
    let values = [
        conversation_id.into(),
        holder.operator_id.clone().into(),
        holder.display_name.clone().into(),
        holder.avatar_url.clone().into(),
        now_unix_ms().into(),
    ];
    rows.execute(&sql, values).await
}

/// Takes a conversation from the operator who has it: it is released, handed back or resolved.
pub(crate) async fn take_back(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    handling: Handling,
) -> Result<(), StoreError> {
    rows.execute(
        "UPDATE conversation SET handling = $3, waiting_reason = $4, operator_id = NULL, operator_name = NULL,
             operator_avatar_url = NULL, snoozed_until = NULL, draft = NULL, updated_at = $5,
             waiting_since = CASE WHEN $3 = 'waiting' THEN $5 END,
             released_at = CASE WHEN $3 <> 'resolved' THEN $5 END,
             resolved_at = CASE WHEN $3 = 'resolved' THEN $5 END
         WHERE tenant_id = $1 AND id = $2",
        [conversation_id.into(), handling.as_str().into(), handling.waiting_reason().into(), now_unix_ms().into()],
    )
    .await
}

/// Hides a conversation from the queues until this time (Unix milliseconds), or no longer.
pub(crate) async fn snooze(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    until: Option<i64>,
) -> Result<(), StoreError> {
    let sql = "UPDATE conversation SET snoozed_until = $3, updated_at = $4 WHERE tenant_id = $1 AND id = $2";
    rows.execute(sql, [conversation_id.into(), until.into(), now_unix_ms().into()]).await
}

/// Replaces a conversation's tags: a JSON list of texts.
pub(crate) async fn tag(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    tags: &str,
) -> Result<(), StoreError> {
    let sql = "UPDATE conversation SET tags = $3, updated_at = $4 WHERE tenant_id = $1 AND id = $2";
    rows.execute(sql, [conversation_id.into(), tags.into(), now_unix_ms().into()]).await
}
