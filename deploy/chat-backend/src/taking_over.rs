//! What an operator's wish sets off: the conversation, its tickets, and what the tenant hears, in one transaction. Every such transaction
//! takes the conversation's lock, and so does the bot's answer: a claim has one winner, and no bot's message follows it.

use sea_orm::ConnectionTrait;
use serde_json::json;
use service::ApiError;
use wire::{ErrorCode, TenantId};

use super::{
    events::Scene,
    handling::Handling,
    outbox::Outbox,
    records::{
        conversations::{self, Conversation},
        takeovers, tickets,
    },
    replicas::ReplicaMessage,
    state::Backend,
    store::{OfTenant, StoreError, unavailable},
    takeover::{Holder, Outcome, Refused, Wish, decide},
    ticket_status::TicketStatus,
};

/// Carries out an operator's wish, and answers the conversation after it.
///
/// # Errors
/// What `may_see` says, `already_claimed`, `not_assigned`, `conversation_resolved`, `conversation_not_resolved`, the store's.
pub(crate) async fn take_over(
    backend: &Backend,
    tenant_id: TenantId,
    conversation_id: &str,
    (wish, by): (&Wish, &Holder),
    may_see: impl Fn(&Conversation) -> Result<(), ApiError>,
) -> Result<Conversation, ApiError> {
    let transaction = backend.store.begin().await.map_err(unavailable)?;
    let rows = OfTenant::new(&transaction, tenant_id);
    let before = conversations::find_to_change(&rows, conversation_id).await?;
    may_see(&before)?;
    let outcome = decide(wish, by, before.handling, before.holder.as_ref()).map_err(refused)?;
    let Outcome::Next { handling, holder } = outcome else {
        transaction.rollback().await.map_err(unavailable)?;
        return Ok(before);
    };
    match &holder {
        Some(holder) => takeovers::give(&rows, conversation_id, holder).await,
        None => takeovers::take_back(&rows, conversation_id, handling).await,
    }
    .map_err(unavailable)?;
    let now = conversations::find(&rows, conversation_id).await?;
    let scene = Scene::from(&now);
    move_tickets(&rows, &backend.outbox, scene, (&now, holder.as_ref())).await.map_err(unavailable)?;
    let event = scene.taken_over(holder.as_ref().unwrap_or(by), &now);
    backend.outbox.note(&rows, &event).await.map_err(unavailable)?;
    let conversation_id = conversation_id.to_owned();
    backend.commit(transaction, ReplicaMessage::Changed { tenant_id, conversation_id }).await?;
    Ok(now)
}

/// A conversation's tickets follow it.
async fn move_tickets(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    outbox: &Outbox,
    scene: Scene<'_>,
    (now, holder): (&Conversation, Option<&Holder>),
) -> Result<(), StoreError> {
    let is_open = |status: TicketStatus| !status.is_over();
    let assignee = holder.map(|holder| holder.operator_id.as_str());
    let id = now.row.id.as_str();
    match now.handling {
        Handling::Assigned => {
            // A reopened conversation brings its newest ticket back.
            if let Some(ticket) = tickets::find_newest(rows, id).await? {
                tickets::reopen(rows, &ticket.id).await?;
            }
            for ticket in tickets::move_all(rows, id, is_open, TicketStatus::Assigned, assignee).await? {
                outbox.note(rows, &scene.ticket_assigned(&ticket)).await?;
            }
        }
        Handling::Waiting(_) => {
            tickets::move_all(rows, id, is_open, TicketStatus::Open, None).await?;
        }
        // The bot answers: it is for the visitor to go on.
        Handling::Bot => {
            tickets::move_all(rows, id, is_open, TicketStatus::WaitingOnUser, None).await?;
        }
        Handling::Resolved => {
            for ticket in tickets::move_all(rows, id, is_open, TicketStatus::Resolved, None).await? {
                outbox.note(rows, &scene.ticket_resolved(&ticket)).await?;
            }
        }
    }
    Ok(())
}

fn refused(why: Refused) -> ApiError {
    match why {
        Refused::AlreadyClaimed(Holder { operator_id, display_name, .. }) => ApiError::new(
            ErrorCode::AlreadyClaimed,
            format!("{display_name} has this conversation. Ask them to release or to assign it."),
        )
        .held_by(json!({"operator_id": operator_id, "display_name": display_name})),
        Refused::NotAssigned => {
            ApiError::new(ErrorCode::NotAssigned, "This conversation is not yours. Claim it first.")
        }
        Refused::IsResolved => {
            ApiError::new(ErrorCode::ConversationResolved, "This conversation is resolved. Reopen it first.")
        }
        Refused::IsNotResolved => ApiError::new(
            ErrorCode::ConversationNotResolved,
            "This conversation is not resolved, so there is nothing to reopen. Claim it instead.",
        ),
    }
}
