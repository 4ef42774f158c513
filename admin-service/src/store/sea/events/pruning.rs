//! Removing events that need not be kept any longer: from the oldest number on, so that the numbers that are kept have no gaps.

use std::time::Duration;

use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, QueryOrder as _, QuerySelect as _, prelude::*};

use super::super::{
    connection::{SeaStore, commit, translate},
    outboxes,
    values::stored_time,
};
use crate::{
    domain::event::EventState,
    store::{
        entity::{event, event_attempt, outbox},
        error::StoreError,
    },
};

/// The tenants whose outboxes one call looks at, at most.
const TENANTS: u64 = 50;
/// Events of a tenant that are removed at once.
const AT_ONCE: u64 = 1000;
/// When to look again at an outbox whose oldest event is still pending.
const LOOK_AGAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Removes a step for each tenant that it looks at. Answers whether more may be left.
pub(super) async fn prune(store: &SeaStore, kept_for: Duration, now: Timestamp) -> Result<bool, StoreError> {
    let tenants = outbox::Entity::find()
        .filter(outbox::Column::PruneAt.is_not_null())
        .filter(outbox::Column::PruneAt.lte(stored_time(now.saturating_sub(kept_for).unwrap_or(Timestamp::MIN))))
        .order_by_asc(outbox::Column::PruneAt)
        .limit(TENANTS)
        .all(&store.connection)
        .await
        .map_err(translate)?;
    let more = !tenants.is_empty();
    for tenant in tenants {
        step(store, tenant.tenant_id, kept_for, now).await?;
    }
    Ok(more)
}

/// Removes at most [`AT_ONCE`] events of a tenant, and notes when to look again.
async fn step(store: &SeaStore, tenant_id: Uuid, kept_for: Duration, now: Timestamp) -> Result<(), StoreError> {
    let before = stored_time(now.saturating_sub(kept_for).unwrap_or(Timestamp::MIN));
    let transaction = store.begin_write().await?;
    let outbox = outboxes::lock(&transaction, tenant_id.into()).await?;
    let oldest = event::Entity::find()
        .select_only()
        .columns([event::Column::Seq, event::Column::State, event::Column::ReceivedAt])
        .filter(event::Column::TenantId.eq(tenant_id))
        .order_by_asc(event::Column::Seq)
        .limit(AT_ONCE + 1)
        .into_tuple::<(i64, String, i64)>()
        .all(&transaction)
        .await
        .map_err(translate)?;
    let is_over = |state: &str, received_at: i64| state != EventState::Pending.as_str() && received_at < before;
    let over = oldest.iter().take_while(|(_, state, received_at)| is_over(state, *received_at)).count();
    let over = over.min(usize::try_from(AT_ONCE).unwrap_or(usize::MAX));
    let kept = oldest.get(over);
    let first_seq = kept.map_or(outbox.last_seq + 1, |(seq, _, _)| *seq);
    // An event that is pending for so long is held. Look again tomorrow.
    let pending = |state: &str| state == EventState::Pending.as_str();
    let tomorrow = before + i64::try_from(LOOK_AGAIN.as_millis()).unwrap_or_default();
    let prune_at = kept.map(|(_, state, received_at)| if pending(state) { tomorrow } else { *received_at });
    if over > 0 {
        event_attempt::Entity::delete_many()
            .filter(event_attempt::Column::TenantId.eq(tenant_id))
            .filter(event_attempt::Column::Seq.lt(first_seq))
            .exec(&transaction)
            .await
            .map_err(translate)?;
        event::Entity::delete_many()
            .filter(event::Column::TenantId.eq(tenant_id))
            .filter(event::Column::Seq.lt(first_seq))
            .exec(&transaction)
            .await
            .map_err(translate)?;
    }
    let changed = outbox::ActiveModel {
        tenant_id: Set(tenant_id),
        first_seq: Set(first_seq),
        prune_at: Set(prune_at),
        ..Default::default()
    };
    outbox::Entity::update(changed).exec(&transaction).await.map_err(translate)?;
    commit(transaction).await
}
