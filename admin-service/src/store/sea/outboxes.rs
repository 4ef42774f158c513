//! The tenants' outboxes: a row for each tenant, which gives events their numbers and says whether and when they are sent.
//!
//! Publishing and recording both lock the tenant's row first. So each sees what the other committed: which events of a conversation are
//! pending, and when the next one is due.

use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, QuerySelect as _, prelude::*};
use wire::TenantId;

use super::{
    connection::{Transaction, translate},
    values::stored_time,
};
use crate::{
    domain::tenant::TenantStatus,
    store::{
        entity::{event, outbox, tenant},
        error::{Missing, StoreError},
    },
};

/// Makes a new tenant's outbox.
pub(super) async fn insert(transaction: &Transaction, tenant_id: TenantId) -> Result<(), StoreError> {
    let row = outbox::ActiveModel {
        tenant_id: Set(tenant_id.as_uuid()),
        last_seq: Set(0),
        first_seq: Set(1),
        prune_at: Set(None),
        is_held: Set(false),
        is_restarted: Set(false),
        failing_since: Set(None),
        failures: Set(0),
        due_at: Set(None),
        claim: Set(0),
        claimed_until: Set(0),
    };
    outbox::Entity::insert(row).exec_without_returning(transaction).await.map(drop).map_err(translate)
}

/// Locks a tenant's outbox.
///
/// # Errors
/// [`StoreError::NotFound`] where there is no such tenant.
pub(super) async fn lock(transaction: &Transaction, tenant_id: TenantId) -> Result<outbox::Model, StoreError> {
    let found = outbox::Entity::find_by_id(tenant_id.as_uuid()).lock_exclusive().one(transaction).await;
    found.map_err(translate)?.ok_or(StoreError::NotFound(Missing::Tenant))
}

/// Whether a tenant has a callback now.
pub(super) async fn has_callback(transaction: &Transaction, tenant_id: TenantId) -> Result<bool, StoreError> {
    let settings = tenant::Entity::find_by_id(tenant_id.as_uuid())
        .select_only()
        .column(tenant::Column::Settings)
        .into_tuple::<Json>()
        .one(transaction)
        .await
        .map_err(translate)?
        .ok_or(StoreError::NotFound(Missing::Tenant))?;
    Ok(settings.get("callback_url_base").is_some_and(|url| !url.is_null()))
}

/// Whether nothing is sent for a tenant.
fn is_held(row: &tenant::Model) -> bool {
    row.status != TenantStatus::Active.as_str() || row.endpoint_stopped_at.is_some()
}

/// Lets the outbox follow a change of its tenant, in the change's transaction. It is held while the tenant is suspended or its endpoint
/// stopped. Where that ends, and where the callback is another one, everything that waits is due at once.
pub(super) async fn follow(
    transaction: &Transaction,
    before: &tenant::Model,
    after: &tenant::Model,
    at: Timestamp,
) -> Result<(), StoreError> {
    let callback = |row: &tenant::Model| row.settings.get("callback_url_base").cloned();
    let is_freed = is_held(before) && !is_held(after);
    let mut update = outbox::Entity::update_many().filter(outbox::Column::TenantId.eq(after.id));
    if is_held(before) == is_held(after) && callback(before) == callback(after) {
        return Ok(());
    }
    update = update.col_expr(outbox::Column::IsHeld, is_held(after).into());
    if is_freed || callback(before) != callback(after) {
        update = update
            .col_expr(outbox::Column::IsRestarted, true.into())
            .col_expr(outbox::Column::FailingSince, Expr::value(None::<i64>))
            .col_expr(outbox::Column::Failures, 0_i32.into())
            .col_expr(outbox::Column::DueAt, stored_time(at).into());
    }
    update.exec(transaction).await.map(drop).map_err(translate)
}

/// When the next event of a tenant is due.
pub(super) async fn next_due(transaction: &Transaction, tenant_id: TenantId) -> Result<Option<i64>, StoreError> {
    event::Entity::find()
        .select_only()
        .column_as(event::Column::DueAt.min(), "due_at")
        .filter(event::Column::TenantId.eq(tenant_id.as_uuid()))
        .filter(event::Column::DueAt.is_not_null())
        .into_tuple::<Option<i64>>()
        .one(transaction)
        .await
        .map(Option::flatten)
        .map_err(translate)
}

/// Has the outbox looked at when an event is due that was not before.
pub(super) async fn due_by(transaction: &Transaction, row: &outbox::Model, at: i64) -> Result<(), StoreError> {
    let due_at = row.due_at.filter(|due| *due < at).unwrap_or(at);
    outbox::Entity::update_many()
        .col_expr(outbox::Column::DueAt, due_at.into())
        .filter(outbox::Column::TenantId.eq(row.tenant_id))
        .exec(transaction)
        .await
        .map(drop)
        .map_err(translate)
}
