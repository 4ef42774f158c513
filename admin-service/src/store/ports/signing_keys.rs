//! The port to the keys that sign tokens.

use async_trait::async_trait;
use uuid::Uuid;

use crate::{
    domain::{audit::AuditEntry, signing_key::SealedSigningKey},
    store::{error::StoreError, revision::AtRevision},
};

/// Keys that sign tokens.
#[async_trait]
pub trait SigningKeyStore: Send + Sync {
    /// The keys that are not retired, newest first.
    async fn signing_keys(&self) -> Result<Vec<SealedSigningKey>, StoreError>;

    /// Every key there ever was, newest first.
    async fn all_signing_keys(&self) -> Result<Vec<SealedSigningKey>, StoreError>;

    /// A secret of this deployment's by its name: the one that is kept, or `sealed`, which is then kept. Of several replicas that
    /// start at once one wins.
    async fn ensure_secret(&self, name: &'static str, sealed: Vec<u8>) -> Result<Vec<u8>, StoreError>;

    /// Writes `key` unless there is one already that is not retired. Of several replicas that start at once one wins.
    async fn ensure_signing_key(&self, key: SealedSigningKey) -> Result<(), StoreError>;

    /// Writes `key`, and retires keys that have not begun to sign: they would take over from it later.
    ///
    /// # Errors
    /// [`StoreError::Full`] where `most` keys have begun to sign and are not retired.
    async fn add_signing_key(
        &self,
        key: SealedSigningKey,
        most: usize,
        audit: AuditEntry,
    ) -> Result<AtRevision<()>, StoreError>;

    /// Retires a key and erases its private half. A key that is retired already is answered as it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::InUse`] where it is the key that signs now, among those that `open`.
    async fn retire_signing_key(
        &self,
        id: Uuid,
        open: &[Uuid],
        audit: AuditEntry,
    ) -> Result<AtRevision<SealedSigningKey>, StoreError>;
}
