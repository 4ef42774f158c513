//! A visitor rates a conversation that is resolved. PROTOCOL.md, section 8.4.

use service::ApiError;
use wire::{ErrorCode, TenantId, frames::Rating};

use super::{
    handling::Handling,
    records::{conversations, ratings},
    replicas::ReplicaMessage,
    state::Backend,
    store::{OfTenant, unavailable},
};

/// Keeps a rating in the place of an earlier one.
///
/// # Errors
/// `conversation_not_resolved`, the store's.
pub(crate) async fn rate(
    backend: &Backend,
    tenant_id: TenantId,
    conversation_id: &str,
    (score, comment): (u8, Option<&str>),
) -> Result<Rating, ApiError> {
    let transaction = backend.store.begin().await.map_err(unavailable)?;
    let rows = OfTenant::new(&transaction, tenant_id);
    let conversation = conversations::find_to_change(&rows, conversation_id).await?;
    if conversation.handling != Handling::Resolved {
        let message = "This conversation is not resolved yet. Rate it once it is.";
        return Err(ApiError::new(ErrorCode::ConversationNotResolved, message));
    }
    // The same frame may come twice. The rating keeps the time at which it came first.
    if let Some(there) = conversation.rating_since_resolved()
        && there.score == score
        && there.comment.as_deref() == comment
    {
        return Ok(there);
    }
    ratings::set(&rows, conversation_id, (score, comment)).await.map_err(unavailable)?;
    let now = conversations::find(&rows, conversation_id).await?;
    let rating = now.row.rating().ok_or_else(|| ApiError::internal("a rating that was just written is not there"))?;
    let conversation_id = conversation_id.to_owned();
    backend.commit(transaction, ReplicaMessage::Changed { tenant_id, conversation_id }).await?;
    Ok(rating)
}
