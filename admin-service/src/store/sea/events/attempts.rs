//! Results of attempts: written under the claim that they were made under, or refused.

use std::time::Duration;

use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, QueryOrder as _, QuerySelect as _, prelude::*};
use wire::{TenantId, time::from_unix_ms};

use super::{
    super::{
        connection::{SeaStore, Transaction, commit, translate},
        values::{stored_number, stored_time},
    },
    claims, rows,
};
use crate::{
    domain::event::EventState,
    store::{
        entity::{event, event_attempt, outbox},
        error::StoreError,
        ports::{AttemptResult, Claim, Failing, NextStep, Recorded},
    },
};

/// Writes results, makes the next events of their conversations due, and renews the claim.
pub(super) async fn record(
    store: &SeaStore,
    claim: Claim,
    results: &[AttemptResult],
    period: Duration,
) -> Result<Recorded, StoreError> {
    let transaction = store.begin_write().await?;
    let Some(outbox) = claims::lock(&transaction, claim).await? else { return Ok(Recorded::ClaimLost) };
    for result in results {
        write(&transaction, claim.tenant_id, result).await?;
    }
    let mut failing = outbox.failing_since.map(|since| (since, outbox.failures));
    for result in results {
        match result.has_failed {
            Some(true) => {
                let (since, failures) = failing.unwrap_or((stored_time(result.attempt.started_at), 0));
                failing = Some((since, failures.saturating_add(1)));
            }
            Some(false) => failing = None,
            None => {}
        }
    }
    let changed = outbox::ActiveModel {
        tenant_id: Set(outbox.tenant_id),
        failing_since: Set(failing.map(|(since, _)| since)),
        failures: Set(failing.map_or(0, |(_, failures)| failures)),
        ..Default::default()
    };
    outbox::Entity::update(changed).exec(&transaction).await.map_err(translate)?;
    claims::renew(&transaction, &outbox, claim, period).await?;
    commit(transaction).await?;
    let failing = failing.map(|(since, attempts)| Failing {
        since: from_unix_ms(since),
        attempts: u32::try_from(attempts).unwrap_or_default(),
    });
    Ok(Recorded::Written { failing, is_restarted: outbox.is_restarted })
}

/// Writes one attempt, and what becomes of its event.
async fn write(transaction: &Transaction, tenant_id: TenantId, result: &AttemptResult) -> Result<(), StoreError> {
    let found = event::Entity::find()
        .filter(event::Column::TenantId.eq(tenant_id.as_uuid()))
        .filter(event::Column::Seq.eq(stored_number(result.seq)))
        .one(transaction)
        .await
        .map_err(translate)?;
    // It may have been removed as the tenant was.
    let Some(row) = found else { return Ok(()) };
    let number = row.attempts + 1;
    let attempt = rows::attempt_row(tenant_id, result.seq, number, &result.attempt);
    event_attempt::Entity::insert(attempt).exec_without_returning(transaction).await.map_err(translate)?;
    let (state, due_at) = match result.next {
        NextStep::Finished(state) => (state, None),
        NextStep::Again(at) => (EventState::Pending, Some(stored_time(at))),
    };
    let lane = row.lane.clone();
    let changed = event::ActiveModel {
        id: Set(row.id),
        state: Set(state.as_str().to_owned()),
        attempts: Set(number),
        due_at: Set(due_at),
        ..Default::default()
    };
    event::Entity::update(changed).exec(transaction).await.map_err(translate)?;
    match lane.filter(|_| due_at.is_none()) {
        Some(lane) => free_next(transaction, tenant_id, &lane, result.attempt.started_at).await,
        None => Ok(()),
    }
}

/// Makes the first pending event of a conversation due, where an earlier one held it up.
async fn free_next(
    transaction: &Transaction,
    tenant_id: TenantId,
    lane: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    let next = event::Entity::find()
        .filter(event::Column::TenantId.eq(tenant_id.as_uuid()))
        .filter(event::Column::Lane.eq(lane))
        .filter(event::Column::State.eq(EventState::Pending.as_str()))
        .order_by_asc(event::Column::Seq)
        .limit(1)
        .one(transaction)
        .await
        .map_err(translate)?;
    let Some(next) = next.filter(|next| next.due_at.is_none()) else { return Ok(()) };
    let changed = event::ActiveModel { id: Set(next.id), due_at: Set(Some(stored_time(at))), ..Default::default() };
    event::Entity::update(changed).exec(transaction).await.map(drop).map_err(translate)
}
