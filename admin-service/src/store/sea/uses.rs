//! When keys were last used. Writing this takes no revision and leaves no audit row, because no gateway caches it.

use jiff::Timestamp;
use sea_orm::{prelude::*, sea_query::ExprTrait as _};

use super::{
    connection::{SeaStore, commit, translate},
    values::stored_time,
};
use crate::store::error::StoreError;

/// Notes when rows were last used. A later use that another replica has noted stays.
pub(super) async fn note_last_used<E: EntityTrait>(
    store: &SeaStore,
    (id, last_used_at): (E::Column, E::Column),
    used: &[(Uuid, Timestamp)],
) -> Result<(), StoreError> {
    let transaction = store.begin_write().await?;
    for (key, at) in used {
        E::update_many()
            .col_expr(last_used_at, stored_time(*at).into())
            .filter(id.eq(*key))
            .filter(last_used_at.is_null().or(last_used_at.lt(stored_time(*at))))
            .exec(&transaction)
            .await
            .map_err(translate)?;
    }
    commit(transaction).await
}
