//! The directory's one row: its revision, and how many tenants there are.

use sea_orm::{QuerySelect as _, prelude::*, sea_query::ExprTrait as _};

use super::connection::{Transaction, translate};
use crate::store::{entity::directory, error::StoreError};

/// The only row of `directory`.
const DIRECTORY: i32 = 1;

/// Takes the next revision, and adds to the count of tenants. The row stays locked until the transaction ends, so revisions commit in
/// their order.
pub(super) async fn take_revision(transaction: &Transaction, new_tenants: i64) -> Result<i64, StoreError> {
    let rows = directory::Entity::update_many()
        .col_expr(directory::Column::Revision, Expr::col(directory::Column::Revision).add(1))
        .col_expr(directory::Column::TenantTotal, Expr::col(directory::Column::TenantTotal).add(new_tenants))
        .filter(directory::Column::Id.eq(DIRECTORY))
        .exec_with_returning(transaction)
        .await
        .map_err(translate)?;
    rows.first().map(|row| row.revision).ok_or_else(no_row)
}

/// Locks the row without taking a revision.
pub(super) async fn lock(transaction: &Transaction) -> Result<(), StoreError> {
    directory::Entity::find_by_id(DIRECTORY).lock_exclusive().one(transaction).await.map(drop).map_err(translate)
}

/// The row as it is.
pub(super) async fn read(transaction: &Transaction) -> Result<directory::Model, StoreError> {
    directory::Entity::find_by_id(DIRECTORY).one(transaction).await.map_err(translate)?.ok_or_else(no_row)
}

fn no_row() -> StoreError {
    StoreError::Broken("directory has no row".to_owned())
}
