//! Whether a caller's key is still valid, asked within the transaction that is made with it.

use sea_orm::{QuerySelect as _, prelude::*};
use wire::time::now;

use super::connection::{Transaction, translate};
use crate::{
    domain::{account_key::AccountKey, admin_key::AdminKey, tenant::TenantStatus},
    store::{
        entity::{account_key, admin_key, tenant},
        error::StoreError,
    },
};

/// Checks, right before a transaction commits, that its caller's scoped admin key is still valid. The lock keeps a revocation waiting
/// until the transaction has ended. Nothing but the audit log may be locked after it: two transactions could wait for each other.
///
/// # Errors
/// [`StoreError::AdminKeyOver`].
pub(super) async fn admin_key(transaction: &Transaction, id: Option<Uuid>) -> Result<(), StoreError> {
    let Some(id) = id else { return Ok(()) };
    let found = admin_key::Entity::find_by_id(id).lock_shared().one(transaction).await;
    let row = found.map_err(translate)?;
    let key = row.map(AdminKey::try_from).transpose()?;
    if key.is_some_and(|key| key.is_valid(now())) { Ok(()) } else { Err(StoreError::AdminKeyOver) }
}

/// Checks that an account key may still have its change.
pub(super) async fn account_key(transaction: &Transaction, id: Uuid) -> Result<(), StoreError> {
    let row = account_key::Entity::find_by_id(id).one(transaction).await.map_err(translate)?;
    let Some(row) = row else { return Err(StoreError::Unauthorized) };
    let tenant = tenant::Entity::find_by_id(row.tenant_id).one(transaction).await.map_err(translate)?;
    let is_active = tenant.is_some_and(|tenant| tenant.status == TenantStatus::Active.as_str());
    if is_active && AccountKey::try_from(row)?.is_valid(now()) { Ok(()) } else { Err(StoreError::Unauthorized) }
}
