//! Looking at events: in the order of their numbers, one with its attempts, and pages for operators.

use sea_orm::{QueryOrder as _, QuerySelect as _, prelude::*};
use wire::TenantId;

use super::{
    super::{
        connection::{SeaStore, end_read, translate},
        values::{number_from_row, stored_number, stored_time},
    },
    rows,
};
use crate::{
    domain::event::{EventState, EventView},
    store::{
        entity::{event, event_attempt, outbox},
        error::{Missing, StoreError},
        page::Page,
        ports::{AttemptRecord, EventFilter, EventsAfter},
    },
};

/// Bodies of a page, in bytes: a gRPC message has at most 4 MiB.
const LARGEST_PAGE: usize = 2 * 1024 * 1024;

/// Events after a number; without one, from the oldest that is kept.
pub(super) async fn after(
    store: &SeaStore,
    tenant_id: TenantId,
    after: Option<u64>,
    limit: u64,
) -> Result<EventsAfter, StoreError> {
    let transaction = store.begin_read().await?;
    let outbox = outbox::Entity::find_by_id(tenant_id.as_uuid()).one(&transaction).await.map_err(translate)?;
    let outbox = outbox.ok_or(StoreError::NotFound(Missing::Tenant))?;
    let after = after.map_or(outbox.first_seq - 1, stored_number);
    let found = event::Entity::find()
        .filter(event::Column::TenantId.eq(tenant_id.as_uuid()))
        .filter(event::Column::Seq.gt(after))
        .order_by_asc(event::Column::Seq)
        .limit(limit)
        .all(&transaction)
        .await
        .map_err(translate)?;
    end_read(transaction).await?;
    // Read committed: events may have been removed after the outbox was read, so the rows themselves must show that none is missing.
    let next = after.saturating_add(1);
    let first = found.first().map_or(outbox.last_seq + 1, |row| row.seq);
    if first > next && next <= outbox.last_seq || next < outbox.first_seq {
        return Ok(EventsAfter::Expired { first_seq: number_from_row(first.max(outbox.first_seq))? });
    }
    let found = within(found);
    let next = number_from_row(found.last().map_or(after, |row| row.seq))?;
    let items = found.into_iter().map(|row| rows::view(row, outbox.is_held)).collect::<Result<_, _>>()?;
    Ok(EventsAfter::Events { items, next })
}

/// As many events as an answer over gRPC may hold, and at least one.
fn within(mut rows: Vec<event::Model>) -> Vec<event::Model> {
    let mut bytes = 0;
    let fit = rows.iter().take_while(|row| {
        bytes += row.body.len();
        bytes <= LARGEST_PAGE
    });
    let fit = fit.count().max(1);
    rows.truncate(fit);
    rows
}

/// One event, with every attempt.
pub(super) async fn one(
    store: &SeaStore,
    tenant_id: TenantId,
    event_id: &str,
) -> Result<(EventView, Vec<AttemptRecord>), StoreError> {
    let row = rows::find(&store.connection, tenant_id, event_id).await?;
    let attempts = event_attempt::Entity::find()
        .filter(event_attempt::Column::TenantId.eq(tenant_id.as_uuid()))
        .filter(event_attempt::Column::Seq.eq(row.seq))
        .order_by_asc(event_attempt::Column::Number)
        .all(&store.connection)
        .await
        .map_err(translate)?;
    let view = rows::view(row, is_held(store, tenant_id.as_uuid()).await?)?;
    Ok((view, attempts.into_iter().map(rows::attempt).collect()))
}

async fn is_held(store: &SeaStore, tenant_id: Uuid) -> Result<bool, StoreError> {
    let outbox = outbox::Entity::find_by_id(tenant_id).one(&store.connection).await.map_err(translate)?;
    Ok(outbox.is_some_and(|outbox| outbox.is_held))
}

/// A page of events of any tenants, newest first.
pub(super) async fn page(
    store: &SeaStore,
    filter: EventFilter,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Page<(TenantId, EventView)>, StoreError> {
    let mut query =
        event::Entity::find().find_also_related(outbox::Entity).order_by_desc(event::Column::Id).limit(limit + 1);
    if let Some(tenant_id) = filter.tenant_id {
        query = query.filter(event::Column::TenantId.eq(tenant_id.as_uuid()));
    }
    if let Some(state) = filter.state {
        // Being held is a state of the outbox.
        query = match state {
            EventState::Pending | EventState::Held => query
                .filter(event::Column::State.eq(EventState::Pending.as_str()))
                .filter(outbox::Column::IsHeld.eq(state == EventState::Held)),
            state => query.filter(event::Column::State.eq(state.as_str())),
        };
    }
    if let Some(event_type) = filter.event_type {
        query = query.filter(event::Column::EventType.eq(event_type));
    }
    if let Some(since) = filter.since {
        query = query.filter(event::Column::OccurredAt.gte(stored_time(since)));
    }
    if let Some(after) = after {
        query = query.filter(event::Column::Id.lt(after));
    }
    let mut found = query.all(&store.connection).await.map_err(translate)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(row, _)| row.id);
    let items = found
        .into_iter()
        .map(|(row, outbox)| Ok((row.tenant_id.into(), rows::view(row, outbox.is_some_and(|outbox| outbox.is_held))?)));
    Ok(Page { items: items.collect::<Result<_, StoreError>>()?, next })
}
