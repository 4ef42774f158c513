//! A visitor says whether one of the bot's answers helped. PROTOCOL.md, section 5.5.

use service::ApiError;
use wire::{TenantId, frames::Feedback};

use super::{
    records::{conversations, feedback, messages},
    replicas::ReplicaMessage,
    state::Backend,
    store::{OfTenant, unavailable},
};

/// Keeps what the visitor says of an answer, in the place of what was said of it before. Answers the conversation, if that is new.
///
/// # Errors
/// `message_not_found`, also for a message that asks for no feedback; the store's.
pub(crate) async fn judge(
    backend: &Backend,
    tenant_id: TenantId,
    visitor_user_id: &str,
    (message_id, said): (&str, Feedback),
) -> Result<Option<String>, ApiError> {
    let transaction = backend.store.begin().await.map_err(unavailable)?;
    let rows = OfTenant::new(&transaction, tenant_id);
    // The visitor may have turned to another conversation since.
    let message = messages::find_anywhere(&rows, message_id).await.map_err(unavailable)?;
    let conversation_id = message.ok_or_else(messages::not_found)?.conversation_id;
    let conversation = conversations::find_to_change(&rows, &conversation_id).await?;
    if conversation.row.visitor_user_id != visitor_user_id {
        return Err(messages::not_found());
    }
    let message = messages::find(&rows, &conversation_id, message_id).await.map_err(unavailable)?;
    let known = message.and_then(|message| message.feedback()).ok_or_else(messages::not_found)?;
    // The same frame may come twice.
    if known == said {
        return Ok(None);
    }
    feedback::set(&rows, &conversation_id, (message_id, said)).await.map_err(unavailable)?;
    let changed = ReplicaMessage::Changed { tenant_id, conversation_id: conversation_id.clone() };
    backend.commit(transaction, changed).await?;
    Ok(Some(conversation_id))
}
