//! Changes of all pending events of a tenant, a thousand in a transaction. One transaction for all would lock the tenant's outbox for
//! long. A change of that tenant waits for the outbox while it holds the directory's row, so the changes of all tenants would wait.

use std::time::Duration;

use jiff::Timestamp;
use sea_orm::{QueryOrder as _, QuerySelect as _, prelude::*};

use super::{
    super::{
        connection::{SeaStore, Transaction, commit, translate},
        outboxes,
        values::stored_time,
    },
    claims,
};
use crate::{
    domain::event::EventState,
    store::{
        entity::{event, outbox},
        error::StoreError,
        ports::Claim,
    },
};

/// Events of one step.
const AT_ONCE: u64 = 1000;

/// Makes everything due that waits for another attempt. Answers whether the claim still stands.
pub(super) async fn restart(store: &SeaStore, claim: Claim, now: Timestamp) -> Result<bool, StoreError> {
    loop {
        let transaction = store.begin_write().await?;
        let Some(outbox) = claims::lock(&transaction, claim).await? else { return Ok(false) };
        let waiting = ids(&transaction, claim, event::Column::DueAt.gt(stored_time(now))).await?;
        if waiting.is_empty() {
            end_restart(&transaction, outbox).await?;
            commit(transaction).await?;
            return Ok(true);
        }
        event::Entity::update_many()
            .col_expr(event::Column::DueAt, stored_time(now).into())
            .filter(event::Column::Id.is_in(waiting))
            .exec(&transaction)
            .await
            .map_err(translate)?;
        commit(transaction).await?;
    }
}

/// Keeps what is pending for pulling alone, if the tenant has no callback still, and ends the claim.
pub(super) async fn give_up(store: &SeaStore, claim: Claim) -> Result<(), StoreError> {
    loop {
        let transaction = store.begin_write().await?;
        let Some(outbox) = claims::lock(&transaction, claim).await? else { return Ok(()) };
        let is_pending = event::Column::State.eq(EventState::Pending.as_str());
        let has_callback = outboxes::has_callback(&transaction, claim.tenant_id).await?;
        let pending = if has_callback { Vec::new() } else { ids(&transaction, claim, is_pending).await? };
        if pending.is_empty() {
            // Without a callback nothing can be restarted. If the mark stayed, the outbox would stay due, and workers would claim it for ever.
            let outbox = if has_callback { outbox } else { end_restart(&transaction, outbox).await? };
            claims::renew(&transaction, &outbox, claim, Duration::ZERO).await?;
            return commit(transaction).await;
        }
        event::Entity::update_many()
            .col_expr(event::Column::State, EventState::NoEndpoint.as_str().into())
            .col_expr(event::Column::DueAt, Expr::value(None::<i64>))
            .filter(event::Column::Id.is_in(pending))
            .exec(&transaction)
            .await
            .map_err(translate)?;
        commit(transaction).await?;
    }
}

/// Writes that the outbox is not to be restarted any more.
async fn end_restart(transaction: &Transaction, outbox: outbox::Model) -> Result<outbox::Model, StoreError> {
    outbox::Entity::update_many()
        .col_expr(outbox::Column::IsRestarted, false.into())
        .filter(outbox::Column::TenantId.eq(outbox.tenant_id))
        .exec(transaction)
        .await
        .map_err(translate)?;
    Ok(outbox::Model { is_restarted: false, ..outbox })
}

/// The ids of some events of a tenant.
async fn ids(transaction: &Transaction, claim: Claim, which: impl Into<Expr>) -> Result<Vec<Uuid>, StoreError> {
    event::Entity::find()
        .select_only()
        .column(event::Column::Id)
        .filter(event::Column::TenantId.eq(claim.tenant_id.as_uuid()))
        .filter(which.into())
        // Take the newest first. If a step is the last one, no event must wait for an earlier one that is given up.
        .order_by_desc(event::Column::Seq)
        .limit(AT_ONCE)
        .into_tuple()
        .all(transaction)
        .await
        .map_err(translate)
}
