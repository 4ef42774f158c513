//! The port to bots.

use async_trait::async_trait;
use uuid::Uuid;
use wire::TenantId;

use crate::{
    domain::{audit::AuditEntry, bot::Bot},
    store::StoreError,
};

/// A tenant's bots. What is written is written on behalf of an account key, `by`, which is looked at once more in the writing's
/// own transaction: revoking it or suspending the tenant comes before or after, and not in between.
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
