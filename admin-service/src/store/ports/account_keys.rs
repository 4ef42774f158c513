//! The port to account keys.

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;
use wire::TenantId;

use crate::{
    domain::{account_key::AccountKey, audit::AuditEntry, tenant::TenantStatus},
    store::error::StoreError,
};

/// Account keys, found by the digest of their text.
#[async_trait]
pub trait AccountKeyStore: Send + Sync {
    /// Writes a new key, unless the tenant has `most` that are neither revoked nor expired.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is no such tenant, [`StoreError::Full`] where there are too many.
    async fn create_account_key(
        &self,
        key: AccountKey,
        digest: [u8; 32],
        most: usize,
        audit: AuditEntry,
    ) -> Result<(), StoreError>;

    /// A tenant's keys, newest first; `None` where there is no such tenant.
    async fn account_keys(&self, tenant_id: TenantId) -> Result<Option<Vec<AccountKey>>, StoreError>;

    /// Revokes a key. A key that is revoked stays as it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the tenant has no such key.
    async fn revoke_account_key(
        &self,
        tenant_id: TenantId,
        id: Uuid,
        audit: AuditEntry,
    ) -> Result<AccountKey, StoreError>;

    /// The key with this digest, and its tenant's status.
    async fn find_account_key(&self, digest: [u8; 32]) -> Result<Option<(AccountKey, TenantStatus)>, StoreError>;

    /// Notes when keys were last used.
    async fn account_keys_used(&self, used: &[(Uuid, Timestamp)]) -> Result<(), StoreError>;
}
