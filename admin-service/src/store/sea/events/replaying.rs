//! Sending events again, outside the order of their conversations.

use jiff::Timestamp;
use sea_orm::{
    ActiveValue::{NotSet, Set},
    QueryOrder as _, QuerySelect as _,
    prelude::*,
};
use wire::TenantId;

use super::{
    super::{
        authority,
        connection::{SeaStore, commit, translate},
        outboxes,
        values::{number_from_row, stored_number, stored_time},
    },
    rows,
};
use crate::{
    domain::event::{EventState, EventView},
    store::{entity::event, error::StoreError, ports::Replayed},
};

/// Has one event sent again. Its number of attempts stays: the attempts before are kept under their numbers. A pending event keeps its
/// place in its conversation, and is due at once if it is the first there.
pub(super) async fn one(
    store: &SeaStore,
    tenant_id: TenantId,
    event_id: &str,
    admin_key: Option<Uuid>,
    now: Timestamp,
) -> Result<EventView, StoreError> {
    let transaction = store.begin_write().await?;
    let outbox = outboxes::lock(&transaction, tenant_id).await?;
    let row = rows::find(&transaction, tenant_id, event_id).await?;
    let is_pending = row.state == EventState::Pending.as_str();
    if is_pending && row.due_at.is_none() {
        // It waits for an earlier event of its conversation, and is sent after that.
        commit(transaction).await?;
        return rows::view(row, outbox.is_held);
    }
    let changed = event::ActiveModel {
        id: Set(row.id),
        lane: if is_pending { NotSet } else { Set(None) },
        state: Set(EventState::Pending.as_str().to_owned()),
        due_at: Set(Some(stored_time(now))),
        ..Default::default()
    };
    let row = event::Entity::update(changed).exec(&transaction).await.map_err(translate)?;
    outboxes::due_by(&transaction, &outbox, stored_time(now)).await?;
    authority::admin_key(&transaction, admin_key).await?;
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
        .select_only()
        .columns([event::Column::Id, event::Column::Seq])
        .filter(event::Column::TenantId.eq(which.tenant_id.as_uuid()))
        .filter(event::Column::Seq.gt(stored_number(which.after)))
        .filter(event::Column::State.eq(which.state.as_str()))
        .filter(event::Column::OccurredAt.gte(stored_time(which.since)))
        .filter(event::Column::OccurredAt.lt(stored_time(which.until)))
        .order_by_asc(event::Column::Seq)
        .limit(limit)
        .into_tuple::<(Uuid, i64)>()
        .all(&transaction)
        .await
        .map_err(translate)?;
    let replayed = found.iter().map(|(_, seq)| number_from_row(*seq)).collect::<Result<Vec<_>, _>>()?;
    event::Entity::update_many()
        .col_expr(event::Column::Lane, Expr::value(None::<String>))
        .col_expr(event::Column::State, EventState::Pending.as_str().into())
        .col_expr(event::Column::DueAt, stored_time(now).into())
        .filter(event::Column::Id.is_in(found.iter().map(|(id, _)| *id)))
        .exec(&transaction)
        .await
        .map_err(translate)?;
    if !replayed.is_empty() {
        outboxes::due_by(&transaction, &outbox, stored_time(now)).await?;
    }
    authority::admin_key(&transaction, which.admin_key).await?;
    commit(transaction).await?;
    Ok(replayed)
}
