//! Sending events again, outside the order of their conversations.

use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, QueryOrder as _, QuerySelect as _, prelude::*};
use wire::TenantId;

use super::{
    super::{
        connection::{SeaStore, Transaction, commit, translate},
        outboxes,
        values::{number_from_row, stored_number, stored_time},
    },
    attempts, rows,
};
use crate::{
    domain::event::{EventState, EventView},
    store::{entity::event, error::StoreError, ports::Replayed},
};

/// Has one event sent again.
pub(super) async fn one(
    store: &SeaStore,
    tenant_id: TenantId,
    event_id: &str,
    now: Timestamp,
) -> Result<EventView, StoreError> {
    let transaction = store.begin_write().await?;
    let outbox = outboxes::lock(&transaction, tenant_id).await?;
    let row = rows::find(&transaction, tenant_id, event_id).await?;
    let row = send_again(&transaction, row, now).await?;
    outboxes::due_by(&transaction, &outbox, stored_time(now)).await?;
    commit(transaction).await?;
    rows::view(row, outbox.is_held)
}

/// Has events sent again, in the order of their numbers.
pub(super) async fn all(
    store: &SeaStore,
    which: &Replayed,
    limit: u64,
    now: Timestamp,
) -> Result<Vec<u64>, StoreError> {
    let transaction = store.begin_write().await?;
    let outbox = outboxes::lock(&transaction, which.tenant_id).await?;
    let found = event::Entity::find()
        .filter(event::Column::TenantId.eq(which.tenant_id.as_uuid()))
        .filter(event::Column::Seq.gt(stored_number(which.after)))
        .filter(event::Column::State.eq(which.state.as_str()))
        .filter(event::Column::OccurredAt.gte(stored_time(which.since)))
        .filter(event::Column::OccurredAt.lt(stored_time(which.until)))
        .order_by_asc(event::Column::Seq)
        .limit(limit)
        .all(&transaction)
        .await
        .map_err(translate)?;
    let mut replayed = Vec::with_capacity(found.len());
    for row in found {
        replayed.push(number_from_row(row.seq)?);
        send_again(&transaction, row, now).await?;
    }
    if !replayed.is_empty() {
        outboxes::due_by(&transaction, &outbox, stored_time(now)).await?;
    }
    commit(transaction).await?;
    Ok(replayed)
}

/// Makes an event due. Its number of attempts stays: the attempts before are kept under their numbers.
async fn send_again(transaction: &Transaction, row: event::Model, now: Timestamp) -> Result<event::Model, StoreError> {
    let lane = row.lane.clone();
    let changed = event::ActiveModel {
        id: Set(row.id),
        lane: Set(None),
        state: Set(EventState::Pending.as_str().to_owned()),
        due_at: Set(Some(stored_time(now))),
        ..Default::default()
    };
    let tenant_id = row.tenant_id.into();
    let changed = event::Entity::update(changed).exec(transaction).await.map_err(translate)?;
    // A pending event that leaves its conversation's order holds up nothing any more.
    if let Some(lane) = lane {
        attempts::free_next(transaction, tenant_id, &lane, now).await?;
    }
    Ok(changed)
}
