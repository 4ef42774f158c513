//! Claims: which worker may deliver an outbox, and for how long.

use std::time::Duration;

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
        values::stored_number,
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
/// It is the statement's, so that PostgreSQL can look it up in an index.
fn clock(backend: DbBackend) -> String {
    match backend {
        DbBackend::Postgres => "(EXTRACT(EPOCH FROM statement_timestamp()) * 1000)::bigint".to_owned(),
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
    let transaction = store.begin_write().await?;
    let backend = transaction.get_database_backend();
    let clock = clock(backend);
    let due = format!(
        "SELECT tenant_id FROM outbox WHERE due_at IS NOT NULL AND NOT is_held AND due_at <= {clock} AND claimed_until <= {clock} \
         ORDER BY due_at LIMIT $2"
    );
    let those = match backend {
        // An array is made once. PostgreSQL may run a plain subquery more than once, and claim more than the limit.
        DbBackend::Postgres => format!("= ANY(ARRAY({due} FOR UPDATE SKIP LOCKED))"),
        _ => format!("IN ({due})"),
    };
    let sql = format!(
        "UPDATE outbox SET claim = claim + 1, claimed_until = {clock} + $1 WHERE tenant_id {those} \
         RETURNING tenant_id, claim, is_restarted"
    );
    let values: [Value; 2] = [stored_number(as_millis(period)).into(), stored_number(most).into()];
    let statement = Statement::from_sql_and_values(backend, sql, values);
    let claimed = Claimed::find_by_statement(statement).all(&transaction).await.map_err(translate)?;
    commit(transaction).await?;
    Ok(claimed
        .into_iter()
        .map(|row| Claim { tenant_id: row.tenant_id.into(), token: row.claim, is_restarted: row.is_restarted })
        .collect())
}

/// Locks the outbox of a claim; `None` where the claim is over. A claim that has run out still counts until another worker claims the
/// outbox, because until then no other worker delivers it.
pub(super) async fn lock(transaction: &Transaction, claim: Claim) -> Result<Option<outbox::Model>, StoreError> {
    let row = outboxes::lock(transaction, claim.tenant_id).await?;
    Ok(Some(row).filter(|row| row.claim == claim.token))
}

/// Stores when an outbox is due next, and renews its claim for `period`; a period of zero ends the claim. If the outbox is marked to be
/// restarted, it stays due now.
pub(super) async fn renew(
    transaction: &Transaction,
    outbox: &outbox::Model,
    claim: Claim,
    period: Duration,
) -> Result<(), StoreError> {
    let due_at = match outbox.is_restarted {
        true => outbox.due_at,
        false => outboxes::next_due(transaction, claim.tenant_id).await?,
    };
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

/// Events that are due, the longest due first.
pub(super) async fn due(store: &SeaStore, tenant_id: TenantId, limit: u64) -> Result<Vec<DueEvent>, StoreError> {
    let clock = clock(store.connection.get_database_backend());
    let found = event::Entity::find()
        .filter(event::Column::TenantId.eq(tenant_id.as_uuid()))
        .filter(event::Column::DueAt.is_not_null())
        .filter(Expr::col(event::Column::DueAt).lte(Expr::cust(clock)))
        .order_by_asc(event::Column::DueAt)
        .order_by_asc(event::Column::Seq)
        .limit(limit)
        .all(&store.connection)
        .await
        .map_err(translate)?;
    found.into_iter().map(rows::due).collect()
}

/// Ends a claim.
pub(super) async fn release(store: &SeaStore, claim: Claim) -> Result<(), StoreError> {
    let transaction = store.begin_write().await?;
    if let Some(outbox) = lock(&transaction, claim).await? {
        renew(&transaction, &outbox, claim, Duration::ZERO).await?;
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
