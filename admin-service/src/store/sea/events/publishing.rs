//! Publishing: events get their numbers under the lock of their tenant's outbox, so the numbers have no gaps and follow the commits.

use std::collections::{HashMap, HashSet};

use sea_orm::{ActiveValue::Set, QuerySelect as _, prelude::*, sea_query::OnConflict};
use wire::{TenantId, time::now};

use super::super::{
    authority,
    connection::{SeaStore, Transaction, commit, translate},
    outboxes,
    values::{number_from_row, stored_time},
};
use crate::{
    domain::event::{EventState, PublishedEvent, Usage},
    store::{
        entity::{event, outbox, usage_record},
        error::StoreError,
        ports::{Publication, PublishError},
    },
};

/// Writes all of a publication, or nothing. Answers the number of each event.
pub(super) async fn publish(store: &SeaStore, publication: Publication) -> Result<Vec<u64>, PublishError> {
    let Publication { tenant_id, events, usage, admin_key } = publication;
    let transaction = store.begin_write().await?;
    let outbox = outboxes::lock(&transaction, tenant_id).await?;
    let mut numbers = published_before(&transaction, tenant_id, &events).await?;
    let mut rows = NewRows::begin(&transaction, outbox.clone(), tenant_id, &events).await?;
    let mut bodies: HashMap<&str, &str> = HashMap::new();
    for event in &events {
        // The same event may come twice in one publication too.
        if *bodies.entry(&event.id).or_insert(&event.body) != event.body {
            return Err(PublishError::Reused(event.id.clone()));
        }
        if !numbers.contains_key(&event.id) {
            numbers.insert(event.id.clone(), rows.add(event)?);
        }
    }
    rows.write(&transaction, &outbox).await?;
    count(&transaction, tenant_id, usage).await?;
    authority::admin_key(&transaction, admin_key).await?;
    commit(transaction).await?;
    Ok(events.iter().filter_map(|event| numbers.get(&event.id).copied()).collect())
}

/// The numbers of those events that came before.
///
/// # Errors
/// [`PublishError::Reused`] where one came with another content.
async fn published_before(
    transaction: &Transaction,
    tenant_id: TenantId,
    events: &[PublishedEvent],
) -> Result<HashMap<String, u64>, PublishError> {
    let found = event::Entity::find()
        .filter(event::Column::TenantId.eq(tenant_id.as_uuid()))
        .filter(event::Column::EventId.is_in(events.iter().map(|event| event.id.as_str())))
        .all(transaction)
        .await
        .map_err(translate)?;
    let mut numbers = HashMap::new();
    for row in found {
        let is_same = events.iter().filter(|event| event.id == row.event_id).all(|event| event.body == row.body);
        if !is_same {
            return Err(PublishError::Reused(row.event_id));
        }
        numbers.insert(row.event_id, number_from_row(row.seq)?);
    }
    Ok(numbers)
}

/// Rows of new events, as they are numbered.
struct NewRows {
    tenant_id: TenantId,
    last_seq: i64,
    has_endpoint: bool,
    /// The conversations in which an earlier event is pending.
    waiting: HashSet<String>,
    received_at: i64,
    is_due: bool,
    rows: Vec<event::ActiveModel>,
}

impl NewRows {
    async fn begin(
        transaction: &Transaction,
        outbox: outbox::Model,
        tenant_id: TenantId,
        events: &[PublishedEvent],
    ) -> Result<Self, StoreError> {
        let lanes: HashSet<&str> = events.iter().filter_map(lane).collect();
        let waiting = event::Entity::find()
            .select_only()
            .distinct()
            .column(event::Column::Lane)
            .filter(event::Column::TenantId.eq(tenant_id.as_uuid()))
            .filter(event::Column::State.eq(EventState::Pending.as_str()))
            .filter(event::Column::Lane.is_in(lanes))
            .into_tuple::<String>()
            .all(transaction)
            .await
            .map_err(translate)?;
        Ok(Self {
            tenant_id,
            last_seq: outbox.last_seq,
            has_endpoint: outboxes::has_callback(transaction, tenant_id).await?,
            waiting: waiting.into_iter().collect(),
            received_at: stored_time(now()),
            is_due: false,
            rows: Vec::with_capacity(events.len()),
        })
    }

    /// Numbers an event.
    fn add(&mut self, event: &PublishedEvent) -> Result<u64, StoreError> {
        self.last_seq += 1;
        let lane = lane(event);
        // Where an earlier event of the conversation is pending, this event becomes due when the earlier one is delivered or parked.
        let is_first = lane.is_none_or(|lane| self.waiting.insert(lane.to_owned()));
        let is_due = self.has_endpoint && is_first;
        self.is_due |= is_due;
        let state = if self.has_endpoint { EventState::Pending } else { EventState::NoEndpoint };
        self.rows.push(event::ActiveModel {
            id: Set(Uuid::now_v7()),
            tenant_id: Set(self.tenant_id.as_uuid()),
            seq: Set(self.last_seq),
            event_id: Set(event.id.clone()),
            event_type: Set(event.kind.as_str().to_owned()),
            lane: Set(lane.map(str::to_owned)),
            occurred_at: Set(stored_time(event.occurred_at)),
            received_at: Set(self.received_at),
            body: Set(event.body.clone()),
            traceparent: Set(event.traceparent.clone()),
            state: Set(state.as_str().to_owned()),
            attempts: Set(0),
            due_at: Set(is_due.then_some(self.received_at)),
        });
        number_from_row(self.last_seq)
    }

    async fn write(self, transaction: &Transaction, outbox: &outbox::Model) -> Result<(), StoreError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        event::Entity::insert_many(self.rows).exec_without_returning(transaction).await.map_err(translate)?;
        let due_at = if self.is_due {
            Some(outbox.due_at.map_or(self.received_at, |due| due.min(self.received_at)))
        } else {
            outbox.due_at
        };
        let changed = outbox::ActiveModel {
            tenant_id: Set(outbox.tenant_id),
            last_seq: Set(self.last_seq),
            due_at: Set(due_at),
            prune_at: Set(outbox.prune_at.or(Some(self.received_at))),
            ..Default::default()
        };
        outbox::Entity::update(changed).exec(transaction).await.map(drop).map_err(translate)
    }
}

/// The conversation in whose order an event is delivered.
fn lane(event: &PublishedEvent) -> Option<&str> {
    event.conversation_id.as_deref().filter(|_| !event.kind.is_best_effort())
}

/// Writes usage: a message that came before stays as it is.
async fn count(transaction: &Transaction, tenant_id: TenantId, usage: Vec<Usage>) -> Result<(), StoreError> {
    if usage.is_empty() {
        return Ok(());
    }
    let rows = usage.into_iter().map(|usage| usage_record::ActiveModel {
        tenant_id: Set(tenant_id.as_uuid()),
        message_id: Set(usage.message_id),
        created_at: Set(stored_time(usage.created_at)),
    });
    let known =
        OnConflict::columns([usage_record::Column::TenantId, usage_record::Column::MessageId]).do_nothing().to_owned();
    usage_record::Entity::insert_many(rows)
        .on_conflict(known)
        .exec_without_returning(transaction)
        .await
        .map(drop)
        .map_err(translate)
}
