//! A visitor says whether one of the bot's answers helped. PROTOCOL.md, section 5.5.

use service::ApiError;
use wire::{TenantId, frames::Feedback};

use super::{
    records::{conversations, feedback, messages},
    replicas::ReplicaMessage,
    state::Backend,
    store::{OfTenant, unavailable},
};

/// Keeps what the visitor says of an answer, in the place of what was said of it before. Answers whether that is new.
///
/// # Errors
/// `message_not_found`, also for a message of which nobody is asked; the store's.
pub(crate) async fn judge(
    backend: &Backend,
    tenant_id: TenantId,
    conversation_id: &str,
    (message_id, said): (&str, Feedback),
) -> Result<bool, ApiError> {
    let transaction = backend.store.begin().await.map_err(unavailable)?;
    let rows = OfTenant::new(&transaction, tenant_id);
    conversations::find_to_change(&rows, conversation_id).await?;
    let message = messages::find(&rows, conversation_id, message_id).await.map_err(unavailable)?;
    let known = message.and_then(|message| message.feedback()).ok_or_else(messages::not_found)?;
    // The same frame may come twice.
    if known == said {
        return Ok(false);
    }
    feedback::set(&rows, conversation_id, (message_id, said)).await.map_err(unavailable)?;
    let conversation_id = conversation_id.to_owned();
    backend.commit(transaction, ReplicaMessage::Changed { tenant_id, conversation_id }).await?;
    Ok(true)
}
