//! The secret before a rotation with overlap, in its tenant's row.

use std::time::Duration;

use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, prelude::*, sea_query::ExprTrait as _};
use wire::time::{as_millis, from_unix_ms, now};

use super::{
    connection::{SeaStore, commit, translate},
    values::stored_time,
};
use crate::{
    domain::tenant::PreviousSecret,
    store::{entity::tenant, error::StoreError, ports::PreviousUse},
};

/// What the row has of a previous secret, whether or not that has ended by now.
pub(super) fn read(row: &tenant::Model) -> Option<PreviousSecret> {
    row.previous_sealed_secret.as_ref()?;
    let rotated_at = row.previous_rotated_at.filter(|at| row.secret_rotated_at == Some(*at))?;
    Some(PreviousSecret {
        rotated_at: from_unix_ms(rotated_at),
        expires_at: from_unix_ms(row.previous_expires_at?),
        last_used_at: row.previous_last_used_at.map(from_unix_ms),
        last_used_by: row.previous_last_used_by.clone(),
    })
}

/// Writes on `row` that there is no previous secret.
pub(super) fn clear(row: &mut tenant::ActiveModel) {
    row.previous_sealed_secret = Set(None);
    row.previous_rotated_at = Set(None);
    row.previous_expires_at = Set(None);
    row.previous_last_used_at = Set(None);
    row.previous_last_used_by = Set(None);
}

/// Writes on `row` that the secret of `before` was replaced at `at`, and for how long it is accepted from then on.
pub(super) fn replace(before: &tenant::Model, row: &mut tenant::ActiveModel, at: Timestamp, overlap: Duration) {
    clear(row);
    if !overlap.is_zero() {
        let (at, overlap_ms) = (stored_time(at), i64::try_from(as_millis(overlap)).unwrap_or(i64::MAX));
        row.previous_sealed_secret = Set(Some(before.sealed_secret.clone()));
        row.previous_rotated_at = Set(Some(at));
        row.previous_expires_at = Set(Some(at.saturating_add(overlap_ms)));
    }
}

pub(super) async fn note_uses(store: &SeaStore, gateway: &str, uses: &[PreviousUse]) -> Result<(), StoreError> {
    use tenant::Column;
    let transaction = store.begin_write().await?;
    // In one order at every replica, so that two that write at once do not wait for each other.
    let mut uses = uses.to_vec();
    uses.sort_unstable_by_key(|one| one.tenant_id);
    for PreviousUse { tenant_id, rotated_at, used_at } in uses {
        let used_at = stored_time(used_at);
        tenant::Entity::update_many()
            .col_expr(Column::PreviousLastUsedAt, used_at.into())
            .col_expr(Column::PreviousLastUsedBy, gateway.into())
            .filter(Column::Id.eq(tenant_id.as_uuid()))
            .filter(Column::PreviousRotatedAt.eq(stored_time(rotated_at)))
            .filter(Column::PreviousLastUsedAt.is_null().or(Column::PreviousLastUsedAt.lt(used_at)))
            .exec(&transaction)
            .await
            .map_err(translate)?;
    }
    commit(transaction).await
}

/// Gateways have their end: no revision is taken.
pub(super) async fn forget(store: &SeaStore) -> Result<(), StoreError> {
    use tenant::Column;
    let transaction = store.begin_write().await?;
    let mut cleared = <tenant::ActiveModel as Default>::default();
    clear(&mut cleared);
    tenant::Entity::update_many()
        .set(cleared)
        .filter(Column::PreviousExpiresAt.lte(stored_time(now())))
        .exec(&transaction)
        .await
        .map_err(translate)?;
    commit(transaction).await
}
