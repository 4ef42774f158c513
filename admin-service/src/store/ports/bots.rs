//! The port to bots.

use async_trait::async_trait;
use uuid::Uuid;
use wire::TenantId;

use crate::{
    domain::{audit::AuditEntry, bot::Bot},
    store::error::StoreError,
};

/// A tenant's bots. Each change is made for an account key, `by`. The transaction that writes the change checks the key once more:
/// otherwise the key could be revoked, or the tenant suspended, between the check and the change.
#[async_trait]
pub trait BotStore: Send + Sync {
    /// Writes a new bot, unless the tenant has `most`.
    ///
    /// # Errors
    /// [`StoreError::Full`] where there are too many.
    async fn create_bot(&self, by: Uuid, bot: Bot, most: usize, audit: AuditEntry) -> Result<(), StoreError>;

    /// A tenant's bots, the oldest first.
    async fn bots(&self, tenant_id: TenantId) -> Result<Vec<Bot>, StoreError>;
}
