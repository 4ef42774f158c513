//! Sessions whose visitor is known: how one follows another, and how a revocation ends them.

use sea_orm::{ActiveValue::Set, Condition, QueryOrder as _, QuerySelect as _, prelude::*, sea_query::IntoCondition};
use wire::{SessionId, TenantId, time::now};

use super::{
    change::{Change, LockedTenant},
    connection::{SeaStore, translate},
    sessions::{insert_session, lock_session},
    values::{number_from_row, stored_time},
};
use crate::{
    domain::{
        audit::AuditEntry,
        visitor::{Identity, VisitorSession},
    },
    store::{
        entity::{
            tenant, visitor_revocation,
            visitor_session::{self, Column, Entity},
        },
        error::StoreError,
        ports::{Identified, Vouched},
        revision::AtRevision,
    },
};

/// How many sessions one visitor may have at a time: the next one ends the oldest. So a revocation, which ends them all in one
/// transaction, has a bound.
const MOST_SESSIONS: usize = 100;

/// How often a visitor may have been identified again before a lost answer can no longer be given.
const MOST_SUCCESSORS: usize = 8;

/// Ends `from`, and begins the session that follows it.
pub(super) async fn identify(
    store: &SeaStore,
    tenant_id: TenantId,
    from: SessionId,
    vouched: Vouched,
    audit: AuditEntry,
) -> Result<AtRevision<Identified>, StoreError> {
    // A revocation locks the tenant's row too. If it comes first, this change sees it; if it comes second, it ends the new session.
    let locked = LockedTenant::lock(store, tenant_id).await?;
    let row = lock_session(locked.rows(), tenant_id, from).await?;
    let before = row.map(|row| Ok((row.succeeded_by, VisitorSession::try_from(row)?))).transpose()?;
    let found = match before {
        _ if is_token_over(&locked, &vouched).await? => Err(Identified::TokenOver),
        Some((_, before)) if is_live(&locked, &before)? => Ok(before),
        Some((Some(next), before)) if before.is_ended => Err(successor(&locked, next, &vouched.identity).await?),
        _ => Err(Identified::SessionOver),
    };
    let before = match found {
        Ok(before) => before,
        Err(unchanged) => {
            let revision = number_from_row(locked.row.sessions_ended)?;
            locked.roll_back().await?;
            return Ok(AtRevision { value: unchanged, revision });
        }
    };
    let (at, tenant_row) = (locked.time_of_change(), locked.row.id);
    let mut oldest_first = lock_sessions_of(&locked, &vouched.identity.visitor_user_id).await?;
    oldest_first.truncate((oldest_first.len() + 1).saturating_sub(MOST_SESSIONS));
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
    end_where(&change, Column::Id.is_in(oldest_first)).await?;
    note_ended(&change, tenant_row).await?;
    Ok(AtRevision { value: Identified::As(Box::new(next)), revision: change.commit(audit, at).await? })
}

/// Whether the minted token is over.
async fn is_token_over(locked: &LockedTenant<'_>, vouched: &Vouched) -> Result<bool, StoreError> {
    if vouched.identity.tenant_generation < number_from_row(locked.row.token_generation)? {
        return Ok(true);
    }
    let key = (locked.row.id, vouched.identity.visitor_user_id.clone());
    let revoked = visitor_revocation::Entity::find_by_id(key).one(locked.rows()).await.map_err(translate)?;
    let generation = revoked.map_or(Ok(0), |row| number_from_row(row.generation))?;
    Ok(vouched.generation < generation)
}

/// Whether a session is not over. The tenant may have ended, with its secret, all that its backend had vouched for.
fn is_live(locked: &LockedTenant<'_>, session: &VisitorSession) -> Result<bool, StoreError> {
    let vouched = session.identity.as_ref().map(|identity| identity.tenant_generation);
    let valid = number_from_row(locked.row.token_generation)?;
    Ok(!session.is_ended && session.expires_at > now() && vouched.is_none_or(|vouched| vouched >= valid))
}

/// The live session that followed one that is over, for a caller who did not hear the first answer. The visitor may have been identified
/// again since.
async fn successor(locked: &LockedTenant<'_>, next: Uuid, identity: &Identity) -> Result<Identified, StoreError> {
    let mut next = Some(next);
    for _ in 0..MOST_SUCCESSORS {
        let Some(id) = next else { break };
        let Some(row) = lock_session(locked.rows(), locked.row.id.into(), id.into()).await? else { break };
        next = row.succeeded_by;
        let session = VisitorSession::try_from(row)?;
        if session.identity.as_ref().is_none_or(|next| next.visitor_user_id != identity.visitor_user_id) {
            break;
        }
        if is_live(locked, &session)? {
            return Ok(Identified::As(Box::new(session)));
        }
    }
    Ok(Identified::SessionOver)
}

/// Locks the sessions in which a visitor was identified and which are not over. Answers their ids, the oldest first.
pub(super) async fn lock_sessions_of(
    locked: &LockedTenant<'_>,
    visitor_user_id: &str,
) -> Result<Vec<Uuid>, StoreError> {
    Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(live_sessions_of(locked.row.id, visitor_user_id))
        .order_by_asc(Column::Id)
        .lock_exclusive()
        .into_tuple()
        .all(locked.rows())
        .await
        .map_err(translate)
}

/// Ends the sessions in which a visitor was identified, which [`lock_sessions_of`] has locked.
pub(super) async fn end_sessions_of(
    change: &Change<'_>,
    tenant_row: Uuid,
    visitor_user_id: &str,
) -> Result<(), StoreError> {
    if end_where(change, live_sessions_of(tenant_row, visitor_user_id)).await? > 0 {
        note_ended(change, tenant_row).await?;
    }
    Ok(())
}

fn live_sessions_of(tenant_row: Uuid, visitor_user_id: &str) -> Condition {
    Condition::all()
        .add(Column::TenantId.eq(tenant_row))
        .add(Column::VisitorUserId.eq(visitor_user_id))
        .add(Column::EndedRevision.is_null())
        .add(Column::ExpiresAt.gt(stored_time(now())))
}

async fn end_where(change: &Change<'_>, which: impl IntoCondition) -> Result<u64, StoreError> {
    let ending = Entity::update_many().col_expr(Column::EndedRevision, Expr::value(change.revision())).filter(which);
    Ok(ending.exec(change.rows()).await.map_err(translate)?.rows_affected)
}

/// Notes at the tenant that sessions were ended by this change. The tenant's own `revision` and `updated_at` stay: its settings are as
/// they were, and no visitor makes an operator's update conflict.
pub(super) async fn note_ended(change: &Change<'_>, tenant_row: Uuid) -> Result<(), StoreError> {
    let changed =
        tenant::ActiveModel { id: Set(tenant_row), sessions_ended: Set(change.revision()), ..Default::default() };
    tenant::Entity::update(changed).exec(change.rows()).await.map(drop).map_err(translate)
}
