//! Rows of events and attempts as the domain has them.

use std::time::Duration;

use sea_orm::prelude::*;
use wire::{
    TenantId,
    events::EventType,
    time::{as_millis, from_unix_ms},
};

use crate::{
    domain::event::{EventState, EventView},
    store::{
        entity::{event, event_attempt},
        error::{Missing, StoreError},
        ports::{AttemptRecord, DueEvent},
    },
};

use super::super::{
    connection::translate,
    values::{broken_row, number_from_row, stored_number, stored_time},
};

/// One event of a tenant.
///
/// # Errors
/// [`StoreError::NotFound`].
pub(super) async fn find(
    connection: &impl ConnectionTrait,
    tenant_id: TenantId,
    event_id: &str,
) -> Result<event::Model, StoreError> {
    let found = event::Entity::find()
        .filter(event::Column::TenantId.eq(tenant_id.as_uuid()))
        .filter(event::Column::EventId.eq(event_id))
        .one(connection)
        .await;
    found.map_err(translate)?.ok_or(StoreError::NotFound(Missing::Event))
}

/// An event as callers are shown it. A pending one of an outbox that is held is held.
pub(super) fn view(row: event::Model, outbox_is_held: bool) -> Result<EventView, StoreError> {
    let state = state(&row)?;
    let state = if outbox_is_held && state == EventState::Pending { EventState::Held } else { state };
    Ok(EventView {
        seq: number_from_row(row.seq)?,
        attempts: u32::try_from(row.attempts).unwrap_or_default(),
        next_attempt_at: row.due_at.filter(|_| state == EventState::Pending).map(from_unix_ms),
        body: row.body,
        state,
    })
}

fn state(row: &event::Model) -> Result<EventState, StoreError> {
    EventState::from_text(&row.state).ok_or_else(|| broken_row("event.state", &row.state))
}

pub(super) fn due(row: event::Model) -> Result<DueEvent, StoreError> {
    Ok(DueEvent {
        seq: number_from_row(row.seq)?,
        event_id: row.event_id,
        // A newer version may have published a type that this one does not know. It is delivered all the same: otherwise it would hold up
        // all others.
        is_best_effort: EventType::from_text(&row.event_type).is_some_and(EventType::is_best_effort),
        event_type: row.event_type,
        lane: row.lane,
        occurred_at: from_unix_ms(row.occurred_at),
        received_at: from_unix_ms(row.received_at),
        body: row.body,
        traceparent: row.traceparent,
        attempts: u32::try_from(row.attempts).unwrap_or_default(),
    })
}

/// An attempt's row.
pub(super) fn attempt_row(
    tenant_id: TenantId,
    seq: u64,
    number: i32,
    attempt: &AttemptRecord,
) -> event_attempt::ActiveModel {
    use sea_orm::ActiveValue::Set;
    event_attempt::ActiveModel {
        tenant_id: Set(tenant_id.as_uuid()),
        seq: Set(stored_number(seq)),
        number: Set(number),
        started_at: Set(stored_time(attempt.started_at)),
        latency_ms: Set(stored_number(as_millis(attempt.latency))),
        status: Set(attempt.status.map(i32::from)),
        reason: Set(attempt.reason.clone()),
        answer: Set(attempt.answer.clone()),
    }
}

pub(super) fn attempt(row: event_attempt::Model) -> AttemptRecord {
    AttemptRecord {
        started_at: from_unix_ms(row.started_at),
        latency: Duration::from_millis(row.latency_ms.unsigned_abs()),
        status: row.status.and_then(|status| u16::try_from(status).ok()),
        reason: row.reason,
        answer: row.answer,
    }
}
