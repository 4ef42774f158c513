//! Sessions whose visitor is known: how one follows another, and how a revocation ends them.

use sea_orm::{ActiveValue::Set, QueryOrder as _, QuerySelect as _, prelude::*};
use wire::{SessionId, TenantId, time::now};

use super::{
    change::{Change, LockedTenant},
    connection::{SeaStore, translate},
    sessions::{insert_session, lock_session},
    values::number_from_row,
};
use crate::{
    domain::{
        audit::AuditEntry,
        visitor::{Identity, VisitorSession},
    },
    store::{
        entity::{tenant, visitor_revocation, visitor_session},
        error::StoreError,
        ports::{Identified, Vouched},
        revision::AtRevision,
    },
};

/// Ends `from`, and begins the session that follows it.
pub(super) async fn identify(
    store: &SeaStore,
    tenant_id: TenantId,
    from: SessionId,
    vouched: Vouched,
    audit: AuditEntry,
) -> Result<AtRevision<Identified>, StoreError> {
    // A revocation locks the tenant's row too: it comes before this change, which then sees it, or after, and ends the new session.
    let locked = LockedTenant::lock(store, tenant_id).await?;
    let row = lock_session(locked.rows(), tenant_id, from).await?;
    let before = row.map(|row| Ok((row.succeeded_by, VisitorSession::try_from(row)?))).transpose()?;
    let before = match before {
        _ if is_over(&locked, &vouched).await? => Err(Identified::TokenOver),
        Some((_, before)) if !before.is_ended && before.expires_at > now() => Ok(before),
        Some((Some(next), before)) if before.is_ended => Err(successor(&locked, next.into(), &vouched.identity).await?),
        _ => Err(Identified::SessionOver),
    };
    let before = match before {
        Ok(before) => before,
        Err(unchanged) => {
            let revision = number_from_row(locked.row.sessions_ended)?;
            locked.roll_back().await?;
            return Ok(AtRevision { value: unchanged, revision });
        }
    };
    let (at, tenant_row) = (locked.time_of_change(), locked.row.id);
    let next = before.followed_by(vouched.identity, SessionId::generate(), now());
    let change = locked.take_revision().await?;
    insert_session(change.rows(), &next).await?;
    let ended = visitor_session::ActiveModel {
        id: Set(from.as_uuid()),
        ended_revision: Set(Some(change.revision())),
        succeeded_by: Set(Some(next.id.as_uuid())),
        ..Default::default()
    };
    visitor_session::Entity::update(ended).exec(change.rows()).await.map_err(translate)?;
    note_ended(&change, tenant_row).await?;
    Ok(AtRevision { value: Identified::Now(Box::new(next)), revision: change.commit(audit, at).await? })
}

/// Whether the minted token is over.
async fn is_over(locked: &LockedTenant<'_>, vouched: &Vouched) -> Result<bool, StoreError> {
    if vouched.identity.tenant_generation < number_from_row(locked.row.token_generation)? {
        return Ok(true);
    }
    let key = (locked.row.id, vouched.identity.visitor_user_id.clone());
    let revoked = visitor_revocation::Entity::find_by_id(key).one(locked.rows()).await.map_err(translate)?;
    let generation = revoked.map_or(Ok(0), |row| number_from_row(row.generation))?;
    Ok(vouched.generation < generation)
}

/// The session that followed one that is over, for a caller who did not hear the first answer.
async fn successor(locked: &LockedTenant<'_>, next: SessionId, identity: &Identity) -> Result<Identified, StoreError> {
    let next = lock_session(locked.rows(), locked.row.id.into(), next).await?;
    let Some(next) = next.map(VisitorSession::try_from).transpose()? else { return Ok(Identified::SessionOver) };
    let is_visitors = next.identity.as_ref().is_some_and(|next| next.visitor_user_id == identity.visitor_user_id);
    let lives = !next.is_ended && next.expires_at > now();
    Ok(if is_visitors && lives { Identified::Now(Box::new(next)) } else { Identified::SessionOver })
}

/// Locks the sessions in which a visitor was identified and which are not over.
pub(super) async fn lock_sessions_of(
    locked: &LockedTenant<'_>,
    visitor_user_id: &str,
) -> Result<Vec<Uuid>, StoreError> {
    use visitor_session::{Column, Entity};
    let found = Entity::find()
        .filter(Column::TenantId.eq(locked.row.id))
        .filter(Column::VisitorUserId.eq(visitor_user_id))
        .filter(Column::EndedRevision.is_null())
        .order_by_asc(Column::Id)
        .lock_exclusive()
        .all(locked.rows())
        .await
        .map_err(translate)?;
    Ok(found.into_iter().map(|session| session.id).collect())
}

/// Ends these sessions of a tenant.
pub(super) async fn end_sessions(change: &Change<'_>, tenant_row: Uuid, sessions: Vec<Uuid>) -> Result<(), StoreError> {
    use visitor_session::{Column, Entity};
    if sessions.is_empty() {
        return Ok(());
    }
    Entity::update_many()
        .col_expr(Column::EndedRevision, Expr::value(change.revision()))
        .filter(Column::Id.is_in(sessions))
        .exec(change.rows())
        .await
        .map_err(translate)?;
    note_ended(change, tenant_row).await
}

/// Notes at the tenant that sessions were ended by this change. The tenant's own `revision` and `updated_at` stay: its settings are as
/// they were, and no visitor makes an operator's update conflict.
pub(super) async fn note_ended(change: &Change<'_>, tenant_row: Uuid) -> Result<(), StoreError> {
    let changed =
        tenant::ActiveModel { id: Set(tenant_row), sessions_ended: Set(change.revision()), ..Default::default() };
    tenant::Entity::update(changed).exec(change.rows()).await.map(drop).map_err(translate)
}
