//! Claims: which worker may deliver an outbox, and for how long.

use std::time::Duration;

use jiff::Timestamp;
use sea_orm::{
    DbBackend, FromQueryResult, QueryOrder as _, QuerySelect as _, Statement, Value, prelude::*,
    sea_query::ExprTrait as _,
};
use wire::{
    TenantId,
    time::{as_millis, from_unix_ms, now_unix_ms},
};

use super::{
    super::{
        connection::{SeaStore, Transaction, commit, translate},
        outboxes,
        values::{stored_number, stored_time},
    },
    rows,
};
use crate::{
    domain::event::EventState,
    store::{
        entity::{event, outbox, tenant},
        error::StoreError,
        ports::{Claim, DueEvent, Waiting},
    },
};

/// The database's own time in Unix milliseconds: replicas that share a database need not have the same clock. SQLite has one replica.
fn clock(backend: DbBackend) -> String {
    match backend {
        DbBackend::Postgres => "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint".to_owned(),
        _ => now_unix_ms().to_string(),
    }
}

#[derive(FromQueryResult)]
struct Claimed {
    tenant_id: Uuid,
    claim: i64,
    is_restarted: bool,
}

/// Claims outboxes in which an event is due. On PostgreSQL, replicas that claim at the same time skip each other's rows.
pub(super) async fn claim(store: &SeaStore, most: u64, period: Duration) -> Result<Vec<Claim>, StoreError> {
    let backend = store.connection.get_database_backend();
    let skip = if backend == DbBackend::Postgres { "FOR UPDATE SKIP LOCKED" } else { "" };
    let clock = clock(backend);
    let sql = format!(
        "UPDATE outbox SET claim = claim + 1, claimed_until = {clock} + $1 WHERE tenant_id IN (SELECT tenant_id FROM outbox \
         WHERE due_at IS NOT NULL AND NOT is_held AND due_at <= {clock} AND claimed_until <= {clock} ORDER BY due_at LIMIT $2 \
         {skip}) RETURNING tenant_id, claim, is_restarted"
    );
    let values: [Value; 2] = [stored_number(as_millis(period)).into(), stored_number(most).into()];
    let statement = Statement::from_sql_and_values(backend, sql, values);
    let claimed = Claimed::find_by_statement(statement).all(&store.connection).await.map_err(translate)?;
    Ok(claimed
        .into_iter()
        .map(|row| Claim { tenant_id: row.tenant_id.into(), token: row.claim, is_restarted: row.is_restarted })
        .collect())
}

/// Locks the outbox of a claim; `None` where the claim is over. A claim whose time has run out stands until another worker has the
/// outbox, for nobody else delivers it until then.
pub(super) async fn lock(transaction: &Transaction, claim: Claim) -> Result<Option<outbox::Model>, StoreError> {
    let row = outboxes::lock(transaction, claim.tenant_id).await?;
    Ok(Some(row).filter(|row| row.claim == claim.token))
}

/// Writes when an outbox is due next, and until when it is claimed: 0 ends the claim.
pub(super) async fn renew(transaction: &Transaction, claim: Claim, period: Duration) -> Result<(), StoreError> {
    let due_at = outboxes::next_due(transaction, claim.tenant_id).await?;
    let until = if period.is_zero() {
        Expr::value(0_i64)
    } else {
        let clock = clock(transaction.get_database_backend());
        Expr::cust(clock).add(stored_number(as_millis(period)))
    };
    outbox::Entity::update_many()
        .col_expr(outbox::Column::DueAt, Expr::value(due_at))
        .col_expr(outbox::Column::ClaimedUntil, until)
        .filter(outbox::Column::TenantId.eq(claim.tenant_id.as_uuid()))
        .exec(transaction)
        .await
        .map(drop)
        .map_err(translate)
}

/// Makes everything due that waits for another attempt.
pub(super) async fn restart(store: &SeaStore, claim: Claim, now: Timestamp) -> Result<bool, StoreError> {
    let transaction = store.begin_write().await?;
    if lock(&transaction, claim).await?.is_none() {
        return Ok(false);
    }
    event::Entity::update_many()
        .col_expr(event::Column::DueAt, stored_time(now).into())
        .filter(event::Column::TenantId.eq(claim.tenant_id.as_uuid()))
        .filter(event::Column::DueAt.is_not_null())
        .exec(&transaction)
        .await
        .map_err(translate)?;
    outbox::Entity::update_many()
        .col_expr(outbox::Column::IsRestarted, false.into())
        .filter(outbox::Column::TenantId.eq(claim.tenant_id.as_uuid()))
        .exec(&transaction)
        .await
        .map_err(translate)?;
    commit(transaction).await?;
    Ok(true)
}

/// Events that are due, the longest due first.
pub(super) async fn due(
    store: &SeaStore,
    tenant_id: TenantId,
    now: Timestamp,
    limit: u64,
) -> Result<Vec<DueEvent>, StoreError> {
    let found = event::Entity::find()
        .filter(event::Column::TenantId.eq(tenant_id.as_uuid()))
        .filter(event::Column::DueAt.is_not_null())
        .filter(event::Column::DueAt.lte(stored_time(now)))
        .order_by_asc(event::Column::DueAt)
        .order_by_asc(event::Column::Seq)
        .limit(limit)
        .all(&store.connection)
        .await
        .map_err(translate)?;
    found.into_iter().map(rows::due).collect()
}

/// The tenant has no callback: what is pending is kept for pulling alone.
pub(super) async fn give_up(store: &SeaStore, claim: Claim) -> Result<(), StoreError> {
    let transaction = store.begin_write().await?;
    if lock(&transaction, claim).await?.is_none() {
        return Ok(());
    }
    event::Entity::update_many()
        .col_expr(event::Column::State, EventState::NoEndpoint.as_str().into())
        .col_expr(event::Column::DueAt, Expr::value(None::<i64>))
        .filter(event::Column::TenantId.eq(claim.tenant_id.as_uuid()))
        .filter(event::Column::State.eq(EventState::Pending.as_str()))
        .exec(&transaction)
        .await
        .map_err(translate)?;
    renew(&transaction, claim, Duration::ZERO).await?;
    commit(transaction).await
}

/// Ends a claim.
pub(super) async fn release(store: &SeaStore, claim: Claim) -> Result<(), StoreError> {
    let transaction = store.begin_write().await?;
    if lock(&transaction, claim).await?.is_some() {
        renew(&transaction, claim, Duration::ZERO).await?;
    }
    commit(transaction).await
}

/// How much waits in all outboxes.
pub(super) async fn waiting(store: &SeaStore) -> Result<Waiting, StoreError> {
    let (events, oldest) = event::Entity::find()
        .select_only()
        .column_as(event::Column::Id.count(), "events")
        .column_as(event::Column::ReceivedAt.min(), "oldest")
        .filter(event::Column::State.eq(EventState::Pending.as_str()))
        .into_tuple::<(i64, Option<i64>)>()
        .one(&store.connection)
        .await
        .map_err(translate)?
        .unwrap_or_default();
    let stopped = tenant::Entity::find().filter(tenant::Column::EndpointStoppedAt.is_not_null());
    let stopped_endpoints = stopped.count(&store.connection).await.map_err(translate)?;
    Ok(Waiting { events: events.unsigned_abs(), oldest: oldest.map(from_unix_ms), stopped_endpoints })
}
