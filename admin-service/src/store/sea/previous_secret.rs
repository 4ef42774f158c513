//! The secret before a rotation with overlap, in its tenant's row.

use std::time::Duration;

use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, QuerySelect as _, prelude::*, sea_query::ExprTrait as _};
use wire::time::{after_unix_ms, from_unix_ms, now_unix_ms};

use super::{
    connection::{SeaStore, commit, translate},
    values::stored_time,
};
use crate::{
    domain::tenant::PreviousSecret,
    store::{entity::tenant, error::StoreError, ports::PreviousUse},
};

/// Secrets that are removed in one round; the rest waits for the next.
const FORGOTTEN_AT_ONCE: u64 = 1000;

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
        row.previous_sealed_secret = Set(Some(before.sealed_secret.clone()));
        row.previous_rotated_at = Set(Some(stored_time(at)));
        // Not from `at`, which may be ahead of this replica's clock.
        row.previous_expires_at = Set(Some(after_unix_ms(now_unix_ms(), overlap)));
    }
}

/// Each in a transaction of its own, so that no change of a tenant waits for all of them.
pub(super) async fn note_uses(store: &SeaStore, gateway: &str, uses: &[PreviousUse]) -> Result<(), StoreError> {
    use tenant::Column;
    for PreviousUse { tenant_id, rotated_at, used_at } in uses {
        let transaction = store.begin_write().await?;
        let used_at = stored_time(*used_at);
        tenant::Entity::update_many()
            .col_expr(Column::PreviousLastUsedAt, used_at.into())
            .col_expr(Column::PreviousLastUsedBy, gateway.into())
            .filter(Column::Id.eq(tenant_id.as_uuid()))
            .filter(Column::PreviousRotatedAt.eq(stored_time(*rotated_at)))
            .filter(Column::PreviousLastUsedAt.is_null().or(Column::PreviousLastUsedAt.lt(used_at)))
            .exec(&transaction)
            .await
            .map_err(translate)?;
        commit(transaction).await?;
    }
    Ok(())
}

/// Removes those that have ended. Gateways know their end, so no revision is taken.
pub(super) async fn forget(store: &SeaStore) -> Result<(), StoreError> {
    use tenant::Column;
    let has_ended = || Column::PreviousExpiresAt.lte(now_unix_ms());
    let ended = tenant::Entity::find().select_only().column(Column::Id).filter(has_ended()).limit(FORGOTTEN_AT_ONCE);
    let ended: Vec<Uuid> = ended.into_tuple().all(&store.connection).await.map_err(translate)?;
    for id in ended {
        let transaction = store.begin_write().await?;
        let mut cleared = <tenant::ActiveModel as Default>::default();
        clear(&mut cleared);
        let one = tenant::Entity::update_many().set(cleared).filter(Column::Id.eq(id)).filter(has_ended());
        one.exec(&transaction).await.map_err(translate)?;
        commit(transaction).await?;
    }
    Ok(())
}
