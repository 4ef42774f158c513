//! A visitor who was identified: the conversation of the session before becomes the visitor's own.

use wire::{SessionId, TenantId};

use super::relay::Ended;
use crate::{
    records::{choices, conversations, identities},
    replicas::ReplicaMessage,
    state::Backend,
    store::{OfTenant, unavailable},
};

/// What the page says of an identified visitor.
#[derive(Default)]
pub(super) struct Details {
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
}

impl Details {
    /// The name and the address. An address that is the visitor's id says nothing more; a conversation that has it so is a contact
    /// form's, whose answers are mailed.
    pub(super) fn of(&self, visitor_user_id: &str) -> (Option<&str>, Option<&str>) {
        (self.name.as_deref(), self.email.as_deref().filter(|email| *email != visitor_user_id))
    }
}

/// Gives the visitor the conversations of the session before in which the visitor said something. If the visitor is in no conversation, gives
/// the visitor the one that the session is in too, though nothing was said there: a first message may be on its way to it.
pub(super) async fn take_over(
    backend: &Backend,
    tenant_id: TenantId,
    (before, visitor_user_id): (SessionId, &str),
) -> Result<(), Ended> {
    let before = before.to_string();
    // Only the first socket after the visitor was identified finds something to take over.
    if identities::of_visitor(&backend.store.of(tenant_id), &before).await.map_err(unavailable)?.is_empty() {
        return Ok(());
    }
    let transaction = backend.store.begin().await.map_err(unavailable)?;
    let rows = OfTenant::new(&transaction, tenant_id);
    // Another socket of the visitor may be about to begin a conversation.
    conversations::take_visitors_turn(&rows, visitor_user_id).await.map_err(unavailable)?;
    let earlier = identities::of_visitor(&rows, &before).await.map_err(unavailable)?;
    let mut given: Vec<_> = earlier.iter().filter(|one| one.spoken != 0).collect();
    let is_in_one = choices::current(&rows, visitor_user_id).await.map_err(unavailable)?.is_some();
    if !is_in_one {
        let current = earlier.iter().rev().find(|one| one.status == "active" && one.left_for.is_none());
        given.extend(current.filter(|one| one.spoken == 0));
    }
    if given.is_empty() {
        transaction.rollback().await.map_err(unavailable)?;
        return Ok(());
    }
    // Every transaction that locks several conversations does so in the order of their ids.
    given.sort_by(|one, other| one.id.cmp(&other.id));
    for one in &given {
        conversations::find_to_change(&rows, &one.id).await?;
        identities::give(&rows, &one.id, visitor_user_id).await.map_err(unavailable)?;
    }
    let began = ReplicaMessage::Began { tenant_id, visitor_user_id: visitor_user_id.to_owned() };
    backend.commit(transaction, began).await?;
    for one in given {
        backend.tell(&ReplicaMessage::Changed { tenant_id, conversation_id: one.id.clone() });
    }
    Ok(())
}

/// Notes what the page says of the visitor where the conversation does not say it.
pub(super) async fn note_details(
    backend: &Backend,
    tenant_id: TenantId,
    id: &str,
    details: (Option<&str>, Option<&str>),
) -> Result<(), Ended> {
    let row = conversations::find(&backend.store.of(tenant_id), id).await?.row;
    let (name, email) = details;
    let is_new = |known: Option<String>, said: Option<&str>| known.is_none() && said.is_some();
    if !is_new(row.visitor_display_name, name) && !is_new(row.visitor_email, email) {
        return Ok(());
    }
    let transaction = backend.store.begin().await.map_err(unavailable)?;
    let rows = OfTenant::new(&transaction, tenant_id);
    conversations::find_to_change(&rows, id).await?;
    identities::set_details(&rows, id, details).await.map_err(unavailable)?;
    let changed = ReplicaMessage::Changed { tenant_id, conversation_id: id.to_owned() };
    Ok(backend.commit(transaction, changed).await?)
}
