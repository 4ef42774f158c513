//! A visitor who was identified: the conversation of the session before becomes the visitor's own.

use wire::{SessionId, TenantId};

use super::relay::Ended;
use crate::{
    records::{conversations, identities},
    replicas::ReplicaMessage,
    state::Backend,
    store::{OfTenant, unavailable},
};

/// What the page says of an identified visitor.
#[derive(Default)]
pub(super) struct Told {
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
}

impl Told {
    fn texts(&self) -> (Option<&str>, Option<&str>) {
        (self.name.as_deref(), self.email.as_deref())
    }
}

/// Gives the visitor the conversations of the session before in which something was said.
pub(super) async fn take_over(
    backend: &Backend,
    tenant_id: TenantId,
    (before, visitor_user_id): (SessionId, &str),
) -> Result<(), Ended> {
    let before = before.to_string();
    // Most sockets find nothing to take over: only the first after the visitor was identified does.
    let found = identities::spoken_in(&backend.store.of(tenant_id), &before).await.map_err(unavailable)?;
    for id in found {
        let transaction = backend.store.begin().await.map_err(unavailable)?;
        let rows = OfTenant::new(&transaction, tenant_id);
        let conversation = conversations::find_to_change(&rows, &id).await?;
        // Another socket may have taken it over meanwhile.
        if conversation.row.visitor_user_id == before {
            identities::give(&rows, &id, visitor_user_id).await.map_err(unavailable)?;
        }
        let changed = ReplicaMessage::Changed { tenant_id, conversation_id: id };
        backend.commit(transaction, changed).await?;
    }
    Ok(())
}

/// Notes what the page says of the visitor where the conversation says something else.
pub(super) async fn note_told(backend: &Backend, tenant_id: TenantId, id: &str, told: &Told) -> Result<(), Ended> {
    let (name, email) = told.texts();
    let is_noted = |noted: &Option<String>, told: Option<&str>| told.is_none() || noted.as_deref() == told;
    let row = conversations::find(&backend.store.of(tenant_id), id).await?.row;
    if is_noted(&row.visitor_display_name, name) && is_noted(&row.visitor_email, email) {
        return Ok(());
    }
    let transaction = backend.store.begin().await.map_err(unavailable)?;
    let rows = OfTenant::new(&transaction, tenant_id);
    conversations::find_to_change(&rows, id).await?;
    identities::set_told(&rows, id, told.texts()).await.map_err(unavailable)?;
    let changed = ReplicaMessage::Changed { tenant_id, conversation_id: id.to_owned() };
    Ok(backend.commit(transaction, changed).await?)
}
