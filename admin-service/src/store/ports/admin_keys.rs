//! The port to admin keys.

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    domain::{admin_key::AdminKey, audit::AuditEntry},
    store::error::StoreError,
};

/// Admin keys, found by the digest of their text.
#[async_trait]
pub trait AdminKeyStore: Send + Sync {
    /// Writes a new key, unless there are `most` that are neither revoked nor expired.
    ///
    /// # Errors
    /// [`StoreError::Full`].
    async fn create_admin_key(
        &self,
        key: AdminKey,
        digest: [u8; 32],
        most: usize,
        audit: AuditEntry,
    ) -> Result<(), StoreError>;

    /// Every key, newest first.
    async fn admin_keys(&self) -> Result<Vec<AdminKey>, StoreError>;

    /// Revokes a key. A key that is revoked stays as it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    async fn revoke_admin_key(&self, id: Uuid, audit: AuditEntry) -> Result<AdminKey, StoreError>;

    /// The key with this digest.
    async fn find_admin_key(&self, digest: [u8; 32]) -> Result<Option<AdminKey>, StoreError>;

    /// Notes when keys were last used.
    async fn admin_keys_used(&self, used: &[(Uuid, Timestamp)]) -> Result<(), StoreError>;
}
